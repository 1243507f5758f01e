//! Choosing the machine that work runs on.

use crate::device::{Checks, Choice, Gpu, adapters, select};
use crate::graph::Machine;
use anyhow::Result;
use std::sync::Arc;

/// The machine that `device` names, and how to call it.
pub(super) async fn machine(device: &str) -> Result<(Machine, String)> {
    let Ok(choice) = device.parse::<Choice>();
    if choice == Choice::Cpu {
        return Ok((Machine::cpu(), "the CPU device".into()));
    }
    let adapters = adapters().await;
    match select(&adapters, &choice)? {
        None => Ok((Machine::cpu(), "the CPU device".into())),
        Some(adapter) => {
            let gpu = Gpu::open(adapter, Checks::Off).await?;
            let name = format!("{}, driver {} {}", gpu.name(), gpu.info().driver, gpu.info().driver_info);
            Ok((Machine::gpu(Arc::new(gpu)), name))
        }
    }
}
