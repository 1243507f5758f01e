//! A trial: the tape and operands of a case, its execution on the oracle and a device, and the comparison.

use super::expected::{ExpectedResult, ResultLocation, error_ratio};
use super::fill::{OperandContents, Random, draw, signs_of, transpose_of};
use super::{CheckResult, UNIT, codes, hard_failure};
use crate::graph::{
    BackwardError, BufferKind, Case, CpuMachine, CpuProgram, Data, Expect, Fill, GradientRole, Machine, MachineError, MemoryId, Overlap, RunCpu, TensorLocation,
};
use crate::graph::{ShapeError, Spec, StepOperand, Storage, Tape, TensorId, Traced, View};
use crate::ops::Add;
use std::ops::Range;
use std::sync::Arc;

/// Guard words before and after each persistent operand, which no kernel may write: 256 bytes, which also aligns the operand.
const GUARD_WORDS: usize = 64;
/// The value of guard words.
const SENTINEL: u32 = 0x4d5a_a5c3;

/// A tape, the contents of its persistent operands, and the results to compare.
pub(super) struct Trial {
    pub(super) tape: Tape,
    pub(super) memory: Vec<(TensorLocation, Vec<u32>)>,
    pub(super) results: Vec<ExpectedResult>,
}

/// The results of a device, and writes outside of operands.
pub(super) struct DeviceResults {
    pub(super) results: Vec<Vec<u32>>,
    pub(super) out_of_bounds: Vec<String>,
}

impl Trial {
    fn empty() -> Self {
        Self { tape: Tape::new(), memory: Vec::new(), results: Vec::new() }
    }

    fn location(&mut self, spec: Spec, content: Vec<u32>) -> TensorLocation {
        let location = TensorLocation { memory: MemoryId(self.memory.len()), offset: GUARD_WORDS, spec };
        self.memory.push((location, content));
        location
    }

    fn watch(&mut self, what: String, location: ResultLocation, spec: Spec, expect: Expect, input: Option<usize>) {
        if let ResultLocation::Tensor(tensor) = location {
            self.tape.keep(tensor);
        }
        self.results.push(ExpectedResult { what, location, spec, input, expect });
    }

    /// Makes a trial of the case's operation. Results are updates, then outputs.
    pub(super) fn forward(case: &Case, contents: &OperandContents) -> Result<Self, ShapeError> {
        let mut trial = Self::empty();
        let mut inputs = Vec::new();
        for (input, content) in case.inputs.iter().zip(&contents.inputs) {
            let location = trial.location(input.spec, content.clone());
            inputs.push(trial.tape.persistent(location));
        }
        let mut updates = Vec::new();
        for (n, (update, content)) in case.updates.iter().zip(&contents.updates).enumerate() {
            let location = trial.location(update.spec, content.clone());
            updates.push(trial.tape.persistent(location));
            trial.watch(format!("update {n}"), ResultLocation::Memory(location.memory.0), update.spec, update.expect.clone(), None);
        }
        let taken: Vec<TensorId> = (0..inputs.len()).filter(|&n| case.uses_input(n)).map(|n| inputs[n]).collect();
        let mut outputs = trial.tape.push_dyn(case.op.clone(), &taken, &updates)?;
        for step in &case.steps {
            let operand = |source: &StepOperand| match *source {
                StepOperand::Input(n) => inputs[n],
                StepOperand::Previous => outputs[0],
            };
            outputs = trial.tape.push_dyn(step.op.clone(), &step.operands.iter().map(operand).collect::<Vec<_>>(), &[])?;
        }
        for (n, output) in outputs.into_iter().enumerate() {
            let spec = trial.tape.spec(output);
            trial.watch(format!("output {n}"), ResultLocation::Tensor(output), spec, Expect::Reference, None);
        }
        Ok(trial)
    }

