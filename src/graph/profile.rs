//! Times each dispatch of a program.

use super::error::MachineError;
use super::execute::{GpuMachine, GpuProgram};
use super::work::Work;
use crate::platform::Clock;

/// A dispatch, timed.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// The kernel's name.
    pub kernel: &'static str,
    /// What it took.
    pub seconds: f64,
    /// What it did.
    pub work: Work,
}

impl GpuMachine {
    /// Runs a program and times each dispatch: by the GPU's clock where it has one, else by waiting
    /// for each, which counts what a submit costs with it.
    pub async fn profile(&self, program: &GpuProgram) -> Result<Vec<Timed>, MachineError> {
        let gpu = self.gpu();
        let dispatches = program.recorded();
        let mut seconds = if gpu.has_timestamps() { gpu.time(dispatches).await? } else { Vec::new() };
        if seconds.iter().all(|&time| time == 0.0) {
            seconds.clear();
            for dispatch in dispatches {
                let clock = Clock::start();
                gpu.run(std::slice::from_ref(dispatch), &[1])?;
                gpu.drain().await?;
                seconds.push(clock.seconds());
            }
        }
        let timed = dispatches.iter().zip(program.works()).zip(seconds);
        Ok(timed.map(|((dispatch, &work), seconds)| Timed { kernel: dispatch.kernel(), seconds, work }).collect())
    }
}
