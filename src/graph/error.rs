//! Errors of machines.

use super::plan::Overlap;
use crate::device::DeviceError;

/// An error of a machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A tape that no machine can run.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// A tape that this GPU cannot run.
    #[error("{op} cannot run on this GPU: {problem}")]
    Compile {
        /// The operation.
        op: &'static str,
        /// Kernel, tensor, and what does not fit.
        problem: String,
    },
    /// The GPU is gone, and all its memory with it.
    #[error("{}", DeviceError::Lost(.0.clone()))]
    Lost(String),
    /// Anything else that went wrong on the GPU.
    #[error(transparent)]
    Device(DeviceError),
    /// A program of one machine given to another.
    #[error("this program was compiled for another machine; compile its tape for this one")]
    Foreign,
    /// A result wanted of a machine that only counts.
    #[error("this machine only counts the memory that a run takes; it computes nothing")]
    Counting,
}

impl From<DeviceError> for MachineError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Lost(reason) => MachineError::Lost(reason),
            other => MachineError::Device(other),
        }
    }
}
