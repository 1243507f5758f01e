//! The programs of a training step: micro-step (teacher and student forward, loss, backward),
//! optimizer step (norm, clip, AdamW, signs, flips), and evaluation; and their small input and output
//! tensors.

use super::losses::Losses;
use crate::data::Batch;
use crate::graph::{BackwardError, BufferKind, Machine, MachineError, Pending, Program, Recompute, ShapeError, Spec, Tape, TensorLocation};
use crate::model::{BinaryGroup, ChunkedLoss, Forward, Positions, TeacherOutput, Weights};
use crate::ops::{AdamW, AdamWSigns, Add, CONTROL, Control, Divergence, GradNorm, Members, NORM, Objective, PARTIALS, SumSquares, TERMS};
use std::sync::Arc;

/// An error of creating or running the programs of a step.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// An error of the device.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The shapes of teacher and student do not match.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The tape cannot be differentiated.
    #[error(transparent)]
    Backward(#[from] BackwardError),
    /// A batch does not match the programs.
    #[error("batch: {0}")]
    Batch(String),
}

/// The report of an optimizer step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Mean over the step's micro-steps.
    pub losses: Losses,
    /// Global gradient norm before clipping; infinite or NaN if it overflowed.
    pub norm: f64,
    /// True if the parameters were changed.
    pub taken: bool,
    /// Number of sign flips of each binarized matrix.
    pub flips: Vec<u32>,
}

/// A report that is being read from the device.
#[derive(Debug)]
pub struct PendingReport {
    values: Pending,
    /// The divergence that is minimised, if any.
    trained: Option<Divergence>,
}

impl PendingReport {
    /// Waits for the report.
    pub async fn wait(self) -> Result<StepReport, StepError> {
        let values = self.values.wait().await?;
        let norm = |n: usize| f32::from_bits(values[1][n]);
        let losses = Losses::read(&values[0], |divergence| self.trained == Some(divergence));
        Ok(StepReport { losses, norm: f64::from(norm(0)), taken: norm(2) == 1.0, flips: values.get(2).cloned().unwrap_or_default() })
    }
}

/// Alignment of a part of a gradient in words: 256 bytes, as of all bindings.
const BINDING_WORDS: usize = 64;

/// Allocates a tensor that the host writes or reads in each step.
fn feed(machine: &mut Machine, spec: Spec) -> Result<TensorLocation, MachineError> {
    Ok(TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words())?, offset: 0, spec })
}

/// The tensors of a batch.
#[derive(Clone, Copy, Debug)]
struct Feed {
    tokens: TensorLocation,
    targets: TensorLocation,
    weights: TensorLocation,
    scale: TensorLocation,
    sums: TensorLocation,
    /// Top-k ids and probabilities of a cached teacher.
    top: Option<(TensorLocation, TensorLocation)>,
}

impl Feed {
    /// Allocates them for `rows` positions, with `top` tokens of a cached teacher at each.
    fn new(machine: &mut Machine, rows: usize, top: Option<usize>) -> Result<Self, MachineError> {
        let cached = |top| Ok::<_, MachineError>((feed(machine, Spec::u32(rows, top))?, feed(machine, Spec::f32(rows, top + 1))?));
        Ok(Self {
            top: top.map(cached).transpose()?,
            tokens: feed(machine, Spec::u32(rows, 1))?,
            targets: feed(machine, Spec::u32(rows, 1))?,
            weights: feed(machine, Spec::f32(rows, 1))?,
            scale: feed(machine, Spec::f32(1, 1))?,
            sums: feed(machine, Spec::f32(1, TERMS))?,
        })
    }

