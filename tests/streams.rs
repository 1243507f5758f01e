//! Closed standard output (as by `head`), full disks and system limits: training continues or reports the error, and saved
//! files are complete.

use crate::train::{SMALL, Scratch, signet, text};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A run of a few steps, without its name and folder.
fn arguments(scratch: &Scratch, steps: u64) -> Vec<String> {
    // Written once: another process of the same test may be reading it.
    if !scratch.path("small.json").exists() {
        std::fs::write(scratch.path("small.json"), SMALL).unwrap();
    }
    let fixed =
        "train --device cpu --teacher none --loss ar --warmup 2 --seq 32 --batch 1 --sample-every 0 --eval-every 0 --eval-batches 1 --checkpoint-every 0";
    let own = ["--model".to_string(), scratch.path("small.json").display().to_string(), "--steps".into(), steps.to_string()];
    fixed.split(' ').map(String::from).chain(own).collect()
}

fn train(scratch: &Scratch, steps: u64, more: &[&str]) -> Command {
    let runs = scratch.path("runs").display().to_string();
    let mut command = signet(&arguments(scratch, steps).iter().map(String::as_str).collect::<Vec<_>>());
    command.args(["--runs", &runs]).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn checkpoint(scratch: &Scratch, name: &str, step: u64) -> PathBuf {
    scratch.path("runs").join(name).join(format!("checkpoints/step-{step:08}/model.safetensors"))
}

/// The always-full device, where it exists.
fn full() -> Option<Stdio> {
    Some(OpenOptions::new().write(true).open("/dev/full").ok()?.into())
}

fn output_text(output: &Output) -> String {
    assert!(!text(output).contains("panicked"), "{}", text(output));
    text(output)
}

#[test]
fn training_continues_after_its_reader_closes_the_pipe() {
    let scratch = Scratch::new("streams-closed");
    for (name, more) in [("json", &["--json", "--name", "json"][..]), ("lines", &["--name", "lines"])] {
        let mut child = train(&scratch, 60, more).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let output = child.wait_with_output().unwrap();
        let printed = output_text(&output);
        assert!(output.status.success() && printed.contains("standard output was closed"), "{printed}");
        assert!(checkpoint(&scratch, name, 60).exists(), "{name}");
    }
    // Nor does it need standard error.
    let mut child = train(&scratch, 60, &["--json", "--name", "both"]).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success() && checkpoint(&scratch, "both", 60).exists());
}

#[test]
fn training_continues_on_a_full_standard_output_and_warns_once() {
    let scratch = Scratch::new("streams-full");
    let Some(full) = full() else { return };
    let output = train(&scratch, 8, &["--json", "--name", "full"]).stdout(full).output().unwrap();
    let printed = output_text(&output);
    assert!(output.status.success() && printed.matches("cannot write to standard output").count() == 1, "{printed}");
    assert!(checkpoint(&scratch, "full", 8).exists());
}

