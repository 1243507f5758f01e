//! The tensor graph: a tape of operations, its backward pass, a memory planner, and an executor for
//! each kind of device. It knows no concrete operation.
//!
//! Modules are listed in the order of their dependencies: each uses only the groups above its own.

// Tensors: identifiers, shapes, number types, and views of their contents on the CPU.
mod ids;
mod mat;
mod params;
mod product;
mod real;
mod shape;

pub mod log_codes;
mod traced;

mod packing;

mod view;

// Operations: the trait, test cases, variants and dispatches.
mod op;

mod case;
mod submits;
mod variants;
mod work;

// The tape, and its rewrites.
mod tape;

mod backward;
mod fuse;
mod plan;
mod recompute;

// Executors.
mod count;
mod cpu;
mod machine_error;

mod execute;

mod profile;
mod support;

mod machine;

pub use backward::BackwardError;
pub use case::{Calculus, Case, CaseInput, CaseStep, CaseUpdate, Expect, Fill, ForwardFn, GradientRole, LINEAR_SIZES, LossFn, StepOperand};
pub use count::{CountedLaunch, CountedProgram, Counter};
pub use cpu::{CpuMachine, CpuProgram};
pub use execute::{GpuMachine, GpuProgram};
pub use fuse::{FusedStep, Fusion};
pub use ids::{MemoryId, TensorId};
pub use machine::{Machine, Pending, Program};
pub use machine_error::MachineError;
pub use mat::{Mat, OutMat, spread_stride};
pub use op::{AnyOp, Backward, DynOp, Launch, Op, Operand, Rule, RunCpu, ShapeError, Specs, Variant, grid};
pub use packing::{pack, unpack};
#[cfg(test)]
pub(crate) use params::encode_params;
pub use params::{FIRST_BAND, Params, Word};
pub use plan::{BufferSlot, Overlap, Plan, Pool};
pub use product::{Threads, matmul, matmul_written};
pub use profile::Timed;
pub use real::{Real, dot, rows_per_task, sum, vectorised};
pub use recompute::Recompute;
pub use shape::{BufferKind, LOG_BLOCK, Spec, Storage};
pub use submits::MAX_SUBMIT_SECONDS;
pub(crate) use support::VariantSupport;
pub use tape::{ShapedOp, Tape, TensorLocation};
pub use traced::Traced;
pub use variants::Variants;
pub(crate) use variants::key_float;
pub use view::{CpuIo, Data, View, ViewMut};
pub use work::Work;
