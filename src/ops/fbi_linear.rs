//! Fully binarized linear layers (FBI-Linear, arXiv 2407.07093), computed from sign bits:
//! y = x·W̃ᵀ with W̃[o,i] = α[i]·sign(W[o,i]) + β[i].
//!
//! The forward pass needs only the signs, S = sign(W) with elements s:
//! y[b,o] = Σ_i s[o,i]·(α⊙x)[b,i] + Σ_i (β⊙x)[b,i].
//! The backward pass, with u = dy·S: dx = α⊙u + β·Σ_o dy, dα = Σ_b x⊙u, dβ = Σ_b x·Σ_o dy, and through the
//! straight-through estimator (the identity) dW = α ⊙ (dyᵀ·x).

mod linear_cases;
mod weight_gradient;

pub(crate) use linear_cases::cases;
pub use weight_gradient::FbiLinearWeight;

use super::check_operands;
use super::group::Members;
use crate::graph::{
    Backward, CpuIo, Launch, Mat, Op, Operand, OutMat, Params, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, dot, grid, matmul_written, rows_per_task,
    sum, vectorised,
};
use crate::params;
use crate::platform::parallel::*;
use std::ops::Range;

/// Maximum number of tokens for which signs are applied directly from the bits, without expanding them. On CPUs that
/// prefer signed sums, there is no maximum.
pub(crate) const FEW: usize = 8;

/// Number of tokens in each partial sum of dα and dβ. It is the same in every variant, whatever its tile size.
const PARTIAL_TOKENS: usize = 64;

/// The index of the first block of the latent weight among the inputs.
const LATENTS: usize = 5;

/// Kernels for all products of a layer (forward, gradient of x, gradient of W) with one tile size. They are alternatives
/// for the gradients, and for the forward product of more than [`FEW`] tokens; the tuner times them and picks the fastest.
struct TiledKernels {
    name: &'static str,
    /// Rows and columns of the result that a workgroup computes.
    tile: usize,
    /// The storage of the factors.
    storage: Storage,
    forward: &'static str,
    input: &'static str,
    weight: &'static str,
}

/// All alternatives. The portable one supports every shape, the others only dimensions that are multiples of four.
const TILED: [TiledKernels; 6] = {
    const fn tiled(name: &'static str, tile: usize, storage: Storage, [forward, input, weight]: [&'static str; 3]) -> TiledKernels {
        TiledKernels { name, tile, storage, forward, input, weight }
    }
    use Storage::{F16, F32};
    [
        tiled(Variant::PORTABLE, 64, F32, ["fbi_linear/forward", "fbi_linear/input", "fbi_linear/weight"]),
        tiled("wide", 128, F32, ["fbi_linear.wide/forward", "fbi_linear.wide/input", "fbi_linear.wide/weight"]),
        tiled("cooperative-8-f32", 64, F32, ["fbi_linear.coop/forward.full", "fbi_linear.coop/input.full", "fbi_linear.coop/weight.full"]),
        tiled("cooperative-8", 64, F16, ["fbi_linear.coop/forward.small", "fbi_linear.coop/input.small", "fbi_linear.coop/weight.small"]),
        tiled("cooperative-16", 128, F16, ["fbi_linear.coop/forward", "fbi_linear.coop/input", "fbi_linear.coop/weight"]),
        tiled("cooperative-16-wave64", 128, F16, ["fbi_linear.coop/forward.wave64", "fbi_linear.coop/input.wave64", "fbi_linear.coop/weight.wave64"]),
    ]
};

impl TiledKernels {
    /// Returns a variant for each alternative that supports layers with `width` inputs. All but the portable one require that
    /// `width` and the number of outputs of each layer are multiples of four.
    fn variants(members: &Members, width: usize, launches: impl Fn(&TiledKernels) -> Vec<Launch>) -> Vec<Variant> {
        let quads = width.is_multiple_of(4) && members.ranges().all(|range| range.len().is_multiple_of(4));
        let fitting = TILED.iter().filter(|tiled| quads || tiled.name == Variant::PORTABLE);
        fitting.map(|tiled| Variant { name: tiled.name, storage: tiled.storage, launches: launches(tiled) }).collect()
    }

    /// Returns the dispatch size for a result of `rows` × `columns`.
    fn groups(&self, rows: usize, columns: usize) -> [u32; 3] {
        [columns.div_ceil(self.tile) as u32, rows.div_ceil(self.tile) as u32, 1]
    }
}

