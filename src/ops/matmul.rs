//! The dense matrix product and its transposed forms: full-precision linear layers, the head, and their gradients.

use super::check_operands;
use crate::graph::{
    Backward, Case, CpuIo, Fill, LINEAR_SIZES, Launch, Mat, Op, Operand, OutMat, Real, Rule, ShapeError, Spec, Specs, Storage, Threads, Variant, View, dot,
    grid, matmul, matmul_written, rows_per_task, spread_stride, unpack, vectorised,
};
use crate::params;
use crate::platform::parallel::*;

/// The destination of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// A new tensor.
    Output,
    /// The update operand, replaced.
    Overwrite,
    /// Added to the update operand.
    Accumulate,
}

/// `op(a) (m, k) · op(b) (k, n) → (m, n)`, where op transposes or not. A linear layer is
/// `x (tokens, in) · weight (out, in)ᵀ`: `transpose_b` alone. `b` may be stored in f16 or 8-bit
/// blocks then.
#[derive(Clone, Debug)]
pub struct Matmul {
    /// True if `a` is stored as `(k, m)`.
    pub transpose_a: bool,
    /// True if `b` is stored as `(n, k)`.
    pub transpose_b: bool,
    /// The destination.
    pub into: Into,
}

/// Kernels of one kind, with one tile size. They are alternatives; the tuner times them and picks the fastest.
struct ProductKernels {
    name: &'static str,
    /// The kernels for `b` in f32, and in f16.
    kernels: [&'static str; 2],
    /// True if they are for few rows.
    few: bool,
    /// Rows and columns of the result per workgroup; only columns for few rows.
    tile: usize,
    /// The storage of the factors.
    storage: Storage,
}

/// All alternatives; the first of each kind supports every shape, the others only multiples of four.
const ALTERNATIVES: [ProductKernels; 10] = {
    const fn kernels(name: &'static str, kernels: [&'static str; 2], few: bool, tile: usize, storage: Storage) -> ProductKernels {
        ProductKernels { name, kernels, few, tile, storage }
    }
    use Storage::{F16, F32};
    [
        kernels(Variant::PORTABLE, ["matmul/tiled", "matmul/tiled.f16"], false, 64, F32),
        kernels("wide", ["matmul.wide/tiled", "matmul.wide/tiled.f16"], false, 128, F32),
        kernels("cooperative-8-f32", ["matmul.coop/tiled.full", "matmul.coop/tiled.full.f16"], false, 64, F32),
        kernels("half", ["matmul.wide/tiled.half", "matmul.wide/tiled.half.f16"], false, 128, F16),
        kernels("cooperative-8", ["matmul.coop/tiled.small", "matmul.coop/tiled.small.f16"], false, 64, F16),
        kernels("cooperative-16", ["matmul.coop/tiled", "matmul.coop/tiled.f16"], false, 128, F16),
        kernels("cooperative-16-wave64", ["matmul.coop/tiled.wave64", "matmul.coop/tiled.wave64.f16"], false, 128, F16),
        kernels(Variant::PORTABLE, ["matmul/few", "matmul/few.f16"], true, 1, F32),
        kernels("quads", ["matmul.few/few", "matmul.few/few.f16"], true, 4, F32),
        kernels("subgroup", ["matmul.few/few.subgroup", "matmul.few/few.subgroup.f16"], true, 4, F32),
    ]
};

impl ProductKernels {
    /// Returns true if it supports a product of `m, n, k`: all but the first require row lengths that are multiples of four.
    fn supports(&self, op: &Matmul, [m, n, k]: [usize; 3]) -> bool {
        let a = if op.transpose_a { m } else { k };
        let b = if op.transpose_b { k } else { n };
        let out = if self.few { 4 } else { n };
        self.name == Variant::PORTABLE || [a, b, out].iter().all(|rows| rows % 4 == 0)
    }
}

