//! What an operation is tried with: operands by shape and kind of content, and what is expected of
//! the results. Cases are written beside their operation and run by `conform`.

use super::op::{DynOp, Op};
use super::shape::Spec;
use std::sync::Arc;

/// What an operand holds; random content is drawn afresh from the seed of the run.
#[derive(Clone, Debug)]
pub enum Fill {
    /// Normally distributed floats (`F32`, or rounded to `F16`). Means are mostly not zero, because a
    /// symmetric distribution hides a wrong sign.
    Normal(f32, f32),
    /// Evenly distributed floats.
    Uniform(f32, f32),
    /// Latent weights: small, among them both zeros and denormal numbers.
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
    /// Floats of which some are beyond f16's range.
    pub fn beyond_f16() -> Self {
        Self::Floats(vec![7e4, -1.5, 65_504.0, 0.25, -2e5, 3.0, 1e-6])
    }
}

/// Tokens, inputs and outputs of linear layers: each number of rows that kernels for few rows take, and sizes on both sides
/// of words and tiles.
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

/// How a gradient reaches an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientRole {
    /// It does not.
    Fixed,
    /// As a tensor of its own.
    Variable,
    /// Added to an accumulator, which holds something already.
    Parameter,
    /// Added to an accumulator, and the gradient is that of the case's [`Calculus::Surrogate`].
    Straight,
}

/// An input of a case.
#[derive(Clone, Debug)]
pub struct Input {
    /// Shape and storage.
    pub spec: Spec,
    /// Content.
    pub fill: Fill,
    /// How a gradient reaches it.
    pub role: GradientRole,
}

/// What is expected of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// What the oracle has: floats within its bound, words exactly.
    Oracle,
    /// Codes into which the rounding of this step may bring what the oracle has, within its bound. The
    /// oracle runs with floats in their place.
    Codes {
        /// The step's number.
        step: u32,
    },
    /// What it was.
    Unchanged,
    /// This element as the oracle has it, exactly; the others hold what follows from an overflow.
    Element(usize),
    /// The signs of what the device itself left in this update: rounding may carry a latent weight
    /// over zero.
    SignsOf(usize),
    /// The transpose of the signs that the device left in this update.
    TransposeOf(usize),
    /// Counters grown by the signs that the device changed in update `signs`, layer by layer.
    FlipsOf {
        /// The update.
        signs: usize,
        /// The counter of the first layer.
        counter: usize,
        /// The rows of each layer; its counter follows that of the one before.
        rows: Vec<std::ops::Range<usize>>,
    },
}

/// An update of a case.
#[derive(Clone, Debug)]
pub struct Update {
    /// Shape and storage.
    pub spec: Spec,
    /// Content.
    pub fill: Fill,
    /// What becomes of it.
    pub expect: Expect,
}

/// A forward pass in f64: from the inputs (words empty) and their specs to the first output.
pub type Forward = Arc<dyn Fn(&[Vec<f64>], &[Spec]) -> Vec<f64> + Send + Sync>;
/// A loss in f64: from the inputs (words empty) and the outputs.
pub type Loss = Arc<dyn Fn(&[Vec<f64>], &[Vec<f64>]) -> f64 + Send + Sync>;

/// What a case's gradient is checked against.
#[derive(Clone, Default)]
pub enum Calculus {
    /// The differences of its own forward; if no input has a role, it is not checked.
    #[default]
    Chain,
    /// As `Chain`, and for straight inputs the differences of this forward, their stated surrogate.
    Surrogate(Forward),
    /// The first update becomes the gradient of this loss with respect to what it held.
    InPlace(Loss),
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
    /// The case's n-th input, which the first operation then does not take.
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

/// An operation, or a sequence of them, with operands to try it on.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub label: String,
    /// The operation; the first, of a sequence.
    pub op: DynOp,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The first operation's updates.
    pub updates: Vec<Update>,
    /// The operations that follow; the results are the last one's outputs.
    pub steps: Vec<CaseStep>,
    /// What its gradient is checked against.
    pub calculus: Calculus,
}

impl Case {
    /// A case without operands yet.
    pub fn new<O: Op>(label: impl Into<String>, op: O) -> Self {
        Self { label: label.into(), op: Arc::new(op), inputs: Vec::new(), updates: Vec::new(), steps: Vec::new(), calculus: Calculus::Chain }
    }

    /// Followed by another operation.
    pub fn then<O: Op>(mut self, op: O, operands: &[StepOperand]) -> Self {
        self.steps.push(CaseStep { op: Arc::new(op), operands: operands.to_vec() });
        self
    }

    /// Whether the first operation takes the n-th input.
    pub fn takes(&self, n: usize) -> bool {
        !self.steps.iter().any(|step| step.operands.contains(&StepOperand::Input(n)))
    }

    fn with(mut self, spec: Spec, fill: Fill, role: GradientRole) -> Self {
        self.inputs.push(Input { spec, fill, role });
        self
    }

    /// With an input that no gradient reaches.
    pub fn input(self, spec: Spec, fill: Fill) -> Self {
        self.with(spec, fill, GradientRole::Fixed)
    }

    /// With an input that has a gradient.
    pub fn variable(self, spec: Spec, fill: Fill) -> Self {
        self.with(spec, fill, GradientRole::Variable)
    }

    /// With an input whose gradient is added up.
    pub fn parameter(self, spec: Spec, fill: Fill) -> Self {
        self.with(spec, fill, GradientRole::Parameter)
    }

    /// With an input whose gradient, added up, is that of a surrogate.
    pub fn straight(mut self, spec: Spec, fill: Fill, surrogate: Forward) -> Self {
        self.calculus = Calculus::Surrogate(surrogate);
        self.with(spec, fill, GradientRole::Straight)
    }

    /// With an update that becomes what the oracle has.
    pub fn update(self, spec: Spec, fill: Fill) -> Self {
        self.update_to(spec, fill, Expect::Oracle)
    }

    /// With an update.
    pub fn update_to(mut self, spec: Spec, fill: Fill, expect: Expect) -> Self {
        self.updates.push(Update { spec, fill, expect });
        self
    }

    /// Whose first update becomes the gradient of this loss.
    pub fn in_place(mut self, loss: impl Fn(&[Vec<f64>], &[Vec<f64>]) -> f64 + Send + Sync + 'static) -> Self {
        self.calculus = Calculus::InPlace(Arc::new(loss));
        self
    }

    /// Whether a gradient reaches any input.
    pub fn has_gradient(&self) -> bool {
        self.inputs.iter().any(|input| input.role != GradientRole::Fixed)
    }
}