/// A group of up to three layers with the same input `x`, such as query, key and value. Their sign matrices are stacked
/// into one matrix of `out` rows.
/// Inputs: `x (tokens, in)`, `signs (out, in)`, `α (layers, in)`, `β (layers, in)`; in training also
/// `signsᵀ (in, out)` and the latent weight W `(out, in)`, in blocks of rows, which only the backward pass needs.
/// Output: `y (tokens, out)`, the layers' outputs side by side.
#[derive(Clone, Debug)]
pub struct FbiLinear {
    /// The layers.
    pub members: Members,
}

impl Op for FbiLinear {
    const NAME: &'static str = "fbi_linear";

    fn key(&self) -> String {
        format!("FbiLinear {{ members: {} }}", self.members.key())
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, Signs};
        let latents = specs.inputs.get(LATENTS..).unwrap_or_default();
        let training = !latents.is_empty();
        let last = if training { &[Signs][..] } else { &[] };
        check_operands(specs, &[&[F32, Signs, F32, F32], last, &vec![F32; latents.len()]].concat(), &[]).map_err(Self::shape_error)?;
        let [x, signs, alpha, beta] = [specs.inputs[0], specs.inputs[1], specs.inputs[2], specs.inputs[3]];
        let scales = Spec::f32(self.members.count(), x.cols);
        let fits = x.cols == signs.cols && signs.rows == self.members.rows() && alpha.same_shape(&scales) && beta.same_shape(&scales);
        let transposed = !training || (specs.inputs[4].rows == signs.cols && specs.inputs[4].cols == signs.rows);
        let whole =
            !training || (latents.iter().all(|latent| latent.cols == signs.cols) && latents.iter().map(|latent| latent.rows).sum::<usize>() == signs.rows);
        if !fits || !transposed || !whole {
            return Err(Self::shape_error(format!("shapes do not match: x {x}, signs {signs}, α {alpha}, β {beta}, W {latents:?}, layers {:?}", self.members)));
        }
        Ok(vec![Spec::f32(x.rows, signs.rows)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (x, signs) = (specs.inputs[0], specs.inputs[1]);
        if x.rows > FEW {
            return self.tiled(x, signs, None);
        }
        Variant::portable(vec![Launch {
            kernel: "fbi_linear/few",
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0)],
            params: self.params(x, signs, false),
            groups: grid(signs.rows.div_ceil(4)),
            operations: None,
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let Spec { rows: tokens, cols: width, .. } = io.inputs[0].spec();
        let x = io.inputs[0].real();
        let (alpha, beta) = (io.inputs[2].real(), io.inputs[3].real());
        let layers = Layers { members: &self.members, words: io.inputs[1].words(), signs: io.inputs[1].spec(), alpha, beta };
        let out = io.outputs[0].real();
        if tokens <= FEW || T::prefers_signed_sums() {
            return x.chunks(width).zip(out.chunks_mut(layers.signs.rows)).for_each(|(x, out)| layers.one_token(x, out));
        }
        layers.many_tokens(x, tokens, out);
    }

    fn backward(&self, tape: &mut dyn Backward) -> Rule {
        if tape.inputs() <= LATENTS {
            return Rule::None("a packed layer has no latent weight");
        }
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let [x, alpha, beta, transposed] = [0, 2, 3, 4].map(|n| tape.input(n));
        let d_latents: Option<Vec<_>> = (LATENTS..tape.inputs()).map(|n| tape.accumulator(n)).collect();
        let (Some(d_alpha), Some(d_beta), Some(d_latents)) = (tape.accumulator(2), tape.accumulator(3), d_latents) else {
            return Rule::None("α, β and the latent weight must all be parameters");
        };
        let members = self.members.clone();
        let outputs = tape.push(FbiLinearInput { members }, &[upstream, transposed, alpha, beta, x], &[d_alpha, d_beta]);
        let mut first = 0;
        for d_latent in d_latents {
            let members = self.members.clone();
            tape.push(FbiLinearWeight { members, first }, &[upstream, x, alpha], &[d_latent]);
            first += tape.spec(d_latent).rows;
        }
        if tape.needs_gradient(0) {
            tape.add_gradient(0, outputs.first().copied());
        }
        Rule::Done
    }
}

impl FbiLinear {
    /// Returns the variants with tiled kernels, which can add a residual.
    pub(crate) fn tiled(&self, x: Spec, signs: Spec, residual: Option<Operand>) -> Vec<Variant> {
        let inputs = [0, 1, 2, 3].map(Operand::In);
        // A binding cannot be empty: without a residual, x is bound there and not read.
        let bound = residual.unwrap_or(Operand::In(0));
        let launch = |tiled: &TiledKernels| Launch {
            kernel: tiled.forward,
            operands: inputs.into_iter().chain([Operand::Out(0), bound]).collect(),
            params: self.params(x, signs, residual.is_some()),
            groups: tiled.groups(x.rows, signs.rows),
            operations: None,
        };
        TiledKernels::variants(&self.members, x.cols, |tiled| vec![launch(tiled)])
    }

    fn params(&self, x: Spec, signs: Spec, add: bool) -> Params {
        product_params(&self.members, x.rows, signs, params! { add: add })
    }
}

/// Returns the parameters of a product with signs: those that all kernels share (`shared/fbi_linear.fields.wgsl`), then `own`.
pub(crate) fn product_params(members: &Members, tokens: usize, signs: Spec, own: Params) -> Params {
    let [second, third] = members.bounds();
    let mut params = params! { tokens: tokens, rows: signs.rows, columns: signs.cols, row_words: signs.row_words(), second_layer: second, third_layer: third };
    params.extend(own);
    params
}

/// The gradients of a group's `x`, α and β. Inputs: `dy (tokens, out)`, `signsᵀ (in, out)`,
/// `α (layers, in)`, `β (layers, in)`, `x (tokens, in)`. Adds to `dα (layers, in)` and `dβ (layers, in)`.
/// Outputs: `dx (tokens, in)`, and as scratch the partial sums of 64 tokens each: first those of dα, then those of
/// dβ, `(2·layers·⌈tokens/64⌉, in)`.
#[derive(Clone, Debug)]
pub struct FbiLinearInput {
    /// The layers.
    pub members: Members,
}

impl Op for FbiLinearInput {
    const NAME: &'static str = "fbi_linear";

    fn key(&self) -> String {
        format!("FbiLinearInput {{ members: {} }}", self.members.key())
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, Signs};
        check_operands(specs, &[F32, Signs, F32, F32, F32], &[F32, F32]).map_err(Self::shape_error)?;
        let [dy, signs, x] = [specs.inputs[0], specs.inputs[1], specs.inputs[4]];
        if dy.cols != signs.cols || signs.cols != self.members.rows() || x.cols != signs.rows || x.rows != dy.rows {
            return Err(Self::shape_error(format!("shapes do not match: dy {dy}, signsᵀ {signs}, x {x}, layers {:?}", self.members)));
        }
        Ok(vec![x, Spec::f32(2 * self.members.count() * x.rows.div_ceil(PARTIAL_TOKENS), x.cols)])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (dy, signs) = (specs.inputs[0], specs.inputs[1]);
        let (width, chunks) = (signs.rows as u32, dy.rows.div_ceil(PARTIAL_TOKENS) as u32);
        let layers = self.members.count() as u32;
        let input = |tiled: &TiledKernels| Launch {
            kernel: tiled.input,
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::In(4), Operand::Out(0), Operand::Out(1)],
            params: product_params(&self.members, dy.rows, signs, params! { add: false }),
            groups: tiled.groups(dy.rows, signs.rows),
            operations: None,
        };
        let scales = || Launch {
            kernel: "fbi_linear/scales",
            operands: vec![Operand::Out(1), Operand::Up(0), Operand::Up(1)],
            params: params! { layers: layers, chunks: chunks, width: width },
            groups: grid((layers * width).div_ceil(256) as usize),
            operations: None,
        };
        TiledKernels::variants(&self.members, signs.rows, |tiled| vec![input(tiled), scales()])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let signs = io.inputs[1].spec();
        let (tokens, outs, width) = (io.inputs[0].spec().rows, signs.cols, signs.rows);
        let (dy, x) = (io.inputs[0].real(), io.inputs[4].real());
        let (alpha, beta) = (io.inputs[2].real(), io.inputs[3].real());
        let [dx, partial] = &mut io.outputs[..] else { unreachable!("two outputs") };
        let (dx, partial) = (dx.real(), partial.real());
        let per_layer = tokens.div_ceil(PARTIAL_TOKENS) * width;
        let (alphas, betas) = partial.split_at_mut(self.members.count() * per_layer);
        let partials = alphas.chunks_mut(per_layer).zip(betas.chunks_mut(per_layer));
        let [d_alpha, d_beta] = &mut io.updates[..] else { unreachable!("two updates") };
        let rows = d_alpha.real().chunks_mut(width).zip(d_beta.real().chunks_mut(width));
        let scales = alpha.chunks(width).zip(beta.chunks(width));
        T::with_scratch(tokens * width + tokens, |scratch| {
            let (u, sums) = scratch.split_at_mut(tokens * width);
            for (((range, (alpha, beta)), (d_alpha, d_beta)), (alphas, betas)) in self.members.ranges().zip(scales).zip(rows).zip(partials) {
                transposed_product(dy, tokens, outs, &range, io.inputs[1].words(), signs, u);
                row_sums(dy, outs, &range, sums);
                input_rows(range.start == 0, u, sums, (alpha, beta), dx);
                scale_gradients(x, u, sums, [alphas, betas], [d_alpha, d_beta]);
            }
        });
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("second derivatives are not supported")
    }
}