    /// Makes a trial of the operation and its gradient. Results are the gradients of the inputs, in order. The upstream
    /// gradient of the first output is the last persistent operand.
    pub(super) fn gradient(case: &Case, contents: &OperandContents, random: &mut Random) -> Result<Self, BackwardError> {
        let mut trial = Self::empty();
        let mut inputs = Vec::new();
        for (n, (input, content)) in case.inputs.iter().zip(&contents.inputs).enumerate() {
            let location = trial.location(input.spec, content.clone());
            inputs.push(match input.role {
                GradientRole::Fixed => trial.tape.persistent(location),
                GradientRole::Variable => trial.tape.variable(location),
                GradientRole::Parameter | GradientRole::Straight => {
                    let sum = trial.location(input.spec, draw(input.spec, &Fill::Normal(0.7, 1.0), random));
                    trial.watch(format!("gradient of input {n}"), ResultLocation::Memory(sum.memory.0), input.spec, Expect::Reference, Some(n));
                    trial.tape.parameter(location, sum)
                }
            });
        }
        let outputs = trial.tape.push_dyn(case.op.clone(), &inputs, &[])?;
        let spec = trial.tape.spec(outputs[0]);
        let location = trial.location(spec, draw(spec, &Fill::Normal(0.2, 1.0), random));
        let upstream = trial.tape.persistent(location);
        let gradients = trial.tape.backward(&[(outputs[0], upstream)], Arc::new(Add))?;
        for (n, id) in inputs.iter().enumerate().filter(|(n, _)| case.inputs[*n].role == GradientRole::Variable) {
            let what = format!("gradient of input {n}");
            match gradients.get(id) {
                Some(&gradient) => trial.watch(what, ResultLocation::Tensor(gradient), case.inputs[n].spec, Expect::Reference, Some(n)),
                None => return Err(BackwardError::NoRule { op: case.op.name(), why: "no gradient reached an input that wants one" }),
            }
        }
        trial.results.sort_by_key(|result| result.input);
        Ok(trial)
    }

    /// The words of a result before the run; `None` if it is not a persistent operand.
    pub(super) fn before(&self, result: usize) -> Option<&[u32]> {
        match self.results[result].location {
            ResultLocation::Memory(memory) => Some(&self.memory[memory].1),
            ResultLocation::Tensor(_) => None,
        }
    }

    /// RunCpu the trial on a device, with guard words around all persistent operands and slots.
    pub(super) async fn run_on(&self, mut machine: Machine) -> Result<DeviceResults, MachineError> {
        let whole = |location: &TensorLocation| {
            let words = location.spec.words() + 2 * GUARD_WORDS;
            let spec = if BufferKind::of(location.spec.storage) == BufferKind::Real { Spec::f32(1, words) } else { Spec::u32(1, words) };
            TensorLocation { memory: location.memory, offset: 0, spec }
        };
        for (location, content) in &self.memory {
            let whole = whole(location);
            assert_eq!(machine.allocate(BufferKind::of(location.spec.storage), whole.spec.words())?, location.memory);
            let words = [&[SENTINEL; GUARD_WORDS], &content[..], &[SENTINEL; GUARD_WORDS]].concat();
            machine.write(&whole, &words)?;
        }
        let mut program = machine.compile_guarded(self.tape.clone())?;
        machine.run(&mut program)?;
        let guarded: Vec<TensorLocation> = self.memory.iter().map(|(location, _)| whole(location)).collect();
        let memory = machine.read_later(&guarded)?.wait().await?;
        let mut out_of_bounds: Vec<String> = machine.broken_guards(&program).await?.iter().map(|spec| format!("a pooled {spec}")).collect();
        for (words, (location, _)) in memory.iter().zip(&self.memory) {
            if words[..GUARD_WORDS].iter().chain(&words[words.len() - GUARD_WORDS..]).any(|&word| word != SENTINEL) {
                out_of_bounds.push(format!("a persistent {}", location.spec));
            }
        }
        let mut results = Vec::new();
        for result in &self.results {
            results.push(match result.location {
                ResultLocation::Memory(n) => memory[n][GUARD_WORDS..memory[n].len() - GUARD_WORDS].to_vec(),
                ResultLocation::Tensor(tensor) => machine.read_tensor(&program, tensor).await?,
            });
        }
        Ok(DeviceResults { results, out_of_bounds })
    }
}

