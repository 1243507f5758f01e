//! Test cases of operations: operands by shape and kind of content, and the expected results. Cases are
//! defined beside their operation and run by `conform`.

use super::op::{DynOp, Op};
use super::shape::Spec;
use std::sync::Arc;

/// The contents of an operand; random contents are drawn from the seed of the conformance run.
#[derive(Clone, Debug)]
pub enum Fill {
    /// Normally distributed floats (`F32`, or rounded to `F16`). Means are mostly not zero, because a
    /// symmetric distribution hides a wrong sign.
    Normal(f32, f32),
    /// Evenly distributed floats.
    Uniform(f32, f32),
    /// Latent weights: small numbers, among them both zeros and subnormal numbers.
    Latent,
    /// Evenly distributed integers below this.
    Below(u32),
    /// Random signs, padding 0.
    Signs,
    /// The signs of the n-th operand of the same role.
    SignsOf(usize),
    /// The transpose of the signs that the n-th operand of the same role holds.
    TransposeOf(usize),
    /// These floats, repeated.
    Floats(Vec<f32>),
    /// These words, repeated.
    Words(Vec<u32>),
}

impl Fill {
    /// Floats, some of them beyond f16's range.
    pub fn beyond_f16() -> Self {
        Self::Floats(vec![7e4, -1.5, 65_504.0, 0.25, -2e5, 3.0, 1e-6])
    }
}

/// Tokens, inputs and outputs of linear layers: every number of tokens of the kernels for few rows, and sizes around
/// multiples of words and tiles.
pub const LINEAR_SIZES: [(usize, usize, usize); 14] = [
    (1, 7, 5),
    (2, 33, 65),
    (3, 100, 70),
    (4, 129, 31),
    (5, 64, 64),
    (6, 1, 1),
    (7, 257, 9),
    (8, 96, 130),
    (9, 33, 65),
    (17, 100, 70),
    (33, 129, 31),
    (64, 64, 64),
    (70, 7, 3),
    (12, 300, 129),
];

/// How the gradient of an input is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientRole {
    /// Not at all.
    Fixed,
    /// As a tensor of its own.
    Variable,
    /// Added to an accumulator, which is not zero before.
    Parameter,
    /// Added to an accumulator; it is the gradient of the case's [`Calculus::Surrogate`].
    Straight,
}

/// An input of a case.
#[derive(Clone, Debug)]
pub struct CaseInput {
    /// Shape and storage.
    pub spec: Spec,
    /// Content.
    pub fill: Fill,
    /// How its gradient is computed.
    pub role: GradientRole,
}

/// The expected result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The reference: floats within its bound, words exactly.
    Reference,
    /// Codes to which the reference, within its bound, may be rounded in this step. The reference
    /// itself runs on floats.
    Codes {
        /// The step's number.
        step: u32,
    },
    /// The contents before.
    Unchanged,
    /// This element exactly as in the reference; the others are undefined after an overflow.
    Element(usize),
    /// The signs of what the device itself wrote to this update: rounding may change the sign of a
    /// latent weight.
    SignsOf(usize),
    /// The transpose of the signs that the device wrote to this update.
    TransposeOf(usize),
    /// Counters increased by the number of signs that the device changed in update `signs`, per layer.
    FlipsOf {
        /// The update.
        signs: usize,
        /// The counter of the first layer.
        counter: usize,
        /// The rows of each layer; counters are consecutive.
        rows: Vec<std::ops::Range<usize>>,
    },
}

/// An update of a case.
#[derive(Clone, Debug)]
pub struct CaseUpdate {
    /// Shape and storage.
    pub spec: Spec,
    /// Content.
    pub fill: Fill,
    /// Its expected contents after the operation.
    pub expect: Expect,
}

/// A forward pass in f64: computes the first output from the inputs (empty for words) and their specs.
pub type ForwardFn = Arc<dyn Fn(&[Vec<f64>], &[Spec]) -> Vec<f64> + Send + Sync>;
/// A loss in f64: computed from the inputs (empty for words) and the outputs.
pub type LossFn = Arc<dyn Fn(&[Vec<f64>], &[Vec<f64>]) -> f64 + Send + Sync>;

