//! Errors of compiling and running a tape.

use super::plan::Overlap;
use crate::device::DeviceError;

/// An error of compiling or running a tape.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// An operation writes a tensor that overlaps another of its operands.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// An operation that this GPU cannot run.
    #[error("{op} cannot run on this GPU: {problem}")]
    Compile {
        /// The operation.
        op: &'static str,
        /// The kernel, the tensor, and the limit or mismatch.
        problem: String,
    },
    /// The GPU was lost, with the contents of its memory.
    #[error("{}", DeviceError::Lost(.0.clone()))]
    Lost(String),
    /// Any other error of the GPU.
    #[error(transparent)]
    Device(DeviceError),
    /// The program was compiled for another machine.
    #[error("cannot run a program that was compiled for another device; compile its tape for this one")]
    Foreign,
    /// Results were requested from a [`Counter`](super::Counter).
    #[error("cannot run on a memory counter: it only counts the memory that a run needs")]
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