/// A trial on the CPU with any number type.
pub(super) struct CpuTrial<'a, T> {
    trial: &'a Trial,
    machine: CpuMachine<T>,
    program: CpuProgram<T>,
}

impl<'a, T: RunCpu> CpuTrial<'a, T> {
    pub(super) fn new(trial: &'a Trial) -> Result<Self, Overlap> {
        let mut machine = CpuMachine::new();
        for (location, content) in &trial.memory {
            machine.allocate(BufferKind::of(location.spec.storage), GUARD_WORDS + location.spec.words());
            match BufferKind::of(location.spec.storage) {
                BufferKind::Real => machine.reals_mut(location).iter_mut().zip(content).for_each(|(x, &word)| *x = T::from_f32(f32::from_bits(word))),
                BufferKind::Words => machine.words_mut(location).copy_from_slice(content),
            }
        }
        let program = machine.compile(Arc::new(trial.tape.clone()))?;
        Ok(Self { trial, machine, program })
    }

    /// The values of the n-th persistent operand.
    pub(super) fn operand(&mut self, n: usize) -> &mut [T] {
        self.machine.reals_mut(&self.trial.memory[n].0)
    }

    pub(super) fn run(&mut self) {
        self.machine.run(&mut self.program);
    }

    pub(super) fn result(&self, n: usize) -> Data<T> {
        match self.trial.results[n].location {
            ResultLocation::Memory(memory) => {
                let location = &self.trial.memory[memory].0;
                match BufferKind::of(location.spec.storage) {
                    BufferKind::Real => Data::Real(self.machine.reals(location).to_vec()),
                    BufferKind::Words => Data::Words(self.machine.words(location).to_vec()),
                }
            }
            ResultLocation::Tensor(tensor) => match self.machine.tensor(&self.program, tensor) {
                View::Real(data, _) => Data::Real(data.to_vec()),
                View::Words(data, _) => Data::Words(data.to_vec()),
            },
        }
    }
}

/// Compares the results of a device with the expected ones.
pub(super) fn check_results(trial: &Trial, expected: &[Data<Traced>], got: &DeviceResults, storage: Storage) -> CheckResult {
    if let Some(location) = got.out_of_bounds.first() {
        return Err(hard_failure(format!("a kernel wrote outside {location}")));
    }
    let mut worst: f64 = 0.0;
    for (n, result) in trial.results.iter().enumerate() {
        let words = &got.results[n];
        let error = match (&result.expect, &expected[n]) {
            (Expect::Reference, Data::Real(oracle)) => within_bounds(result, words, oracle, storage)?,
            (Expect::Reference, Data::Words(oracle)) if result.spec.storage == Storage::F16 => near_halves(result, words, oracle)?,
            (Expect::Reference, Data::Words(oracle)) => same_words(result, words, oracle)?,
            (Expect::Codes { step }, Data::Real(oracle)) => codes::check(result, words, oracle, *step)?,
            (Expect::Unchanged, _) => same_words(result, words, trial.before(n).expect("updates are persistent"))?,
            (&Expect::Element(n), Data::Real(oracle)) => same_words(result, &words[n..=n], &[(oracle[n].value as f32).to_bits()])?,
            (&Expect::SignsOf(other), _) => same_words(result, words, &signs_of(&got.results[other], result.spec))?,
            (&Expect::TransposeOf(other), _) => same_words(result, words, &transpose_of(&got.results[other], trial.results[other].spec))?,
            (Expect::FlipsOf { signs, counter, rows }, _) => same_words(result, words, &flips(trial, got, n, *signs, (*counter, rows)))?,
            (Expect::Element(_) | Expect::Codes { .. }, Data::Words(_)) => unreachable!("elements are floats"),
        };
        worst = worst.max(error);
    }
    Ok(worst)
}