/// Computes Σ_o dy of one layer for each token.
fn row_sums<T: Real>(dy: &[T], outs: usize, range: &Range<usize>, sums: &mut [T]) {
    sums.par_iter_mut().zip(dy.par_chunks(outs)).for_each(|(total, dy)| {
        vectorised(
            #[inline(always)]
            || *total = sum(&dy[range.clone()]),
        );
    });
}

/// Adds one layer's α⊙u + β·Σ_o dy to `dx`, or overwrites `dx` with it if `set`.
fn input_rows<T: Real>(set: bool, u: &[T], sums: &[T], (alpha, beta): (&[T], &[T]), dx: &mut [T]) {
    let width = alpha.len();
    dx.par_chunks_mut(width).zip(u.par_chunks(width)).zip(sums).for_each(|((dx, u), &total)| {
        vectorised(
            #[inline(always)]
            || {
                for ((dx, &u), (&alpha, &beta)) in dx.iter_mut().zip(u).zip(alpha.iter().zip(beta)) {
                    let share = alpha * u + beta * total;
                    *dx = if set { share } else { *dx + share };
                }
            },
        );
    });
}

/// Adds one layer's Σ_b x⊙u to dα and Σ_b x·Σ_o dy to dβ. As in the kernels, the contributions of every
/// [`PARTIAL_TOKENS`] tokens are first summed into a row of `partial`, and then the rows are added up.
fn scale_gradients<T: Real>(x: &[T], u: &[T], sums: &[T], partial: [&mut [T]; 2], totals: [&mut [T]; 2]) {
    let width = totals[0].len();
    let [alphas, betas] = partial;
    let tiles = x.par_chunks(PARTIAL_TOKENS * width).zip(u.par_chunks(PARTIAL_TOKENS * width)).zip(sums.par_chunks(PARTIAL_TOKENS));
    alphas.par_chunks_mut(width).zip(betas.par_chunks_mut(width)).zip(tiles).for_each(|((alphas, betas), ((x, u), sums))| {
        vectorised(
            #[inline(always)]
            || {
                alphas.fill(T::ZERO);
                betas.fill(T::ZERO);
                for ((x, u), &total) in x.chunks(width).zip(u.chunks(width)).zip(sums) {
                    for ((alpha, beta), (&x, &u)) in alphas.iter_mut().zip(betas.iter_mut()).zip(x.iter().zip(u)) {
                        *alpha += x * u;
                        *beta += x * total;
                    }
                }
            },
        );
    });
    for (total, rows) in totals.into_iter().zip([alphas, betas]) {
        rows.chunks(width).for_each(|row| total.iter_mut().zip(row).for_each(|(total, &share)| *total += share));
    }
}

