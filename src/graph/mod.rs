//! The tensor graph: a tape of operations, its backward pass, a planner, and one executor per
//! kind of device. It names no operation.

mod backward;
mod blocks;
mod case;
mod count;
pub mod cpu;
mod execute;
mod fuse;
pub mod log_codes;
mod machine;
mod offers;
mod op;
mod pace;
mod params;
mod plan;
mod profile;
pub mod real;
mod recompute;
mod shape;
mod tape;
mod traced;
mod variants;

pub use backward::{Backward, BackwardError, Rule};
pub use blocks::{pack, unpack};
pub use case::{Calculus, Case, Expect, Fill, Forward, Input, Loss, Role, Source, Step, Update};
pub use count::{Counted, Counter};
pub use cpu::{CpuIo, CpuMachine, CpuProgram, View, ViewMut};
pub use execute::{GpuMachine, GpuProgram};
pub use fuse::{Fusion, Link};
pub use machine::{Machine, MachineError, Pending, Program};
pub(crate) use offers::Offer;
pub use op::{AnyOp, DynOp, Launch, Op, Operand, Runs, ShapeError, Specs, Variant, grid};
#[cfg(test)]
pub(crate) use params::words;
pub use params::{FIRST_BAND, Params, Word};
pub use plan::{Class, Overlap, Plan, Pool, Slot};
pub use profile::{Timed, Work};
pub use real::{Mat, OutMat, Real, Threads, dot, matmul, sum, task_rows, vectorised};
pub use recompute::Recompute;
pub use shape::{LOG_BLOCK, Spec, Storage};
pub use tape::{Choice, Home, MemoryId, Tape, TensorId};
pub use traced::Traced;
pub use variants::Variants;
pub(crate) use variants::key_float;
