//! Commands that a person is told to continue with, whole and quoted.

use super::train::TrainRequest;
use crate::platform;
use crate::train::{TrainConfig, checkpoint, last_scheduled};
use std::path::Path;

/// An argument as a POSIX shell reads it, and PowerShell.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:,@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) { argument.into() } else { format!("'{}'", argument.replace('\'', "'\\''")) }
}

/// A command with its options. A value that begins like an option is joined to its own.
fn line(command: &str, options: &[(&str, String)]) -> String {
    let option = |(name, value): &(&str, String)| format!(" {name}{}{}", if value.starts_with('-') { "=" } else { " " }, quoted(value));
    options.iter().fold(command.to_string(), |line, pair| line + &option(pair))
}

/// The way on from a run that diverged: a new one with half the learning rate. A resume would only
/// replay the same steps, and takes no other settings.
pub(super) fn after_divergence(request: &TrainRequest, config: &TrainConfig) -> String {
    let run = &request.run;
    let text = |path: &Path| path.display().to_string();
    let runs = run.parent().filter(|runs| !runs.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let free = (2..).map(|n| format!("{name}-{n}")).find(|name| !platform::exists(&run.with_file_name(name))).expect("some number is free");
    let mut options = vec![("--runs", text(runs)), ("--name", free), ("--config", text(&run.join("run.toml"))), ("--lr", (config.lr / 2.0).to_string())];
    let last = last_scheduled(run, config.checkpoint_every).ok().flatten();
    let from = last.map_or("the same first weights".into(), |step| format!("the last good checkpoint, of step {step}"));
    options.extend(last.map(|step| ("--init", text(&checkpoint(run, step)))));
    options.extend(Some(("--device", request.device.clone())).filter(|(_, device)| device != "auto"));
    format!("To continue with half the learning rate from {from}, start a new run:\n{}", line("signet train", &options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_needs_it() {
        let options = [("--name", "a b"), ("--runs", "it's"), ("--init", ""), ("--lr", "0.001"), ("--config", "-x"), ("--data", "$HOME\\n")];
        let options = options.map(|(name, value)| (name, value.to_string()));
        assert_eq!(line("signet", &options), r"signet --name 'a b' --runs 'it'\''s' --init '' --lr 0.001 --config=-x --data '$HOME\n'");
    }
}