/// A group's operands in the forward pass.
struct Layers<'a, T> {
    members: &'a Members,
    words: &'a [u32],
    signs: Spec,
    alpha: &'a [T],
    beta: &'a [T],
}

impl<T: Real> Layers<'_, T> {
    /// Returns each layer's range of rows, its α and its β.
    fn each(&self) -> impl Iterator<Item = (Range<usize>, (&[T], &[T]))> {
        let width = self.signs.cols;
        self.members.ranges().zip(self.alpha.chunks(width).zip(self.beta.chunks(width)))
    }

    /// Expands the signs to ±1 and computes a dense product.
    fn many_tokens(&self, x: &[T], tokens: usize, out: &mut [T]) {
        let Spec { rows: n, cols: k, .. } = self.signs;
        T::with_scratch(tokens * k, |scaled| {
            for (range, (alpha, beta)) in self.each() {
                scale_columns(x, alpha, scaled);
                let target = OutMat::new(&mut out[range.start..], tokens, range.len(), n);
                let row_words = self.signs.row_words();
                matmul_written(target, Mat::new(scaled, tokens, k, k), false, |rows, block| {
                    let words = &self.words[(range.start + rows.start) * row_words..(range.start + rows.end) * row_words];
                    signs_transposed(words, row_words, 0..k, block)
                });
                out.par_chunks_mut(n).zip(x.par_chunks(k)).for_each(|(out, x)| shift(x, beta, &mut out[range.clone()]));
            }
        });
    }

    /// Adds or subtracts α⊙x according to the sign bits, without expanding them to ±1: for one token, the time is spent
    /// reading the weights, and bits are their smallest form.
    fn one_token(&self, x: &[T], out: &mut [T]) {
        // Words of signs per task: a few microseconds of work, so that the overhead of a task is small.
        const WORDS: usize = 1536;
        let row_words = self.signs.row_words();
        let rows = rows_per_task(self.signs.rows, (WORDS / row_words).max(1));
        T::with_scratch(self.members.count() * row_words * 32, |scaled| {
            for (scaled, (_, (alpha, _))) in scaled.chunks_mut(row_words * 32).zip(self.each()) {
                let (scaled, padding) = scaled.split_at_mut(x.len());
                padding.fill(T::ZERO);
                scale_columns(x, alpha, scaled);
            }
            let mut rest = &mut *out;
            let mut tasks = Vec::new();
            for (range, scaled) in self.members.ranges().zip(scaled.chunks(row_words * 32)) {
                let (out, later) = rest.split_at_mut(range.len());
                rest = later;
                let words = &self.words[range.start * row_words..range.end * row_words];
                tasks.extend(out.chunks_mut(rows).zip(words.chunks(rows * row_words)).map(|(out, words)| (out, words, scaled)));
            }
            tasks.into_par_iter().for_each(|(out, words, scaled)| signed_rows(words, scaled, row_words, out));
        });
        self.each().for_each(|(range, (_, beta))| shift(x, beta, &mut out[range]));
    }
}