/// Most rows of `a` for which a product is computed row by row of `b`, without tiles.
pub(crate) const FEW: usize = 8;

impl Matmul {
    /// A linear layer: `x (tokens, in) · weight (out, in)ᵀ → (tokens, out)`.
    pub const LINEAR: Matmul = Matmul { transpose_a: false, transpose_b: true, into: Into::Output };

    /// The gradient of a linear layer's input: `dy (tokens, out) · weight (out, in)`.
    pub fn input_gradient(into: Into) -> Self {
        Matmul { transpose_a: false, transpose_b: false, into }
    }

    /// The gradient of a linear layer's weight: `dyᵀ (out, tokens) · x (tokens, in)`, accumulated.
    pub const WEIGHT_GRADIENT: Matmul = Matmul { transpose_a: true, transpose_b: false, into: Into::Accumulate };

    fn sizes(&self, a: Spec, b: Spec) -> (usize, usize, usize, usize) {
        let (m, k) = if self.transpose_a { (a.cols, a.rows) } else { (a.rows, a.cols) };
        let (bk, n) = if self.transpose_b { (b.cols, b.rows) } else { (b.rows, b.cols) };
        (m, n, k, bk)
    }
}

impl Op for Matmul {
    const NAME: &'static str = "matmul";

    fn key(&self) -> String {
        let into = match self.into {
            Into::Output => "Output",
            Into::Overwrite => "Overwrite",
            Into::Accumulate => "Accumulate",
        };
        format!("Matmul {{ transpose_a: {}, transpose_b: {}, into: {into} }}", self.transpose_a, self.transpose_b)
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        let b = specs.inputs.get(1).map_or(Storage::F32, |spec| spec.storage);
        let packed = matches!(b, Storage::F16 | Storage::Q8) && self.transpose_b && !self.transpose_a;
        let updates: &[Storage] = if self.into == Into::Output { &[] } else { &[Storage::F32] };
        check_operands(specs, &[Storage::F32, if packed { b } else { Storage::F32 }], updates).map_err(Self::shape_error)?;
        let (m, n, k, bk) = self.sizes(specs.inputs[0], specs.inputs[1]);
        if k != bk {
            return Err(Self::shape_error(format!("{} and {} cannot be multiplied", specs.inputs[0], specs.inputs[1])));
        }
        match self.into {
            Into::Output => Ok(vec![Spec::f32(m, n)]),
            _ if specs.updates[0].same_shape(&Spec::f32(m, n)) => Ok(vec![]),
            _ => Err(Self::shape_error(format!("a product of ({m}, {n}) does not fit {}", specs.updates[0]))),
        }
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (a, b) = (specs.inputs[0], specs.inputs[1]);
        let (m, n, k, _) = self.sizes(a, b);
        let strides = |spec: Spec, transposed: bool| if transposed { (1, spec.cols as u32) } else { (spec.cols as u32, 1) };
        let (a_row, a_col) = strides(a, self.transpose_a);
        let (b_row, b_col) = strides(b, self.transpose_b);
        let out = if self.into == Into::Output { Operand::Out(0) } else { Operand::Up(0) };
        let accumulate = self.into == Into::Accumulate;
        let launch = |kernel, groups| Launch {
            kernel,
            operands: vec![Operand::In(0), Operand::In(1), out],
            params: params! { m: m, n: n, k: k, a_row: a_row, a_col: a_col, b_row: b_row, b_col: b_col, accumulate: accumulate },
            groups,
            operations: None,
        };
        let few = m <= FEW && self.transpose_b && !self.transpose_a;
        // Only the portable kernels read 8-bit blocks.
        let fitting = ALTERNATIVES.iter().filter(|kernels| kernels.few == few && kernels.supports(self, [m, n, k]));
        let fitting = fitting.filter(|kernels| b.storage != Storage::Q8 || kernels.name == Variant::PORTABLE);
        let kernel = |kernels: &ProductKernels| match b.storage {
            Storage::Q8 if few => "matmul/few.q8",
            Storage::Q8 => "matmul/tiled.q8",
            Storage::F16 => kernels.kernels[1],
            _ => kernels.kernels[0],
        };
        let variant = |kernels: &ProductKernels| {
            let groups = if few { grid(n.div_ceil(kernels.tile)) } else { [n.div_ceil(kernels.tile) as u32, m.div_ceil(kernels.tile) as u32, 1] };
            Variant { name: kernels.name, storage: kernels.storage, launches: vec![launch(kernel(kernels), groups)] }
        };
        fitting.map(variant).collect()
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (a, b) = (io.inputs[0].spec(), io.inputs[1].spec());
        let (m, n, k, _) = self.sizes(a, b);
        let out = if self.into == Into::Output { io.outputs[0].real() } else { io.updates[0].real() };
        let accumulate = self.into == Into::Accumulate;
        if m <= FEW && self.transpose_b && !self.transpose_a {
            return few_rows(io.inputs[0].real(), &io.inputs[1], out, (m, n, k), accumulate);
        }
        let left = Mat::new(io.inputs[0].real(), a.rows, a.cols, a.cols);
        let left = if self.transpose_a { left.t() } else { left };
        if let View::Words(words, Spec { storage, .. }) = io.inputs[1] {
            return matmul_written(OutMat::new(out, m, n, n), left, accumulate, |rows, wide| {
                let stride = spread_stride::<T>(k);
                for (row, words) in wide.chunks_mut(stride).zip(words[rows.start * b.row_words()..].chunks(b.row_words())) {
                    vectorised(
                        #[inline(always)]
                        || unpack(storage, words, &mut row[..k]),
                    );
                }
                Mat::new(wide, rows.len(), k, stride).t()
            });
        }
        let right = Mat::new(io.inputs[1].real(), b.rows, b.cols, b.cols);
        let right = if self.transpose_b { right.t() } else { right };
        matmul(OutMat::new(out, m, n, n), left, right, accumulate, Threads::Pool);
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        if self.transpose_a || !self.transpose_b || self.into != Into::Output {
            return Rule::None("only a linear layer, x · weightᵀ, is differentiated");
        }
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let (x, weight) = (tape.input(0), tape.input(1));
        if tape.needs_gradient(0) {
            let dx = tape.push(Matmul::input_gradient(Into::Output), &[upstream, weight], &[]);
            tape.add_gradient(0, dx.first().copied());
        }
        if let Some(sum) = tape.accumulator(1) {
            tape.push(Matmul::WEIGHT_GRADIENT, &[upstream, x], &[sum]);
        }
        Rule::Done
    }
}

