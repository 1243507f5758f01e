//! Choosing the machine that work runs on.

use crate::graph::Machine;
use anyhow::{Result, bail};

/// The machine that `device` names, and how to call it.
pub(super) async fn machine(device: &str) -> Result<(Machine, String)> {
    match device {
        "auto" | "cpu" => Ok((Machine::cpu(), "the CPU device".into())),
        other => bail!("no device is called {other:?}"),
    }
}