/// Adds Σ_i β[i]·x[i] to every output of a layer.
fn shift<T: Real>(x: &[T], beta: &[T], out: &mut [T]) {
    vectorised(
        #[inline(always)]
        || {
            let shift = dot(x, beta);
            out.iter_mut().for_each(|y| *y += shift);
        },
    );
}

/// Computes `out[b, i] = scale[i] · x[b, i]`.
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

/// Computes `u (tokens, in) = dy[:, range] · S` from rows of `signsᵀ (in, out)`.
fn transposed_product<T: Real>(dy: &[T], tokens: usize, outs: usize, range: &Range<usize>, words: &[u32], signs: Spec, u: &mut [T]) {
    let left = Mat::new(&dy[range.start..], tokens, range.len(), outs);
    let row_words = signs.row_words();
    matmul_written(OutMat::new(u, tokens, signs.rows, signs.rows), left, false, |rows, block| {
        signs_transposed(&words[rows.start * row_words..rows.end * row_words], row_words, range.clone(), block)
    });
}

/// Writes a range of columns of rows of signs as ±1 into the columns of a matrix `(columns, rows)`.
fn signs_transposed<'b, T: Real>(words: &[u32], row_words: usize, columns: Range<usize>, block: &'b mut [T]) -> Mat<'b, T> {
    let rows = words.len() / row_words;
    vectorised(
        #[inline(always)]
        || {
            let one = T::from_f32(1.0);
            let mut column = vec![0; rows];
            for (i, out) in columns.clone().zip(block.chunks_exact_mut(rows)) {
                let (word, bit) = (i / 32, i % 32);
                if i == columns.start || bit == 0 {
                    column.iter_mut().zip(words[word..].iter().step_by(row_words)).for_each(|(to, &word)| *to = word);
                }
                for (x, &word) in out.iter_mut().zip(&column) {
                    *x = one.signed((word >> bit) & 1 == 1);
                }
            }
        },
    );
    Mat::new(block, columns.len(), rows, rows)
}

/// Computes Σ_i ±x[i] for each row of `words`; `x` is padded with zeros to whole words.
fn signed_rows<T: Real>(words: &[u32], x: &[T], row_words: usize, out: &mut [T]) {
    if T::signed_sums(words, x, out) {
        return;
    }
    vectorised(
        #[inline(always)]
        || out.iter_mut().zip(words.chunks(row_words)).for_each(|(y, words)| *y = signed_sum(words, x)),
    );
}

/// Returns Σ_i ±x[i], summed in 32 lanes and in a fixed order; `x` is padded with zeros.
#[inline(always)]
fn signed_sum<T: Real>(words: &[u32], x: &[T]) -> T {
    let mut lanes = [T::ZERO; 32];
    for (x, &word) in x.as_chunks::<32>().0.iter().zip(words) {
        for (j, lane) in lanes.iter_mut().enumerate() {
            *lane += x[j].signed((word >> j) & 1 == 1);
        }
    }
    lanes.iter().fold(T::ZERO, |sum, &lane| sum + lane)
}