#[test]
fn printing_commands_end_quietly_on_a_closed_pipe_and_fail_on_a_full_disk() {
    let commands: [&[&str]; 5] = [
        &["inspect"],
        &["inspect", "--json"],
        &["data", "--teacher", "none", "--documents", "1"],
        &["generate", "--device", "cpu", "--prompt", "hi", "--max-tokens", "4"],
        &["chat", "--device", "cpu", "--max-tokens", "4"],
    ];
    for arguments in commands {
        let mut child = signet(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        // Input for the chat; the others read none.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hi\n");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output_text(&output));
        let Some(full) = full() else { continue };
        let mut child = signet(arguments).stdout(full).stderr(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hi\n");
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.code() == Some(1) && output_text(&output).contains("error: cannot write to standard output"),
            "{arguments:?}: {}",
            output_text(&output)
        );
    }
}

#[test]
fn file_writing_commands_finish_on_a_closed_pipe() {
    let scratch = Scratch::new("streams-files");
    std::fs::write(scratch.path("text.txt"), "A boy drops a feather and a stone on the Moon. ".repeat(20)).unwrap();
    let rows = r#"{"question": "is the Moon a moon", "passage": "The Moon is a moon.", "label": 1}"#.to_string() + "\n";
    std::fs::write(scratch.path("rows.jsonl"), rows).unwrap();
    let [text, task, dense, report] = ["text.txt", "rows.jsonl", "dense", "report.json"].map(|name| scratch.path(name).display().to_string());
    let task = format!("boolq={task}");
    let commands = [
        (&["export", "embedded", &dense, "--dense", "--json"][..], &dense),
        (&["eval", "--perplexity", &text, "--window", "16", "--task", &task, "--device", "cpu", "--out", &report], &report),
    ];
    for (arguments, result) in commands {
        let mut child = signet(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && Path::new(result).exists(), "{arguments:?}: {}", output_text(&output));
    }
    // A part of the result that could not be written is lost.
    let Some(full) = full() else { return };
    let other = scratch.path("other.json").display().to_string();
    let output = signet(&["eval", "--task", &task, "--device", "cpu", "--out", &other]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.code() == Some(1) && Path::new(&other).exists(), "{}", output_text(&output));
    assert!(output_text(&output).contains("continuing without it"), "{}", output_text(&output));
}

#[test]
fn unnamed_runs_started_together_get_different_names() {
    let scratch = Scratch::new("streams-together");
    let children: Vec<_> = (0..4).map(|_| train(&scratch, 3, &[]).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", output_text(&output));
    }
    assert!((1..=4).all(|n| checkpoint(&scratch, &format!("run-{n}"), 3).exists()));
    assert!(!scratch.path("runs/run-5").exists());
}

/// Runs a line in the system's shell.
#[cfg(unix)]
fn shell(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_file_size_limit_is_reported_and_the_printed_command_resumes_the_run() {
    let scratch = Scratch::new("streams-limit");
    let runs = scratch.path("it's my \"runs\"").display().to_string();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let words: Vec<String> = arguments(&scratch, 6).into_iter().chain(["--runs".into(), runs.clone(), "--name".into(), "small disk".into()]).collect();
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let output = shell(&format!("ulimit -f 200; exec {} {}", quoted(env!("CARGO_BIN_EXE_signet")), words.join(" ")));
    let printed = output_text(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("files are limited to 102400 bytes here") && printed.contains("model.safetensors") || printed.contains("step-00000006"),
        "{printed}"
    );
    let resume = printed.split_once("Resume it with: ").expect("a command").1.lines().next().unwrap();
    assert!(resume.contains("--resume --name 'small disk' --runs ") && resume.ends_with("--device cpu"), "{resume}");
    let output = shell(resume);
    assert!(output.status.success(), "{}", output_text(&output));
    assert!(Path::new(&runs).join("small disk/checkpoints/step-00000006/model.safetensors").exists());
    // A finished run stays finished.
    let output = shell(resume);
    assert!(output.status.success() && output_text(&output).contains("is finished: all 6 steps are done"), "{}", output_text(&output));
}

#[test]
fn a_run_with_unreadable_settings_is_not_reported_as_missing() {
    let scratch = Scratch::new("streams-unreadable");
    let resume = |name: &str| output_text(&train(&scratch, 2, &["--resume", "--name", name]).output().unwrap());
    assert!(resume("nothing").contains("there is no run to resume here"));
    std::fs::create_dir_all(scratch.path("runs/folder/run.toml")).unwrap();
    std::fs::create_dir_all(scratch.path("runs/binary")).unwrap();
    std::fs::write(scratch.path("runs/binary/run.toml"), [b's', 0xff, 0xfe]).unwrap();
    for name in ["folder", "binary"] {
        let printed = resume(name);
        assert!(printed.contains("run.toml") && !printed.contains("no run"), "{printed}");
    }
}