/// The reference for a case's gradient.
#[derive(Clone, Default)]
pub enum Calculus {
    /// Finite differences of its own forward; not checked if every input is `Fixed`.
    #[default]
    Chain,
    /// As `Chain`, but for `Straight` inputs finite differences of this surrogate forward.
    Surrogate(ForwardFn),
    /// The first update becomes the gradient of this loss with respect to its former contents.
    InPlace(LossFn),
}

impl std::fmt::Debug for Calculus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Calculus::Chain => "Chain",
            Calculus::Surrogate(_) => "Surrogate",
            Calculus::InPlace(_) => "InPlace",
        })
    }
}

/// An operand of an operation that follows another in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOperand {
    /// The case's n-th input, which is then not an input of the first operation.
    Input(usize),
    /// The first output of the operation before.
    Previous,
}

/// An operation that follows another in a case.
#[derive(Clone, Debug)]
pub struct CaseStep {
    /// The operation.
    pub op: DynOp,
    /// Its inputs.
    pub operands: Vec<StepOperand>,
}

/// A test case: an operation, or a sequence of them, with operands.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name: shapes and what is special.
    pub label: String,
    /// The operation, or the first of a sequence.
    pub op: DynOp,
    /// The inputs.
    pub inputs: Vec<CaseInput>,
    /// The first operation's updates.
    pub updates: Vec<CaseUpdate>,
    /// The operations that follow; the results are the outputs of the last.
    pub steps: Vec<CaseStep>,
    /// The reference for its gradient.
    pub calculus: Calculus,
}

impl Case {
    /// Creates a case without operands.
    pub fn new<O: Op>(label: impl Into<String>, op: O) -> Self {
        Self { label: label.into(), op: Arc::new(op), inputs: Vec::new(), updates: Vec::new(), steps: Vec::new(), calculus: Calculus::Chain }
    }

    /// Appends another operation.
    pub fn then<O: Op>(mut self, op: O, operands: &[StepOperand]) -> Self {
        self.steps.push(CaseStep { op: Arc::new(op), operands: operands.to_vec() });
        self
    }

    /// Returns true if the n-th input is one of the first operation.
    pub fn uses_input(&self, n: usize) -> bool {
        !self.steps.iter().any(|step| step.operands.contains(&StepOperand::Input(n)))
    }

    fn with(mut self, spec: Spec, fill: Fill, role: GradientRole) -> Self {
        self.inputs.push(CaseInput { spec, fill, role });
        self
    }

    /// Adds an input without a gradient.
    pub fn input(self, spec: Spec, fill: Fill) -> Self {
        self.with(spec, fill, GradientRole::Fixed)
    }

    /// Adds an input with a gradient.
    pub fn variable(self, spec: Spec, fill: Fill) -> Self {
        self.with(spec, fill, GradientRole::Variable)
    }

    /// Adds an input whose gradient is accumulated.
    pub fn parameter(self, spec: Spec, fill: Fill) -> Self {
        self.with(spec, fill, GradientRole::Parameter)
    }

    /// Adds an input whose accumulated gradient is that of a surrogate.
    pub fn straight(mut self, spec: Spec, fill: Fill, surrogate: ForwardFn) -> Self {
        self.calculus = Calculus::Surrogate(surrogate);
        self.with(spec, fill, GradientRole::Straight)
    }

    /// Adds an update that becomes what the reference computes.
    pub fn update(self, spec: Spec, fill: Fill) -> Self {
        self.update_to(spec, fill, Expect::Reference)
    }

    /// Adds an update with an expected result.
    pub fn update_to(mut self, spec: Spec, fill: Fill, expect: Expect) -> Self {
        self.updates.push(CaseUpdate { spec, fill, expect });
        self
    }

    /// Expects that the first update becomes the gradient of this loss.
    pub fn in_place(mut self, loss: impl Fn(&[Vec<f64>], &[Vec<f64>]) -> f64 + Send + Sync + 'static) -> Self {
        self.calculus = Calculus::InPlace(Arc::new(loss));
        self
    }

    /// Returns true if any input has a gradient.
    pub fn has_gradient(&self) -> bool {
        self.inputs.iter().any(|input| input.role != GradientRole::Fixed)
    }
}
