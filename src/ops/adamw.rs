//! AdamW as in PyTorch (decoupled weight decay); it also clears the gradient. For latent weights it also
//! packs the new signs, in both layouts, and counts sign flips.

use super::control::{CONTROL, Control, NORM};
use super::group::Members;
use super::{TASK, check_operands};
use crate::graph::{
    Backward, Case, CpuIo, Expect, Fill, LOG_BLOCK, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, ViewMut, grid, log_codes,
    unpack, vectorised,
};
use crate::params;
use crate::platform::parallel::*;

/// The parameter, its moments and its gradient.
struct ElementState<'a, T> {
    parameter: &'a mut [T],
    first: &'a mut [T],
    second: &'a mut [T],
    gradient: &'a mut [T],
}

/// θ ← θ·(1 − ηλ) − η·m̂/(√v̂ + ε), with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).
#[inline(always)]
fn step<T: Real>(control: &Control<T>, norm: &[T], state: ElementState<'_, T>) {
    let &[_, factor, _, correction1, correction2, ..] = norm else { unreachable!("checked") };
    let one = T::from_f32(1.0);
    let (keep, rate) = (one - control.rate * control.decay, control.rate / correction1);
    let (rest1, rest2) = (one - control.beta1, one - control.beta2);
    let inverse2 = one / correction2;
    let moments = state.first.iter_mut().zip(state.second);
    for ((p, g), (m, v)) in state.parameter.iter_mut().zip(state.gradient).zip(moments) {
        let gradient = *g * factor;
        *m = control.beta1 * *m + rest1 * gradient;
        *v = control.beta2 * *v + rest2 * gradient * gradient;
        *p = *p * keep - rate * *m / ((*v).sqrt() * inverse2 + control.epsilon);
        *g = T::ZERO;
    }
}

/// Arithmetic operations of [`step`] for each element.
const OPERATIONS: f64 = 15.0;

/// The moments of consecutive elements.
enum MomentSlices<'a, T> {
    Floats(&'a mut [T], &'a mut [T]),
    Codes(&'a mut [u32], &'a mut [u32]),
}

impl<'a, T: Real> MomentSlices<'a, T> {
    /// Splits the moments into chunks of `n` elements.
    fn split(first: &'a mut ViewMut<'_, T>, second: &'a mut ViewMut<'_, T>, n: usize) -> Vec<Self> {
        match (first, second) {
            (ViewMut::Real(first, _), ViewMut::Real(second, _)) => {
                first.chunks_mut(n).zip(second.chunks_mut(n)).map(|(first, second)| MomentSlices::Floats(first, second)).collect()
            }
            (ViewMut::Words(first, _), ViewMut::Words(second, _)) => {
                let words = Storage::SignedLog.row_words(n);
                first.chunks_mut(words).zip(second.chunks_mut(words)).map(|(first, second)| MomentSlices::Codes(first, second)).collect()
            }
            _ => unreachable!("both moments are stored alike"),
        }
    }

    /// Runs [`step`] on the elements from index `from` on; the rounding noise of codes depends on the index.
    fn step(self, control: &Control<T>, norm: &[T], parameter: &mut [T], gradient: &mut [T], from: usize) {
        let (first, second) = match self {
            MomentSlices::Codes(first, second) => (first, second),
            MomentSlices::Floats(first, second) => {
                return vectorised(
                    #[inline(always)]
                    || step(control, norm, ElementState { parameter, first, second, gradient }),
                );
            }
        };
        let (n, number) = (parameter.len(), control.step.to_f64() as u32);
        T::with_scratch(2 * n, |moments| {
            let (m, v) = moments.split_at_mut(n);
            vectorised(
                #[inline(always)]
                || {
                    unpack(Storage::SignedLog, first, m);
                    unpack(Storage::UnsignedLog, second, v);
                    step(control, norm, ElementState { parameter, first: m, second: v, gradient });
                    log_codes::encode(
                        Storage::SignedLog,
                        m,
                        first,
                        #[inline(always)]
                        |i| log_codes::dither((from + i) as u32, number)[0],
                    );
                    log_codes::encode(
                        Storage::UnsignedLog,
                        v,
                        second,
                        #[inline(always)]
                        |i| log_codes::dither((from + i) as u32, number)[1],
                    );
                },
            );
        });
    }
}