    /// Writes a batch; its weights are scaled to sum to `share`.
    fn write(&self, machine: &mut Machine, batch: &Batch, vocabulary: usize, share: f64) -> Result<(), StepError> {
        let rows = self.tokens.spec.rows;
        if batch.tokens.len() != rows || batch.targets.len() != rows || batch.weights.len() != rows {
            return Err(StepError::Batch(format!(
                "{} tokens, {} targets and {} weights; must be {rows} each",
                batch.tokens.len(),
                batch.targets.len(),
                batch.weights.len()
            )));
        }
        if let Some(id) = batch.tokens.iter().chain(&batch.targets).find(|&&id| id as usize >= vocabulary) {
            return Err(StepError::Batch(format!("token id {id} is outside the vocabulary of {vocabulary}")));
        }
        let total: f64 = batch.weights.iter().map(|&w| f64::from(w)).sum();
        let factor = if total > 0.0 { share / total } else { 0.0 };
        let weights: Vec<f32> = batch.weights.iter().map(|&w| (f64::from(w) * factor) as f32).collect();
        machine.write(&self.tokens, &batch.tokens)?;
        machine.write(&self.targets, &batch.targets)?;
        machine.write_f32(&self.weights, &weights)?;
        if let (Some((ids, shares)), Some(top_k)) = (self.top, &batch.top_k) {
            let (want, have) = ((ids.spec.words(), shares.spec.words()), (top_k.ids.len(), top_k.shares.len()));
            if want != have {
                return Err(StepError::Batch(format!("{} ids and {} probabilities of a teacher; must be {} and {}", have.0, have.1, want.0, want.1)));
            }
            machine.write(&ids, &top_k.ids)?;
            machine.write_f32(&shares, &top_k.shares)?;
        }
        Ok(())
    }
}

/// The shape and objective of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepShape {
    /// Sequences in a micro-step.
    pub batch: usize,
    /// Tokens in a sequence.
    pub seq: usize,
    /// The training objective.
    pub objective: Objective,
    /// The activations that are recomputed for the gradients.
    pub recompute: Recompute,
}

/// Models on a device, and the programs that train the student.
pub struct Step {
    /// The model being trained.
    pub student: Weights,
    /// Its teacher, unless it is trained from tokens only or from a cache.
    pub teacher: Option<Weights>,
    shape: StepShape,
    feed: Feed,
    control: TensorLocation,
    norm: TensorLocation,
    flips: Option<TensorLocation>,
    micro: Program,
    update: Program,
    eval: Program,
}

impl Step {
    /// Plans and compiles the programs for models on the device.
    pub fn new(machine: &mut Machine, student: Weights, teacher: Option<Weights>, shape: StepShape) -> Result<Self, StepError> {
        Self::with_top(machine, student, teacher, None, shape)
    }

    /// Like [`Step::new`], but the student is trained from a teacher cache with `top` tokens at each
    /// position. `teacher` is only used on held-out text.
    pub fn cached(machine: &mut Machine, student: Weights, teacher: Option<Weights>, top: usize, shape: StepShape) -> Result<Self, StepError> {
        Self::with_top(machine, student, teacher, Some(top), shape)
    }

    fn with_top(machine: &mut Machine, student: Weights, teacher: Option<Weights>, top: Option<usize>, shape: StepShape) -> Result<Self, StepError> {
        let feed_homes = Feed::new(machine, shape.batch * shape.seq, top)?;
        let tables = Tables::new(machine, &student, teacher.as_ref(), shape.seq)?;
        let record = |gradient: bool| record_loss(&student, teacher.as_ref(), &tables, feed_homes, shape, gradient);
        let micro = machine.compile(record(true)?)?;
        let eval = machine.compile(record(false)?)?;
        let control = feed(machine, Spec::f32(1, CONTROL))?;
        let norm = feed(machine, Spec::f32(1, NORM))?;
        let flips = match student.binary.iter().flat_map(BinaryGroup::layers).count() {
            0 => None,
            matrices => Some(feed(machine, Spec::u32(1, matrices))?),
        };
        let update = record_update(machine, &student, control, norm, flips)?;
        let update = machine.compile(update)?;
        Ok(Self { student, teacher, shape, feed: feed_homes, control, norm, flips, micro, update, eval })
    }

