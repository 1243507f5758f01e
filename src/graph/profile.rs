//! Timing of each dispatch of a program.

use super::execute::{GpuMachine, GpuProgram};
use super::machine_error::MachineError;
use super::work::Work;
use crate::platform::Clock;

/// The measured time of a dispatch.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Its duration.
    pub seconds: f64,
    /// Its work.
    pub work: Work,
}

impl GpuMachine {
    /// Runs a program and times each dispatch: by timestamp queries where the GPU has them, otherwise by
    /// waiting for each, which includes the overhead of a submit.
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
