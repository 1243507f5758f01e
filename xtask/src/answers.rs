//! Models' answers to fixed prompts, not cherry-picked: one seed, `signet chat`'s default sampling, a new
//! conversation for each prompt.

use crate::program::cargo;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Prints a Markdown table: a row for each line of `prompts`, a column for each model.
pub(crate) fn print(prompts: &Path, models: &[String]) -> Result<(), String> {
    let text = std::fs::read_to_string(prompts).map_err(|error| format!("{}: {error}", prompts.display()))?;
    println!("| prompt | {} |\n|---|{}", models.join(" | "), "---|".repeat(models.len()));
    for prompt in text.lines().filter(|line| !line.trim().is_empty()) {
        let answers = models.iter().map(|model| answer(model, prompt)).collect::<Result<Vec<_>, _>>()?;
        println!("| {prompt} | {} |", answers.join(" | "));
    }
    Ok(())
}

fn answer(model: &str, prompt: &str) -> Result<String, String> {
    let mut child = cargo("run --quiet --release -- chat --device cpu --seed 1 --max-tokens 80")
        .arg(model)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("signet chat: {error}"))?;
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "{prompt}").map_err(|error| format!("signet chat {model}: {error}"))?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| format!("signet chat {model}: {error}"))?;
    if !output.status.success() {
        return Err(format!("signet chat {model} failed on {prompt:?}; try it by hand"));
    }
    let answer = String::from_utf8_lossy(&output.stdout);
    Ok(answer.trim().replace('|', "\\|").replace('\n', "<br>"))
}
