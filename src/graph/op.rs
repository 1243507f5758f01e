//! What an operation is: its output shapes, its kernels, its CPU twin and its gradient. No method
//! has a default, so a forgotten gradient does not compile.

use super::ids::TensorId;
use super::params::Params;
use super::real::Real;
use super::shape::{Spec, Storage};
use super::traced::Traced;
use super::view::CpuIo;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// Operands that an operation cannot take, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {problem}")]
pub struct ShapeError {
    /// The operation's name.
    pub op: &'static str,
    /// What does not fit.
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

/// An operand of a kernel, by its place in the node.
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
    /// What is bound, from binding 1 on; binding 0 holds `params`.
    pub operands: Vec<Operand>,
    /// The fields of the kernel's uniform block.
    pub params: Params,
    /// Workgroups in each dimension.
    pub groups: [u32; 3],
}

/// One way of computing an operation on a GPU. What it needs of the adapter is what its kernels
/// need; see [`crate::device::Kernel::features`].
#[derive(Clone, Debug)]
pub struct Variant {
    /// What it is called in reports, in tuning files and in runs.
    pub name: &'static str,
    /// How it holds what it multiplies.
    pub storage: Storage,
    /// The dispatches, in order.
    pub launches: Vec<Launch>,
}

impl Variant {
    /// The name of the variant that every adapter can run.
    pub const PORTABLE: &'static str = "portable";

    /// The one way of an operation that has no other: core WGSL in f32.
    pub fn portable(launches: Vec<Launch>) -> Vec<Variant> {
        vec![Variant { name: Self::PORTABLE, storage: Storage::F32, launches }]
    }
}

/// The outcome of an operation's gradient.
#[derive(Debug)]
pub enum Rule {
    /// Appended.
    Done,
    /// There is none, and why.
    None(&'static str),
}

/// A node of a tape while its gradient is taken: its operands, and the tape that the gradient is
/// appended to. Operations see no more of a tape than this.
pub trait Backward {
    /// The n-th input of the node.
    fn input(&self, n: usize) -> TensorId;

    /// The number of inputs.
    fn inputs(&self) -> usize;

    /// The n-th output of the node.
    fn output(&self, n: usize) -> TensorId;

    /// The gradient that reached the n-th output.
    fn upstream(&self, n: usize) -> Option<TensorId>;

    /// Returns true if the n-th input is an activation or parameter that needs its gradient.
    fn needs_gradient(&self, n: usize) -> bool;

    /// The tensor into which the gradient of the n-th input, a parameter, is added up.
    fn accumulator(&self, n: usize) -> Option<TensorId>;

    /// Shape and storage of a tensor.
    fn spec(&self, tensor: TensorId) -> Spec;

    /// Appends an operation; gives its outputs.
    fn push_dyn(&mut self, op: DynOp, inputs: &[TensorId], updates: &[TensorId]) -> Vec<TensorId>;

    /// Gives `gradient` to the n-th input; a second one for the same tensor is added to the first.
    fn add_gradient(&mut self, n: usize, gradient: Option<TensorId>);
}

impl dyn Backward + '_ {
    /// Appends an operation; gives its outputs.
    pub fn push<O: Op>(&mut self, op: O, inputs: &[TensorId], updates: &[TensorId]) -> Vec<TensorId> {
        self.push_dyn(Arc::new(op), inputs, updates)
    }
}

/// An operation: a struct of its attributes.
pub trait Op: Debug + Clone + Send + Sync + 'static {
    /// The file stem of the operation, and what it is called in reports.
    const NAME: &'static str;

    /// Type and attributes, under which choices of variants are filed (see
    /// [`Variants::key`](super::Variants::key)). Runs find their choices by this text: it stays as it
    /// is when a type or a field is renamed.
    fn key(&self) -> String;

    /// Checks the operands and gives the outputs.
    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError>;

    /// The ways of computing it on a GPU. The first is portable; the others are alternatives for
    /// adapters that have what they need, among which tuning chooses.
    fn variants(&self, specs: Specs<'_>) -> Vec<Variant>;

    /// The CPU twin.
    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>);

    /// Appends the gradient to the tape, or says why there is none.
    fn backward(&self, tape: &mut dyn Backward) -> Rule;

    /// A `ShapeError` of this operation.
    fn shape_error(problem: impl Into<String>) -> ShapeError
    where
        Self: Sized,
    {
        ShapeError { op: Self::NAME, problem: problem.into() }
    }
}

/// Any operation, as the tape holds it.
pub type DynOp = Arc<dyn AnyOp>;

/// The object-safe face of [`Op`]; implemented for all of them.
pub trait AnyOp: Debug + Send + Sync {
    /// See [`Op::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Op::key`].
    fn key(&self) -> String;
    /// The operation's own type.
    fn as_any(&self) -> &dyn Any;
    /// See [`Op::outputs`].
    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError>;
    /// See [`Op::variants`].
    fn variants(&self, specs: Specs<'_>) -> Vec<Variant>;
    /// See [`Op::backward`].
    fn backward(&self, tape: &mut dyn Backward) -> Rule;
    /// The twin in f32: the CPU device.
    fn cpu_f32(&self, io: &mut CpuIo<'_, f32>);
    /// The twin in f64: finite differences.
    fn cpu_f64(&self, io: &mut CpuIo<'_, f64>);
    /// The twin with error bounds: the oracle.
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

/// A number type the executor can run any operation in.
pub trait Runs: Real {
    /// Runs the operation's twin in this type.
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>);
}

impl Runs for f32 {
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>) {
        op.cpu_f32(io);
    }
}

impl Runs for f64 {
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>) {
        op.cpu_f64(io);
    }
}

impl Runs for Traced {
    fn run(op: &dyn AnyOp, io: &mut CpuIo<'_, Self>) {
        op.cpu_traced(io);
    }
}

/// Workgroups for `n` groups, folded into two dimensions of at most 65,535; a kernel finds its
/// group as `wid.x + wid.y * num_workgroups.x` and returns past the end.
pub fn grid(n: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    if n <= MOST {
        return [n.max(1) as u32, 1, 1];
    }
    let rows = n.div_ceil(MOST);
    [n.div_ceil(rows) as u32, rows as u32, 1]
}
