//! FBI-Linear (arXiv 2407.07093): y = x·W̃ᵀ with W̃[o,i] = α[i]·sign(W[o,i]) + β[i], on bit planes.
//!
//! Forward needs the signs alone: y[b,o] = Σ_i s[o,i]·(α⊙x)[b,i] + Σ_i (β⊙x)[b,i].
//! Backward, with u = dy·S: dx = α⊙u + β·Σ_o dy, dα = Σ_b x⊙u, dβ = Σ_b x·Σ_o dy, and through the
//! straight-through estimator (the identity) dW = α ⊙ (dyᵀ·x).

use super::expect;
use crate::graph::{
    Backward, Case, CpuIo, Fill, Launch, Mat, Op, Operand, OutMat, Real, Rule, ShapeError, Spec, Specs, Storage, Threads, Variant, dot, grid, matmul, sum,
    vectorised,
};
use rayon::prelude::*;

/// Tokens up to which signs are applied straight from the bits, without expanding them.
const FEW: usize = 8;

/// Inputs: `x (tokens, in)`, `signs (out, in)`, `α (1, in)`, `β (1, in)`; in training also
/// `signsᵀ (in, out)` and the latent weight `(out, in)`, which only the gradient needs.
/// Output: `y (tokens, out)`.
#[derive(Clone, Debug)]
pub struct FbiLinear;