/// Multiplies a few rows of `x` by every row of `weight (n, k)`, which is read once.
fn few_rows<T: Real>(x: &[T], weight: &View<'_, T>, out: &mut [T], (m, n, k): (usize, usize, usize), accumulate: bool) {
    const BLOCK: usize = 64;
    if let (View::Words(words, spec @ Spec { storage: Storage::F16, .. }), 1, false) = (weight, m, accumulate)
        && T::dots_of_halves(&[], &[], &mut [])
    {
        // Halves times one row: the CPU widens them in registers, if it can.
        let block = rows_per_task(n, BLOCK);
        let rows = words.par_chunks(block * spec.row_words());
        return out.par_chunks_mut(block).zip(rows).for_each(|(out, words)| assert!(T::dots_of_halves(words, x, out), "it did a moment ago"));
    }
    let mut columns = vec![T::ZERO; n * m];
    columns.par_chunks_mut(BLOCK * m).enumerate().for_each(|(block, columns)| {
        T::with_scratch(k, |decoded| {
            for (i, column) in columns.chunks_mut(m).enumerate() {
                vectorised(
                    #[inline(always)]
                    || {
                        let row = weight.row_or_decode(block * BLOCK + i, decoded);
                        for (x, y) in x.chunks(k).zip(column) {
                            *y = dot(x, row);
                        }
                    },
                );
            }
        });
    });
    for (o, column) in columns.chunks(m).enumerate() {
        for (b, &y) in column.iter().enumerate() {
            let out = &mut out[b * n + o];
            *out = if accumulate { *out + y } else { y };
        }
    }
}