/// Returns true if the moments are in 8-bit codes.
fn has_coded_moments(specs: Specs<'_>) -> bool {
    specs.updates.get(1).is_some_and(|spec| spec.storage == Storage::SignedLog)
}

fn check(specs: Specs<'_>, extra: &[Storage]) -> Result<(), String> {
    let moments = if has_coded_moments(specs) { [Storage::SignedLog, Storage::UnsignedLog] } else { [Storage::F32; 2] };
    let updates = [&[Storage::F32], &moments[..], &[Storage::F32], extra].concat();
    check_operands(specs, &[Storage::F32, Storage::F32], &updates)?;
    if specs.inputs[0].elements() != NORM || specs.inputs[1].elements() != CONTROL {
        return Err(format!("norm {}, control {}", specs.inputs[0], specs.inputs[1]));
    }
    match specs.updates[1..4].iter().find(|spec| !spec.same_shape(&specs.updates[0])) {
        Some(other) => Err(format!("parameter {} and {other} differ", specs.updates[0])),
        None => Ok(()),
    }
}

/// Inputs: the norm block and the control block. Updates: parameter, first moment, second moment,
/// gradient, all of one shape; usually a whole arena. The moments are floats or 8-bit codes
/// (`SignedLog`, `UnsignedLog`).
#[derive(Clone, Debug)]
pub struct AdamW;

impl Op for AdamW {
    const NAME: &'static str = "adamw";

    fn key(&self) -> String {
        "AdamW".into()
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check(specs, &[]).map_err(Self::shape_error)?;
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let n = specs.updates[0].elements();
        Variant::portable(vec![Launch {
            kernel: if has_coded_moments(specs) { "adamw/plain.q8" } else { "adamw/plain" },
            operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0), Operand::Up(1), Operand::Up(2), Operand::Up(3)],
            params: params! { n: n },
            groups: grid(n.div_ceil(256)),
            operations: Some(OPERATIONS * n as f64),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let control = Control::read(io.inputs[1].real());
        let norm = io.inputs[0].real();
        let [p, m, v, g] = &mut io.updates[..] else { unreachable!("four updates") };
        if norm[2] == T::ZERO {
            return g.real().fill(T::ZERO);
        }
        let tasks = p.real().par_chunks_mut(TASK).zip(g.real().par_chunks_mut(TASK)).zip(MomentSlices::split(m, v, TASK)).enumerate();
        tasks.for_each(|(task, ((parameter, gradient), moments))| moments.step(&control, norm, parameter, gradient, task * TASK));
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("the optimizer is not differentiated")
    }
}

/// Like [`AdamW`], for one latent matrix `(out, in)`, or a block of its rows; further updates: `signs` of these rows,
/// `signsᵀ (in, out)` of the whole matrix, and the counters of sign flips `(1, layers)`, to which it adds.
#[derive(Clone, Debug)]
pub struct AdamWSigns {
    /// The layers that are stacked in the matrix.
    pub members: Members,
    /// The index of the first layer's counter.
    pub counter: usize,
    /// The first row of the block, a multiple of 32; 0 for the whole matrix.
    pub first: usize,
}

impl Op for AdamWSigns {
    const NAME: &'static str = "adamw";