    /// Its shape and objective.
    pub fn shape(&self) -> StepShape {
        self.shape
    }

    /// Returns true if there is a teacher, on the device or in a cache.
    pub fn has_teacher(&self) -> bool {
        self.teacher.is_some() || self.feed.top.is_some()
    }

    /// The programs of a step: micro-step and optimizer step.
    pub fn programs(&self) -> [&Program; 2] {
        [&self.micro, &self.update]
    }

    /// The micro-step: forward, loss and backward.
    pub fn micro_program(&self) -> &Program {
        &self.micro
    }

    /// Bytes of activations of each program.
    pub fn slot_bytes(&self) -> Vec<(String, u64)> {
        let programs = [("micro-step", &self.micro), ("optimizer step", &self.update), ("evaluation", &self.eval)];
        programs.map(|(name, program)| (name.to_string(), program.slot_bytes())).to_vec()
    }

    /// Clears the loss sums of an optimizer step. Call before its first micro-step.
    pub fn begin(&mut self, machine: &mut Machine) -> Result<(), StepError> {
        machine.write(&self.feed.sums, &[0; TERMS])?;
        if let Some(flips) = &self.flips {
            machine.write(flips, &vec![0; flips.spec.words()])?;
        }
        Ok(())
    }

    /// Runs one of `accumulate` micro-steps: adds to gradients and loss sums. `scale` is the loss scale.
    pub fn micro(&mut self, machine: &mut Machine, batch: &Batch, accumulate: usize, scale: f32) -> Result<(), StepError> {
        if self.feed.top.is_some() && batch.top_k.is_none() {
            return Err(StepError::Batch("no cached probabilities, but the step is trained from a teacher cache".into()));
        }
        self.feed.write(machine, batch, self.student.config.vocab_size, 1.0 / accumulate as f64)?;
        machine.write_f32(&self.feed.scale, &[scale])?;
        Ok(machine.run(&mut self.micro)?)
    }

    /// Reads the loss sums so far in this optimizer step. For the golden test, which compares every micro-step; a report has their mean.
    pub async fn losses(&mut self, machine: &mut Machine) -> Result<Losses, StepError> {
        let trained = self.trained_divergence();
        Ok(Losses::read(&machine.read(&self.feed.sums).await?, |divergence| trained == Some(divergence)))
    }

    /// Runs the optimizer step (norm, clip, AdamW, signs, flips) and starts reading its report.
    pub fn update(&mut self, machine: &mut Machine, control: &Control<f32>) -> Result<PendingReport, StepError> {
        machine.write_f32(&self.control, &control.words())?;
        machine.run(&mut self.update)?;
        let locations: Vec<TensorLocation> = [self.feed.sums, self.norm].into_iter().chain(self.flips).collect();
        Ok(PendingReport { values: machine.read_later(&locations)?, trained: self.trained_divergence() })
    }

    /// Returns the divergence that is minimised, if any.
    fn trained_divergence(&self) -> Option<Divergence> {
        self.has_teacher().then_some(self.shape.objective.divergence)
    }

    /// Computes the mean losses of batches, without gradients. Do not call it within an optimizer step.
    pub async fn evaluate(&mut self, machine: &mut Machine, batches: &[Batch]) -> Result<Losses, StepError> {
        machine.write(&self.feed.sums, &[0; TERMS])?;
        for batch in batches {
            self.feed.write(machine, batch, self.student.config.vocab_size, 1.0 / batches.len() as f64)?;
            machine.run(&mut self.eval)?;
        }
        // Some divergences cannot be measured with the rounded probabilities of a cache.
        let (whole, taught) = (self.teacher.is_some(), self.has_teacher());
        let known = |divergence: Divergence| if divergence.info().uncached.is_some() { whole } else { taught };
        Ok(Losses::read(&machine.read(&self.feed.sums).await?, known))
    }
}