/// Test cases: few rows and many, every transpose, every destination.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::F16, Storage::Q8] {
        let sizes = [
            (65, 65, 65),
            // Multiples of four: a single quad, and tiles of 32, 64 and 128 with their edges.
            (1, 4, 4),
            (1, 256, 6),
            (3, 260, 33),
            (8, 600, 132),
            (9, 4, 4),
            (33, 36, 36),
            (65, 32, 64),
            (130, 100, 132),
            (128, 16, 256),
        ];
        cases.extend(LINEAR_SIZES.into_iter().chain(sizes).map(|(m, k, n)| linear_case(m, k, n, storage)));
    }
    for into in [Into::Output, Into::Overwrite, Into::Accumulate] {
        for (transpose_a, transpose_b) in [(false, false), (true, false), (true, true), (false, true)] {
            for (m, k, n) in [(1, 3, 5), (5, 40, 33), (33, 65, 70), (100, 9, 129), (4, 8, 12), (132, 36, 136)] {
                cases.push(plain_case(Matmul { transpose_a, transpose_b, into }, m, k, n));
            }
        }
    }
    // Factors beyond f16's range, and products beyond f32's: results are correct or not finite.
    for (m, k, n) in [(3, 40, 33), (9, 65, 70), (64, 64, 64)] {
        for storage in [Storage::F32, Storage::F16] {
            let weight = Spec { rows: n, cols: k, storage };
            let case = |label: &str, x: Fill| Case::new(format!("{m}×{k}·({n}×{k})ᵀ {storage:?}, {label}"), Matmul::LINEAR).input(Spec::f32(m, k), x);
            let beyond = Fill::beyond_f16();
            cases.push(case("beyond f16", beyond).input(weight, Fill::Normal(0.1, 0.5)));
            cases.push(case("beyond f32", Fill::Uniform(1e38, 3e38)).input(weight, Fill::Uniform(40.0, 90.0)));
        }
    }
    cases
}

fn linear_case(m: usize, k: usize, n: usize, storage: Storage) -> Case {
    let weight = Spec { rows: n, cols: k, storage };
    let case = Case::new(format!("{m}×{k}·({n}×{k})ᵀ {storage:?}"), Matmul::LINEAR).variable(Spec::f32(m, k), Fill::Normal(0.3, 1.0));
    match storage {
        Storage::F32 => case.parameter(weight, Fill::Normal(0.1, 0.5)),
        _ => Case::new(case.label, Matmul::LINEAR).input(Spec::f32(m, k), Fill::Normal(0.3, 1.0)).input(weight, Fill::Normal(0.1, 0.5)),
    }
}

fn plain_case(op: Matmul, m: usize, k: usize, n: usize) -> Case {
    let spec = |rows: usize, cols: usize, turned: bool| if turned { Spec::f32(cols, rows) } else { Spec::f32(rows, cols) };
    let mark = |turned: bool| if turned { "ᵀ" } else { "" };
    let label = format!("{m}×{k}{}·{k}×{n}{} {:?}", mark(op.transpose_a), mark(op.transpose_b), op.into);
    let case =
        Case::new(label, op.clone()).input(spec(m, k, op.transpose_a), Fill::Normal(0.3, 1.0)).input(spec(k, n, op.transpose_b), Fill::Normal(-0.2, 1.0));
    match op.into {
        Into::Output => case,
        _ => case.update(Spec::f32(m, n), Fill::Normal(0.5, 1.0)),
    }
}
