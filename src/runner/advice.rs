//! Commands that a person is told to continue with, whole and quoted.

use super::resume::command;
use super::train::TrainRequest;
use crate::platform;
use crate::train::{TrainConfig, checkpoint, last_scheduled};
use std::ffi::OsString;
use std::path::Path;

/// The way on from a run that diverged: a new one with half the learning rate. A resume would only
/// replay the same steps, and takes no other settings.
pub(super) fn after_divergence(request: &TrainRequest, config: &TrainConfig) -> String {
    let run = &request.run;
    let runs = run.parent().filter(|runs| !runs.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let free = (2..).map(|n| format!("{name}-{n}")).find(|name| !platform::exists(&run.with_file_name(name))).expect("some number is free");
    let mut options: Vec<(&str, OsString)> = vec![
        ("--runs", runs.into()),
        ("--name", free.into()),
        ("--config", run.join("run.toml").into_os_string()),
        ("--lr", (config.lr / 2.0).to_string().into()),
    ];
    let last = last_scheduled(run, config.checkpoint_every).ok().flatten();
    let from = last.map_or("the same first weights".into(), |step| format!("the last good checkpoint, of step {step}"));
    options.extend(last.map(|step| ("--init", checkpoint(run, step).into_os_string())));
    options.extend((request.device != "auto").then(|| ("--device", request.device.clone().into())));
    format!("To continue with half the learning rate from {from}, start a new run:\n{}", command(&["train"], &options))
}
