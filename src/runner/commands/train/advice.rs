//! The command suggested after a divergence, complete and quoted.

use crate::platform;
use crate::runner::protocol::TrainRequest;
use crate::runner::resume::command;
use crate::train::{MAX_NAME_LENGTH, TrainConfig, checkpoint, last_scheduled};
use std::ffi::OsString;
use std::path::Path;

/// Returns the command to continue after a divergence at a learning rate of `lr`: a new run with half the rate. A resumed run
/// would only repeat the same steps, with the same settings.
pub(super) fn after_divergence(request: &TrainRequest, config: &TrainConfig, lr: f64) -> String {
    let run = &request.run;
    let runs = run.parent().filter(|runs| !runs.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let free = (2..).map(|n| numbered_name(&name, n)).find(|name| !platform::exists(&run.with_file_name(name))).expect("some number is free");
    let mut options: Vec<(&str, OsString)> =
        vec![("--runs", runs.into()), ("--name", free.into()), ("--config", run.join("run.toml").into_os_string()), ("--lr", (lr / 2.0).to_string().into())];
    let last = last_scheduled(run, config.checkpoint_every).ok().flatten();
    let from = last.map_or("the same first weights".into(), |step| format!("the last good checkpoint, of step {step}"));
    options.extend(last.map(|step| ("--init", checkpoint(run, step).into_os_string())));
    options.extend((request.device != "auto").then(|| ("--device", request.device.clone().into())));
    options.extend(request.memory.map(|memory| ("--memory", memory.to_string().into())));
    format!("To continue with half the learning rate from {from}, start a new run:\n{}", command(&["train"], &options))
}

/// Returns `NAME-N`, with `NAME` truncated to the maximum length of a run's name.
fn numbered_name(name: &str, n: u32) -> String {
    let end = format!("-{n}");
    format!("{}{end}", &name[..name.floor_char_boundary(MAX_NAME_LENGTH - end.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::check_name;

    #[test]
    fn the_command_has_half_the_current_rate_the_memory_and_a_valid_name() {
        let run = std::env::temp_dir().join("ü".repeat(60));
        let request = TrainRequest { run, numbered: false, config: None, resume: false, from_step: None, device: "cpu".into(), memory: Some(8000) };
        let advice = after_divergence(&request, &TrainConfig::default(), 0.25);
        assert!(["--lr 0.125", "--device cpu", "--memory 8000"].iter().all(|option| advice.contains(option)), "{advice}");
        assert_eq!((numbered_name("a", 2), numbered_name(&"a".repeat(120), 10)), ("a-2".into(), "a".repeat(117) + "-10"));
        let name = numbered_name(&"ü".repeat(60), 2);
        assert!(check_name(&name).is_ok() && name == "ü".repeat(59) + "-2" && advice.contains(&name), "{advice}");
    }
}