    fn key(&self) -> String {
        let first = if self.first == 0 { String::new() } else { format!(", first: {}", self.first) };
        format!("AdamWSigns {{ members: {}, counter: {}{first} }}", self.members.key(), self.counter)
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        check(specs, &[Storage::Signs, Storage::Signs, Storage::U32]).map_err(Self::shape_error)?;
        let [latent, signs, transposed, flips] = [0, 4, 5, 6].map(|n| specs.updates[n]);
        let transposed_spec = Spec::signs(latent.cols, self.members.rows());
        if !signs.same_shape(&latent)
            || !transposed.same_shape(&transposed_spec)
            || !self.first.is_multiple_of(32)
            || self.first + latent.rows > self.members.rows()
            || flips.elements() < self.counter + self.members.count()
        {
            return Err(Self::shape_error(format!(
                "latent {latent} from row {} on of {:?}, signs {signs}, signsᵀ {transposed}, counter {} of {flips}",
                self.first, self.members, self.counter
            )));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let latent = specs.updates[0];
        let (rows, cols) = (latent.rows as u32, latent.cols as u32);
        let codes = has_coded_moments(specs);
        // A workgroup updates a block of 256 columns with 8-bit codes, otherwise 32 words of signs.
        let groups = if codes { latent.rows * latent.cols.div_ceil(LOG_BLOCK) } else { specs.updates[4].words().div_ceil(32) };
        let first = self.first as u32;
        let [second, third] = self.members.bounds().map(|bound| bound.saturating_sub(first));
        // Two kernels, because one would bind nine storage buffers, and WebGPU guarantees eight.
        Variant::portable(vec![
            Launch {
                kernel: if codes { "adamw/signs.q8" } else { "adamw/signs" },
                operands: vec![Operand::In(0), Operand::In(1), Operand::Up(0), Operand::Up(1), Operand::Up(2), Operand::Up(3), Operand::Up(4), Operand::Up(6)],
                params: params! { rows: rows, columns: cols, counter: self.counter, first: first, second_layer: second, third_layer: third },
                groups: grid(groups),
                operations: Some(OPERATIONS * latent.elements() as f64),
            },
            Launch {
                kernel: "adamw/transpose",
                operands: vec![Operand::Up(4), Operand::Up(5)],
                params: params! { rows: rows, columns: cols, words: specs.updates[5].row_words(), first: first / 32 },
                groups: grid((latent.rows.div_ceil(32) * latent.cols).div_ceil(256)),
                operations: None,
            },
        ])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let control = Control::read(io.inputs[1].real());
        let norm = io.inputs[0].real();
        let [p, m, v, g, signs, transposed, flips] = &mut io.updates[..] else { unreachable!("seven updates") };
        if norm[2] == T::ZERO {
            return g.real().fill(T::ZERO);
        }
        let latent = p.spec();
        let (cols, row_words) = (latent.cols, signs.spec().row_words());
        let rows = p.real().par_chunks_mut(cols).zip(g.real().par_chunks_mut(cols)).zip(MomentSlices::split(m, v, cols));
        let rows = rows.zip(signs.words().par_chunks_mut(row_words)).enumerate();
        let flipped: Vec<u32> = rows
            .map(|(row, (((parameter, gradient), moments), signs))| {
                moments.step(&control, norm, parameter, gradient, (self.first + row) * cols);
                vectorised(
                    #[inline(always)]
                    || repack(parameter, signs),
                )
            })
            .collect();
        let block = self.first..self.first + latent.rows;
        for (counter, rows) in flips.words()[self.counter..].iter_mut().zip(self.members.ranges()) {
            let rows = rows.start.clamp(block.start, block.end)..rows.end.clamp(block.start, block.end);
            *counter += flipped[rows.start - block.start..rows.end - block.start].iter().sum::<u32>();
        }
        let out_words = transposed.spec().row_words();
        transpose_rows(signs.words(), latent.rows, latent.cols, transposed.words(), (self.first / 32, out_words));
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("the optimizer is not differentiated")
    }
}

/// Packs the signs of one row over the old ones (sign(0) = −1); returns how many changed.
#[inline(always)]
fn repack<T: Real>(row: &[T], signs: &mut [u32]) -> u32 {
    let mut flipped = 0;
    for (chunk, word) in row.chunks(32).zip(signs) {
        let mut new = 0;
        for (j, &x) in chunk.iter().enumerate() {
            new |= u32::from(x > T::ZERO) << j;
        }
        flipped += (new ^ *word).count_ones();
        *word = new;
    }
    flipped
}

/// Packs the signs of `latent (rows, cols)`: bit j of word k of a row is column 32k + j.
pub fn pack_signs<T: Real>(latent: &[T], cols: usize, signs: &mut [u32]) {
    signs.fill(0);
    for (row, signs) in latent.chunks(cols).zip(signs.chunks_mut(Storage::Signs.row_words(cols))) {
        repack(row, signs);
    }
}

/// Packs the transpose of `signs (rows, cols)` into `out (cols, rows)`.
pub fn transpose_signs(signs: &[u32], rows: usize, cols: usize, out: &mut [u32]) {
    transpose_rows(signs, rows, cols, out, (0, Storage::Signs.row_words(rows)));
}

/// Like [`transpose_signs`], into the words from `first` on of rows of `out_words` words.
fn transpose_rows(signs: &[u32], rows: usize, cols: usize, out: &mut [u32], (first, out_words): (usize, usize)) {
    let row_words = Storage::Signs.row_words(cols);
    out.par_chunks_mut(out_words * 32).enumerate().for_each(|(k, band)| {
        for block in 0..rows.div_ceil(32) {
            let mut tile = [0u32; 32];
            for (r, word) in tile.iter_mut().enumerate().take(rows - block * 32) {
                *word = signs[(block * 32 + r) * row_words + k];
            }
            transpose_tile(&mut tile);
            for (row, &word) in band.chunks_mut(out_words).zip(&tile) {
                row[first + block] = word;
            }
        }
    });
}

/// Transposes 32 × 32 bits in place: swaps off-diagonal blocks of halving width.
fn transpose_tile(tile: &mut [u32; 32]) {
    let (mut width, mut mask) = (16, 0x0000_ffffu32);
    while width != 0 {
        let mut row = 0;
        while row < 32 {
            let swapped = ((tile[row] >> width) ^ tile[row + width]) & mask;
            tile[row] ^= swapped << width;
            tile[row + width] ^= swapped;
            row = (row + width + 1) & !width;
        }
        width >>= 1;
        mask ^= mask << width;
    }
}

/// Test cases: steps taken and skipped, weights without a gradient, odd matrices.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for n in [1, 255, 256, 257, 10_007] {
        cases.push(plain_case(format!("{n} parameters"), n, true, moments()));
    }
    for (rows, cols) in [(1, 1), (5, 7), (32, 32), (33, 65), (64, 129), (100, 31), (3, 700), (257, 40)] {
        cases.push(signs_case("", &[rows], cols, true, moments()));
    }
    for (rows, cols) in [(&[7, 9, 1][..], 40), (&[64, 32, 32], 64), (&[1, 70], 33)] {
        cases.push(signs_case("", rows, cols, true, moments()));
    }
    // Weights without a gradient stay +0 or −0, whose sign is −1.
    cases.push(plain_case("40 parameters, never touched".into(), 40, true, untouched()));
    cases.push(signs_case(", never touched", &[40], 50, true, untouched()));
    // A gradient that overflowed changes nothing.
    let [first, second, _] = moments();
    let overflowed = [first, second, Fill::Floats(vec![1.0, f32::INFINITY, -3.0, f32::NAN, f32::NEG_INFINITY, 0.5, 2.0])];
    let held = [
        plain_case("300 parameters, not taken".into(), 300, false, moments()),
        plain_case("300 parameters, overflowed, not taken".into(), 300, false, overflowed.clone()),
        signs_case("", &[33], 65, false, moments()),
        signs_case(", overflowed", &[33], 65, false, overflowed),
    ];
    let coded: Vec<Case> = cases.iter().map(|case| with_coded_moments(case, Expect::Codes { step: STEP })).collect();
    let coded_held = held.each_ref().map(|case| with_coded_moments(case, Expect::Unchanged));
    cases.into_iter().chain(coded).chain(held).chain(coded_held).collect()
}

