//! The operation trait: output shapes, kernels, CPU implementation (twin) and gradient. No method
//! has a default, so that a forgotten gradient does not compile.

use super::ids::TensorId;
use super::params::Params;
use super::real::Real;
use super::shape::{Spec, Storage};
use super::traced::Traced;
use super::view::CpuIo;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// An error of operands that do not fit an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {problem}")]
pub struct ShapeError {
    /// The operation's name.
    pub op: &'static str,
    /// The mismatch, with the shapes.
    pub problem: String,
}

/// The operands of a node, by role.
#[derive(Clone, Copy)]
pub struct Specs<'a> {
    /// Read only.
    pub inputs: &'a [Spec],
    /// Read and written: accumulators, moments, caches.
    pub updates: &'a [Spec],
}

/// An operand of a kernel, by its index in the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The n-th input, bound read-only.
    In(usize),
    /// The n-th update, bound read-write.
    Up(usize),
    /// The n-th output, bound read-write.
    Out(usize),
}

/// One dispatch of a kernel.
#[derive(Clone, Debug)]
pub struct Launch {
    /// `file/entry` or `file/entry.variant`, as build.rs names it.
    pub kernel: &'static str,
    /// The bound operands, from binding 1 on; binding 0 holds `params`.
    pub operands: Vec<Operand>,
    /// The fields of the kernel's uniform block.
    pub params: Params,
    /// Workgroups in each dimension.
    pub groups: [u32; 3],
    /// Arithmetic operations, if more than the shapes of the operands show: see [`Work`](super::Work).
    pub operations: Option<f64>,
}

/// One implementation of an operation on a GPU. It requires the features that its kernels require; see
/// [`crate::device::Kernel::features`].
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name in reports, tuning files and runs.
    pub name: &'static str,
    /// The storage of the factors of its products.
    pub storage: Storage,
    /// The dispatches, in order.
    pub launches: Vec<Launch>,
}

impl Variant {
    /// The name of the variant that every adapter can run.
    pub const PORTABLE: &'static str = "portable";

    /// A single portable variant: core WGSL in f32.
    pub fn portable(launches: Vec<Launch>) -> Vec<Variant> {
        vec![Variant { name: Self::PORTABLE, storage: Storage::F32, launches }]
    }
}

/// The result of [`Op::backward`].
#[derive(Debug)]
pub enum Rule {
    /// The gradient was appended to the tape.
    Done,
    /// The operation has no gradient, with the reason.
    None(&'static str),
}

/// A node being differentiated: its operands, and the tape to which the gradient is appended.
/// Operations have no other access to a tape.
pub trait Backward {
    /// The n-th input of the node.
    fn input(&self, n: usize) -> TensorId;

    /// The number of inputs.
    fn inputs(&self) -> usize;

    /// The n-th output of the node.
    fn output(&self, n: usize) -> TensorId;

    /// The gradient of the loss with respect to the n-th output, if there is one.
    fn upstream(&self, n: usize) -> Option<TensorId>;

    /// Returns true if the n-th input is an activation or parameter that needs its gradient.
    fn needs_gradient(&self, n: usize) -> bool;

    /// The accumulator of the gradient of the n-th input, if that is a parameter.
    fn accumulator(&self, n: usize) -> Option<TensorId>;

    /// Shape and storage of a tensor.
    fn spec(&self, tensor: TensorId) -> Spec;

    /// Appends an operation and returns its outputs.
    fn push_dyn(&mut self, op: DynOp, inputs: &[TensorId], updates: &[TensorId]) -> Vec<TensorId>;

    /// Sets `gradient` as that of the n-th input, or adds it to a gradient that the tensor already has.
    fn add_gradient(&mut self, n: usize, gradient: Option<TensorId>);
}

impl dyn Backward + '_ {
    /// Appends an operation and returns its outputs.
    pub fn push<O: Op>(&mut self, op: O, inputs: &[TensorId], updates: &[TensorId]) -> Vec<TensorId> {
        self.push_dyn(Arc::new(op), inputs, updates)
    }
}