impl Op for FbiLinear {
    const NAME: &'static str = "fbi_linear";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, Signs};
        let training = specs.inputs.len() == 6;
        let storages: &[Storage] = if training { &[F32, Signs, F32, F32, Signs, F32] } else { &[F32, Signs, F32, F32] };
        expect(specs, storages, &[]).map_err(Self::refuse)?;
        let [x, signs, alpha, beta] = [specs.inputs[0], specs.inputs[1], specs.inputs[2], specs.inputs[3]];
        let fits = x.cols == signs.cols && alpha.elements() == x.cols && beta.elements() == x.cols;
        let transposed = !training || (specs.inputs[4].rows == signs.cols && specs.inputs[4].cols == signs.rows);
        if !fits || !transposed {
            return Err(Self::refuse(format!("x {x}, signs {signs}, α {alpha}, β {beta} do not fit")));
        }
        Ok(vec![Spec::f32(x.rows, signs.rows)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (x, signs) = (specs.inputs[0], specs.inputs[1]);
        let (kernel, groups) = if x.rows <= FEW {
            ("fbi_linear/few", grid(signs.rows.div_ceil(4)))
        } else {
            ("fbi_linear/forward", [signs.rows.div_ceil(64) as u32, x.rows.div_ceil(64) as u32, 1])
        };
        Variant::portable(vec![Launch {
            kernel,
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0)],
            params: vec![x.rows as u32, signs.rows as u32, signs.cols as u32, signs.row_words() as u32],
            groups,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let Spec { rows: tokens, cols: width, .. } = io.inputs[0].spec();
        let x = io.inputs[0].real();
        let (alpha, beta) = (io.inputs[2].real(), io.inputs[3].real());
        let signs = io.inputs[1].spec();
        let out = io.outputs[0].real();
        T::with_scratch(tokens * width, |scaled| {
            scale_columns(x, alpha, scaled);
            sign_product(scaled, tokens, io.inputs[1].words(), signs, out);
        });
        out.par_chunks_mut(signs.rows).zip(x.par_chunks(width)).for_each(|(out, x)| {
            vectorised(
                #[inline(always)]
                || {
                    let shift = dot(x, beta);
                    out.iter_mut().for_each(|y| *y += shift);
                },
            );
        });
    }

    fn backward(&self, tape: &mut Backward<'_>) -> Rule {
        if tape.inputs() != 6 {
            return Rule::None("a packed layer has no latent weight");
        }
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let [x, alpha, beta, transposed] = [0, 2, 3, 4].map(|n| tape.input(n));
        let (Some(d_alpha), Some(d_beta), Some(d_latent)) = (tape.accumulator(2), tape.accumulator(3), tape.accumulator(5)) else {
            return Rule::None("α, β and the latent weight are trained together");
        };
        let outputs = tape.push(FbiLinearInput, &[upstream, transposed, alpha, beta, x], &[d_alpha, d_beta]);
        tape.push(FbiLinearWeight, &[upstream, x, alpha], &[d_latent]);
        if tape.wants(0) {
            tape.give(0, outputs.first().copied());
        }
        Rule::Done
    }
}

/// Inputs: `dy (tokens, out)`, `signsᵀ (in, out)`, `α (1, in)`, `β (1, in)`, `x (tokens, in)`.
/// Adds to `dα (1, in)` and `dβ (1, in)`. Outputs: `dx (tokens, in)`, and as scratch
/// `u = dy·S (tokens, in)` and `Σ_o dy (tokens, 1)`.
#[derive(Clone, Debug)]
pub struct FbiLinearInput;

impl Op for FbiLinearInput {
    const NAME: &'static str = "fbi_linear";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, Signs};
        expect(specs, &[F32, Signs, F32, F32, F32], &[F32, F32]).map_err(Self::refuse)?;
        let [dy, signs, x] = [specs.inputs[0], specs.inputs[1], specs.inputs[4]];
        if dy.cols != signs.cols || x.cols != signs.rows || x.rows != dy.rows {
            return Err(Self::refuse(format!("dy {dy}, signsᵀ {signs}, x {x} do not fit")));
        }
        Ok(vec![x, x, Spec::f32(x.rows, 1)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (dy, signs) = (specs.inputs[0], specs.inputs[1]);
        let (tokens, width) = (dy.rows as u32, signs.rows as u32);
        Variant::portable(vec![
            Launch {
                kernel: "fbi_linear/input",
                operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0), Operand::Out(1), Operand::Out(2)],
                params: vec![tokens, width, dy.cols as u32, signs.row_words() as u32],
                groups: [width.div_ceil(64), tokens.div_ceil(64), 1],
            },
            Launch {
                kernel: "fbi_linear/scales",
                operands: vec![Operand::In(4), Operand::Out(1), Operand::Out(2), Operand::Up(0), Operand::Up(1)],
                params: vec![tokens, width],
                groups: grid(width.div_ceil(16) as usize),
            },
        ])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let signs = io.inputs[1].spec();
        let (tokens, outs, width) = (io.inputs[0].spec().rows, signs.cols, signs.rows);
        let (dy, x) = (io.inputs[0].real(), io.inputs[4].real());
        let (alpha, beta) = (io.inputs[2].real(), io.inputs[3].real());
        let [dx, u, sums] = &mut io.outputs[..] else { unreachable!("three outputs") };
        let (dx, u, sums) = (dx.real(), u.real(), sums.real());
        sign_product(dy, tokens, io.inputs[1].words(), signs, u);
        let rows = dx.par_chunks_mut(width).zip(u.par_chunks(width)).zip(dy.par_chunks(outs)).zip(&mut *sums);
        rows.for_each(|(((dx, u), dy), total)| {
            vectorised(
                #[inline(always)]
                || {
                    *total = sum(dy);
                    for ((dx, &u), (&alpha, &beta)) in dx.iter_mut().zip(u).zip(alpha.iter().zip(beta)) {
                        *dx = alpha * u + beta * *total;
                    }
                },
            );
        });
        let [d_alpha, d_beta] = &mut io.updates[..] else { unreachable!("two updates") };
        let (d_alpha, d_beta) = (d_alpha.real(), d_beta.real());
        const COLUMNS: usize = 128;
        d_alpha.par_chunks_mut(COLUMNS).zip(d_beta.par_chunks_mut(COLUMNS)).enumerate().for_each(|(block, (d_alpha, d_beta))| {
            vectorised(
                #[inline(always)]
                || {
                    for (b, &total) in sums.iter().enumerate() {
                        let first = b * width + block * COLUMNS;
                        let (x, u) = (&x[first..first + d_alpha.len()], &u[first..first + d_alpha.len()]);
                        for ((da, db), (&x, &u)) in d_alpha.iter_mut().zip(d_beta.iter_mut()).zip(x.iter().zip(u)) {
                            *da += x * u;
                            *db += x * total;
                        }
                    }
                },
            );
        });
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("it is a gradient itself")
    }
}

/// Inputs: `dy (tokens, out)`, `x (tokens, in)`, `α (1, in)`. Adds α ⊙ (dyᵀ·x) to the latent
/// weight's gradient `(out, in)`: the straight-through estimator.
#[derive(Clone, Debug)]
pub struct FbiLinearWeight;

impl Op for FbiLinearWeight {
    const NAME: &'static str = "fbi_linear";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::F32;
        expect(specs, &[F32, F32, F32], &[F32]).map_err(Self::refuse)?;
        let [dy, x] = [specs.inputs[0], specs.inputs[1]];
        if dy.rows != x.rows || !specs.updates[0].same_shape(&Spec::f32(dy.cols, x.cols)) {
            return Err(Self::refuse(format!("dy {dy}, x {x}, dW {} do not fit", specs.updates[0])));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (dy, x) = (specs.inputs[0], specs.inputs[1]);
        Variant::portable(vec![Launch {
            kernel: "fbi_linear/weight",
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Up(0)],
            params: vec![dy.cols as u32, x.cols as u32, dy.rows as u32],
            groups: [x.cols.div_ceil(64) as u32, dy.cols.div_ceil(64) as u32, 1],
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (dy, x) = (io.inputs[0].spec(), io.inputs[1].spec());
        let out = io.updates[0].real();
        T::with_scratch(x.elements(), |scaled| {
            scale_columns(io.inputs[1].real(), io.inputs[2].real(), scaled);
            let dy = Mat::new(io.inputs[0].real(), dy.rows, dy.cols, dy.cols).t();
            matmul(OutMat::new(out, dy.rows(), x.cols, x.cols), dy, Mat::new(scaled, x.rows, x.cols, x.cols), true, Threads::Pool);
        });
    }

    fn backward(&self, _: &mut Backward<'_>) -> Rule {
        Rule::None("it is a gradient itself")
    }
}

/// `out[b, i] = scale[i] · x[b, i]`.
fn scale_columns<T: Real>(x: &[T], scale: &[T], out: &mut [T]) {
    out.par_chunks_mut(scale.len()).zip(x.par_chunks(scale.len())).for_each(|(out, x)| {
        vectorised(
            #[inline(always)]
            || {
                for ((out, &x), &scale) in out.iter_mut().zip(x).zip(scale) {
                    *out = scale * x;
                }
            },
        );
    });
}

/// `out (tokens, n) = x (tokens, k) · signs (n, k)ᵀ` with signs of ±1.
fn sign_product<T: Real>(x: &[T], tokens: usize, words: &[u32], signs: Spec, out: &mut [T]) {
    let (n, k) = (signs.rows, signs.cols);
    if tokens <= FEW {
        return few_tokens(x, tokens, words, signs, out);
    }
    T::with_scratch(n * k, |expanded| {
        expanded.par_chunks_mut(k).zip(words.par_chunks(signs.row_words())).for_each(|(row, words)| {
            vectorised(
                #[inline(always)]
                || expand(words, row),
            )
        });
        matmul(OutMat::new(out, tokens, n, n), Mat::new(x, tokens, k, k), Mat::new(expanded, n, k, k).t(), false, Threads::Pool);
    });
}

/// Writes one row of signs as ±1.
#[inline(always)]
fn expand<T: Real>(words: &[u32], row: &mut [T]) {
    let one = T::from_f32(1.0);
    for (chunk, &word) in row.chunks_mut(32).zip(words) {
        for (j, x) in chunk.iter_mut().enumerate() {
            *x = one.signed((word >> j) & 1 == 1);
        }
    }
}

/// Signs applied straight from the bits: bound by reading them.
fn few_tokens<T: Real>(x: &[T], tokens: usize, words: &[u32], signs: Spec, out: &mut [T]) {
    // Words in a task: some microseconds of work, so that handing it out costs little.
    const WORDS: usize = 1536;
    let (n, k, row_words) = (signs.rows, signs.cols, signs.row_words());
    let rows = (WORDS / row_words).max(1);
    T::with_scratch(row_words * 32, |wide| {
        wide[k..].fill(T::ZERO);
        for (x, out) in x.chunks(k).zip(out.chunks_mut(n)).take(tokens) {
            wide[..k].copy_from_slice(x);
            let x = &*wide;
            out.par_chunks_mut(rows).zip(words.par_chunks(rows * row_words)).for_each(|(out, words)| {
                if T::signed_sums(words, x, out) {
                    return;
                }
                vectorised(
                    #[inline(always)]
                    || out.iter_mut().zip(words.chunks(row_words)).for_each(|(y, words)| *y = signed_sum(words, x)),
                );
            });
        }
    });
}

/// Σ_i ±x[i], in 32 lanes that are added up in a fixed order; `x` is padded with zeros.
#[inline(always)]
fn signed_sum<T: Real>(words: &[u32], x: &[T]) -> T {
    let mut lanes = [T::ZERO; 32];
    for (x, &word) in x.chunks_exact(32).zip(words) {
        for (j, lane) in lanes.iter_mut().enumerate() {
            *lane += x[j].signed((word >> j) & 1 == 1);
        }
    }
    lanes.iter().fold(T::ZERO, |sum, &lane| sum + lane)
}

/// What it is tried with: packed layers, and layers in training.
pub(crate) fn cases() -> Vec<Case> {
    let sizes = [
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
        (65, 65, 33),
        (70, 7, 3),
        (12, 300, 129),
    ];
    sizes.into_iter().flat_map(|(tokens, width, outs)| [packed_case(tokens, width, outs), training_case(tokens, width, outs)]).collect()
}

fn packed_case(tokens: usize, width: usize, outs: usize) -> Case {
    Case::new(format!("{tokens} tokens, {width} → {outs}"), FbiLinear)
        .input(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .input(Spec::signs(outs, width), Fill::Signs)
        .input(Spec::f32(1, width), Fill::Normal(0.5, 0.2))
        .input(Spec::f32(1, width), Fill::Normal(0.05, 0.2))
}

fn training_case(tokens: usize, width: usize, outs: usize) -> Case {
    Case::new(format!("{tokens} tokens, {width} → {outs}, in training"), FbiLinear)
        .variable(Spec::f32(tokens, width), Fill::Normal(0.3, 1.0))
        .input(Spec::signs(outs, width), Fill::SignsOf(5))
        .parameter(Spec::f32(1, width), Fill::Normal(0.5, 0.2))
        .parameter(Spec::f32(1, width), Fill::Normal(0.05, 0.2))
        .input(Spec::signs(width, outs), Fill::TransposeOf(1))
        .straight(Spec::f32(outs, width), Fill::Latent, straight_through)
}

/// What the straight-through estimator differentiates: the latent weight in place of its sign.
fn straight_through(inputs: &[Vec<f64>], specs: &[Spec]) -> Vec<f64> {
    let (x, alpha, beta, latent) = (&inputs[0], &inputs[2], &inputs[3], &inputs[5]);
    let width = specs[0].cols;
    let weight = |o: usize, i: usize| alpha[i] * latent[o * width + i] + beta[i];
    let product = |x: &[f64], o: usize| x.iter().enumerate().map(|(i, x)| x * weight(o, i)).sum::<f64>();
    x.chunks(width).flat_map(|x| (0..specs[5].rows).map(move |o| product(x, o))).collect()
}