/// Returns the case with its moments in 8-bit codes.
fn with_coded_moments(case: &Case, expect: Expect) -> Case {
    let mut case = Case { label: format!("{}, moments in codes", case.label), ..case.clone() };
    for (update, storage) in case.updates[1..3].iter_mut().zip([Storage::SignedLog, Storage::UnsignedLog]) {
        update.spec.storage = storage;
        update.expect = expect.clone();
    }
    case
}

/// The number of the step in the cases.
const STEP: u32 = 7;

/// First moment, second moment, gradient.
fn moments() -> [Fill; 3] {
    [Fill::Normal(0.01, 0.05), Fill::Uniform(1e-8, 1e-2), Fill::Normal(0.1, 1.0)]
}

/// First moment, second moment and gradient of a weight that never had a gradient.
fn untouched() -> [Fill; 3] {
    [0.0; 3].map(|zero| Fill::Floats(vec![zero]))
}

fn control_blocks(case: Case, taken: bool) -> Case {
    let control = Control {
        rate: 3e-2,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        decay: 0.1,
        // After a skipped and after a taken step; the norm block has the valid ones.
        correction1: [0.1, 0.19],
        correction2: [0.22, 0.31],
        clip: 1.0,
        inverse_scale: 1.0 / 1024.0,
        threshold: 1e3,
        step: STEP as f32,
    };
    case.input(Spec::f32(1, NORM), Fill::Floats(vec![2.5, 0.4 / 1024.0, f32::from(u8::from(taken)), 0.271, 0.377, 0.0, 0.0, 0.0]))
        .input(Spec::f32(1, CONTROL), Fill::Floats(control.words().to_vec()))
}