/// RoPE tables of both models, shared if they are equal.
struct Tables {
    student: Positions,
    teacher: Option<Positions>,
}

impl Tables {
    fn new(machine: &mut Machine, student: &Weights, teacher: Option<&Weights>, seq: usize) -> Result<Self, MachineError> {
        let tables = |machine: &mut Machine, weights: &Weights| Positions::new(machine, &weights.config, seq);
        Ok(Self { student: tables(machine, student)?, teacher: teacher.map(|teacher| tables(machine, teacher)).transpose()? })
    }
}

fn record_loss(student: &Weights, teacher: Option<&Weights>, tables: &Tables, feed: Feed, shape: StepShape, gradient: bool) -> Result<Tape, StepError> {
    let StepShape { batch, seq, objective, recompute } = shape;
    let mut tape = Tape::new();
    let [tokens, targets, weights, scale, sums] = [feed.tokens, feed.targets, feed.weights, feed.scale, feed.sums].map(|location| tape.persistent(location));
    let teacher = match (teacher, tables.teacher, feed.top) {
        (Some(weights), Some(positions), top) if top.is_none() || !gradient => {
            TeacherOutput::Full(weights, Forward { weights, positions, batch, seq, cache: None }.hidden(&mut tape, tokens)?)
        }
        (_, _, Some((ids, shares))) => TeacherOutput::TopK(tape.persistent(ids), tape.persistent(shares)),
        _ => TeacherOutput::None,
    };
    let hidden = Forward { weights: student, positions: tables.student, batch, seq, cache: None }.hidden(&mut tape, tokens)?;
    // Held-out losses are at temperature 1 in every run with a teacher; a cache has only its own temperature.
    let measured = !gradient && !matches!(teacher, TeacherOutput::TopK(..));
    let objective = if measured { Objective { temperature: 1.0, ..objective } } else { objective };
    let loss = ChunkedLoss { student, teacher, targets, weights, scale, sums, objective, gradient };
    if let Some(d_hidden) = loss.record(&mut tape, hidden)? {
        tape.backward(&[(hidden, d_hidden)], Arc::new(Add))?;
        tape.recompute(recompute);
    }
    Ok(tape)
}

fn record_update(
    machine: &mut Machine, student: &Weights, control: TensorLocation, norm: TensorLocation, flips: Option<TensorLocation>,
) -> Result<Tape, StepError> {
    let gradients = student.gradients();
    let partials = feed(machine, Spec::f32(gradients.len(), PARTIALS))?;
    let mut tape = Tape::new();
    let (control, norm) = (tape.persistent(control), tape.persistent(norm));
    for (n, location) in gradients.iter().enumerate() {
        let row = tape.persistent(partials.rows(n, 1));
        for (squares, part) in SumSquares::parts(location.spec.elements(), student.max_words(), BINDING_WORDS) {
            let spec = Spec::f32(1, part.len());
            let gradient = tape.persistent(TensorLocation { offset: location.offset + part.start, spec, ..*location });
            tape.push(squares, &[gradient], &[row])?;
        }
    }
    let all = tape.persistent(partials);
    tape.push(GradNorm, &[all, control], &[norm])?;
    for page in student.pages() {
        let state = [page.value, page.first, page.second, page.gradient].map(|location| tape.persistent(location));
        tape.push(AdamW, &[norm, control], &state)?;
    }
    let mut counter = 0;
    for binary in &student.binary {
        let (Some(transposed), Some(flips)) = (binary.transposed, flips) else { unreachable!("binary layers have both in training") };
        for (first, latent, signs) in student.latent_blocks(binary) {
            let state = [latent.value, latent.first, latent.second, latent.gradient, signs, transposed, flips].map(|location| tape.persistent(location));
            let members = Members::new(&binary.group.outs())?;
            tape.push(AdamWSigns { members, counter, first }, &[norm, control], &state)?;
        }
        counter += binary.group.members.len();
    }
    Ok(tape)
}