/// The expected flip counters in update `n`, from the signs that the device itself wrote to result `signs`.
fn flips(trial: &Trial, got: &DeviceResults, n: usize, signs: usize, (counter, layers): (usize, &[Range<usize>])) -> Vec<u32> {
    let before = |result: usize| trial.before(result).expect("updates are persistent");
    let row_words = trial.results[signs].spec.row_words();
    let mut counters = before(n).to_vec();
    for (counter, rows) in counters[counter..].iter_mut().zip(layers) {
        let words = rows.start * row_words..rows.end * row_words;
        let changed = before(signs)[words.clone()].iter().zip(&got.results[signs][words]).map(|(old, new)| (old ^ new).count_ones());
        *counter += changed.sum::<u32>();
    }
    counters
}

/// Compares f16 values, which may differ by one step, since WGSL allows either rounding in conversions to f16. The error of
/// f32 is smaller than that in all cases: no sum is close to zero.
fn near_halves(result: &ExpectedResult, got: &[u32], expected: &[u32]) -> CheckResult {
    let order = |half: u32| if half & 0x8000 == 0 { half as i32 } else { -((half & 0x7fff) as i32) };
    let far = |got: u32, expected: u32| (order(got) - order(expected)).abs();
    let steps = |(&got, &expected): (&u32, &u32)| far(got & 0xffff, expected & 0xffff).max(far(got >> 16, expected >> 16));
    let worst = got.iter().zip(expected).map(steps).max().unwrap_or(0);
    if worst > 1 { same_words(result, got, expected) } else { Ok(f64::from(worst)) }
}

fn same_words(result: &ExpectedResult, got: &[u32], expected: &[u32]) -> CheckResult {
    match got.iter().zip(expected).position(|(got, expected)| got != expected) {
        None => Ok(0.0),
        Some(at) => {
            let (row, word) = (at / result.spec.row_words(), at % result.spec.row_words());
            let (got, expected) = (got[at], expected[at]);
            Err(hard_failure(format!("{} {}, row {row}, word {word}: {got:#x}, expected {expected:#x}", result.what, result.spec)))
        }
    }
}

/// Checks the error bound |got − oracle| ≤ (roundings + 8)·u·Σ|terms| for every element, plus the error of rounding
/// operands to f16 for a variant with f16 operands. If an operand overflows f16, such a variant must give an infinity or a
/// NaN, which the training guard detects, or the result. The same applies to any variant if the result overflows f32.
fn within_bounds(result: &ExpectedResult, got: &[u32], oracle: &[Traced], storage: Storage) -> CheckResult {
    let bound = |oracle: &Traced| if storage == Storage::F16 { oracle.bound_f16(UNIT) } else { oracle.bound(UNIT) };
    let (mut worst, mut at, mut outside) = (0f64, 0, 0);
    for (n, (&word, oracle)) in got.iter().zip(oracle).enumerate() {
        let value = f64::from(f32::from_bits(word));
        let overflows = oracle.value.abs() > f64::from(f32::MAX) || storage == Storage::F16 && oracle.overflow;
        if overflows && !value.is_finite() {
            continue;
        }
        let share = error_ratio((value - oracle.value).abs(), bound(oracle));
        outside += usize::from(share > 1.0);
        if share > worst {
            (worst, at) = (share, n);
        }
    }
    if outside == 0 {
        return Ok(worst);
    }
    let (row, column, value) = (at / result.spec.cols, at % result.spec.cols, f32::from_bits(got[at]));
    let (expected, bound) = (oracle[at].value, bound(&oracle[at]));
    let failure = format!(
        "{} {}, row {row}, column {column}: {value:e}, expected {expected:e} ± {bound:e}; {outside} of {} elements are wrong",
        result.what,
        result.spec,
        got.len()
    );
    Err((worst, failure))
}