fn plain_case(label: String, n: usize, taken: bool, [first, second, gradient]: [Fill; 3]) -> Case {
    let spec = Spec::f32(1, n);
    control_blocks(Case::new(label, AdamW), taken).update(spec, Fill::Normal(0.3, 0.5)).update(spec, first).update(spec, second).update(spec, gradient)
}

fn signs_case(label: &str, outs: &[usize], cols: usize, taken: bool, [first, second, gradient]: [Fill; 3]) -> Case {
    let members = Members::new(outs).expect("one to three layers");
    let (rows, counter) = (members.rows(), 2);
    let (spec, ranges) = (Spec::f32(rows, cols), members.ranges().collect::<Vec<_>>());
    let expect = |derived: Expect| if taken { derived } else { Expect::Reference };
    let label = format!("{outs:?}×{cols} with signs{label}{}", if taken { "" } else { ", not taken" });
    control_blocks(Case::new(label, AdamWSigns { members, counter, first: 0 }), taken)
        .update(spec, Fill::Latent)
        .update(spec, first)
        .update(spec, second)
        .update(spec, gradient)
        .update_to(Spec::signs(rows, cols), Fill::SignsOf(0), expect(Expect::SignsOf(0)))
        .update_to(Spec::signs(cols, rows), Fill::TransposeOf(4), expect(Expect::TransposeOf(4)))
        .update_to(Spec::u32(1, 5), Fill::Below(1000), expect(Expect::FlipsOf { signs: 4, counter, rows: ranges }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Checks, Gpu, adapters};
    use crate::graph::{BufferKind, Machine, Tape, TensorLocation};
    use std::sync::Arc;

    #[test]
    fn transposed_signs_are_the_transpose() {
        for (rows, cols) in [(1, 1), (7, 31), (32, 32), (33, 100), (129, 64)] {
            let value = |r: usize, c: usize| if (r * 31 + c * 17 + r * c) % 5 < 2 { 1.0f32 } else { -1.0 };
            let latent: Vec<f32> = (0..rows * cols).map(|i| value(i / cols, i % cols)).collect();
            let transposed_spec: Vec<f32> = (0..rows * cols).map(|i| value(i % rows, i / rows)).collect();
            let (mut signs, mut got, mut want) =
                (vec![0; Spec::signs(rows, cols).words()], vec![!0; Spec::signs(cols, rows).words()], vec![0; Spec::signs(cols, rows).words()]);
            pack_signs(&latent, cols, &mut signs);
            transpose_signs(&signs, rows, cols, &mut got);
            pack_signs(&transposed_spec, rows, &mut want);
            assert_eq!(got, want, "{rows} × {cols}");
        }
    }

    /// The state after a step of a group of 64 + 40 rows, in blocks of `rows` rows.
    fn in_blocks(mut machine: Machine, rows: usize, moments: [Storage; 2]) -> Vec<Vec<u32>> {
        let members = Members::new(&[64, 40]).expect("two layers");
        let (all, cols) = (members.rows(), 300);
        let matrix = |storage| Spec { rows: all, cols, storage };
        let specs = [matrix(Storage::F32), matrix(moments[0]), matrix(moments[1]), matrix(Storage::F32), Spec::signs(all, cols), Spec::signs(cols, all)];
        let mut allocate = |spec: Spec, seed: usize| {
            let memory = machine.allocate(BufferKind::of(spec.storage), spec.words()).expect("allocates");
            let location = TensorLocation { memory, offset: 0, spec };
            if spec.storage == Storage::F32 {
                let values: Vec<f32> = (0..spec.words()).map(|n| ((n * 37 + seed * 11) % 97) as f32 / 97.0 - 0.4 * (seed % 2) as f32).collect();
                machine.write_f32(&location, &values).expect("writes");
            }
            location
        };
        let (norm, control) = (allocate(Spec::f32(1, NORM), 2), allocate(Spec::f32(1, CONTROL), 4));
        let state: Vec<_> = [1, 1, 2, 3, 0, 0].iter().zip(specs).map(|(&seed, spec)| allocate(spec, seed)).collect();
        let flips = allocate(Spec::u32(1, 3), 0);
        let mut tape = Tape::new();
        let inputs = [norm, control].map(|location| tape.persistent(location));
        for first in (0..all).step_by(rows) {
            let block: Vec<_> = state[..5].iter().map(|location| tape.persistent(location.rows(first, rows.min(all - first)))).collect();
            let whole = [state[5], flips].map(|location| tape.persistent(location));
            tape.push(AdamWSigns { members: members.clone(), counter: 1, first }, &inputs, &[block, whole.to_vec()].concat()).expect("fits");
        }
        let mut program = machine.compile(tape).expect("compiles");
        machine.run(&mut program).expect("runs");
        state.iter().chain([&flips]).map(|location| pollster::block_on(machine.read(location)).expect("reads")).collect()
    }

    #[test]
    fn a_latent_matrix_in_blocks_of_rows_gets_the_same_bits() {
        let gpu = || {
            let adapters = pollster::block_on(adapters());
            Machine::gpu(Arc::new(pollster::block_on(Gpu::open(&adapters[0], Checks::Off)).expect("the first adapter opens")), crate::ops::FUSIONS)
        };
        for moments in [[Storage::F32; 2], [Storage::SignedLog, Storage::UnsignedLog]] {
            for machine in [|| Machine::cpu(), gpu] {
                let whole = in_blocks(machine(), 104, moments);
                assert!(whole == in_blocks(machine(), 64, moments), "{moments:?}");
                assert!(whole[6][1] > 100 && whole[6][2] > 100 && whole[6][0] == 0, "{:?}", whole[6]);
            }
        }
    }
}