/// An operation: a struct of its attributes.
pub trait Op: Debug + Clone + Send + Sync + 'static {
    /// The file stem of the operation, and its name in reports.
    const NAME: &'static str;

    /// Returns type and attributes, as part of the keys of tuned variants (see
    /// [`Variants::key`](super::Variants::key)). Runs and tuning files contain this text: it must not change
    /// when a type or a field is renamed.
    fn key(&self) -> String;

    /// Checks the operands and returns the shapes of the outputs.
    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError>;

    /// Returns its implementations on a GPU. The first is portable; the others are for adapters with the
    /// features that they require, and tuning chooses among them.
    fn variants(&self, specs: Specs<'_>) -> Vec<Variant>;

    /// Computes the operation on the CPU: the twin of its kernels.
    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>);

    /// Appends the gradient to the tape, or returns the reason why there is none.
    fn backward(&self, tape: &mut dyn Backward) -> Rule;

    /// Returns a [`ShapeError`] of this operation.
    fn shape_error(problem: impl Into<String>) -> ShapeError
    where
        Self: Sized,
    {
        ShapeError { op: Self::NAME, problem: problem.into() }
    }
}

/// An operation of any type, as it is stored on a tape.
pub type DynOp = Arc<dyn AnyOp>;

/// The object-safe form of [`Op`], implemented for every operation.
pub trait AnyOp: Debug + Send + Sync {
    /// See [`Op::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Op::key`].
    fn key(&self) -> String;
    /// Returns the operation for a downcast to its type.
    fn as_any(&self) -> &dyn Any;
    /// See [`Op::outputs`].
    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError>;
    /// See [`Op::variants`].
    fn variants(&self, specs: Specs<'_>) -> Vec<Variant>;
    /// See [`Op::backward`].
    fn backward(&self, tape: &mut dyn Backward) -> Rule;
    /// Runs the twin in f32, for the CPU device.
    fn cpu_f32(&self, io: &mut CpuIo<'_, f32>);
    /// Runs the twin in f64, for finite differences.
    fn cpu_f64(&self, io: &mut CpuIo<'_, f64>);
    /// Runs the twin in f64 with error bounds, as the reference.
    fn cpu_traced(&self, io: &mut CpuIo<'_, Traced>);
}

impl<O: Op> AnyOp for O {
    fn name(&self) -> &'static str {
        O::NAME
    }
    fn key(&self) -> String {
        Op::key(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        Op::outputs(self, specs)
    }
    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        Op::variants(self, specs)
    }
    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        Op::backward(self, tape)
    }
    fn cpu_f32(&self, io: &mut CpuIo<'_, f32>) {
        self.cpu(io);
    }
    fn cpu_f64(&self, io: &mut CpuIo<'_, f64>) {
        self.cpu(io);
    }
    fn cpu_traced(&self, io: &mut CpuIo<'_, Traced>) {
        self.cpu(io);
    }
}

/// A number type in which the CPU executor can run every operation.
pub trait RunCpu: Real {
    /// Runs the operation's twin in this type.
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>);
}

impl RunCpu for f32 {
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>) {
        op.cpu_f32(io);
    }
}

impl RunCpu for f64 {
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>) {
        op.cpu_f64(io);
    }
}

impl RunCpu for Traced {
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>) {
        op.cpu_traced(io);
    }
}

/// Returns the dispatch size for `n` workgroups, folded into two dimensions of at most 65,535. Kernels compute
/// their index as `wid.x + (wid.y + first_band) * num_workgroups.x` and return past the end, because a grid that is split
/// into bands is folded differently.
pub fn grid(n: usize) -> [u32; 3] {
    const MAX_GROUPS: usize = 65_535;
    if n <= MAX_GROUPS {
        return [n.max(1) as u32, 1, 1];
    }
    let rows = n.div_ceil(MAX_GROUPS);
    [n.div_ceil(rows) as u32, rows as u32, 1]
}
