//! The gradient of the latent weights of FBI-Linear.

use super::{TiledKernels, scale_columns};
use crate::graph::{Backward, CpuIo, Launch, Mat, Op, Operand, OutMat, Real, Rule, ShapeError, Spec, Specs, Storage, Threads, Variant, matmul};
use crate::ops::check_operands;
use crate::ops::group::Members;
use crate::params;

/// The gradient of a group's latent weight, or of a block of its rows, by the straight-through estimator. Inputs:
/// `dy (tokens, out)`, `x (tokens, in)`, `α (layers, in)`. Adds α ⊙ (dyᵀ·x) to the gradient `(rows, in)`.
#[derive(Clone, Debug)]
pub struct FbiLinearWeight {
    /// The layers.
    pub members: Members,
    /// The first row of the block; 0 for the whole matrix.
    pub first: usize,
}

impl Op for FbiLinearWeight {
    const NAME: &'static str = "fbi_linear";

    fn key(&self) -> String {
        // A whole matrix has the key that it had before there were blocks.
        let first = if self.first == 0 { String::new() } else { format!(", first: {}", self.first) };
        format!("FbiLinearWeight {{ members: {}{first} }}", self.members.key())
    }

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::F32;
        check_operands(specs, &[F32, F32, F32], &[F32]).map_err(Self::shape_error)?;
        let [dy, x] = [specs.inputs[0], specs.inputs[1]];
        let block = specs.updates[0];
        let fits = self.first.is_multiple_of(4) && self.first + block.rows <= dy.cols && block.cols == x.cols;
        if dy.rows != x.rows || dy.cols != self.members.rows() || !fits {
            return Err(Self::shape_error(format!("shapes do not match: dy {dy}, x {x}, dW {block} from row {} on", self.first)));
        }
        Ok(vec![])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (dy, x, rows) = (specs.inputs[0], specs.inputs[1], specs.updates[0].rows);
        let [second, third] = self.members.bounds();
        let launch = |tiled: &TiledKernels| Launch {
            kernel: tiled.weight,
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::Up(0)],
            params: params! { outs: dy.cols, ins: x.cols, tokens: dy.rows, second_layer: second, third_layer: third, first: self.first, end: self.first + rows },
            groups: tiled.groups(rows, x.cols),
            operations: Some(2.0 * dy.rows as f64 * specs.updates[0].elements() as f64),
        };
        TiledKernels::variants(&self.members, x.cols, |tiled| vec![launch(tiled)])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (dy, x) = (io.inputs[0].spec(), io.inputs[1].spec());
        let (dy_data, alpha) = (io.inputs[0].real(), io.inputs[2].real());
        let block = self.first..self.first + io.updates[0].spec().rows;
        let out = io.updates[0].real();
        T::with_scratch(x.elements(), |scaled| {
            for (range, alpha) in self.members.ranges().zip(alpha.chunks(x.cols)) {
                let range = range.start.max(block.start)..range.end.min(block.end);
                if range.is_empty() {
                    continue;
                }
                scale_columns(io.inputs[1].real(), alpha, scaled);
                let dy = Mat::new(&dy_data[range.start..], dy.rows, range.len(), dy.cols).t();
                let out = &mut out[(range.start - block.start) * x.cols..(range.end - block.start) * x.cols];
                matmul(OutMat::new(out, range.len(), x.cols, x.cols), dy, Mat::new(scaled, x.rows, x.cols, x.cols), true, Threads::Pool);
            }
        });
    }

    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("second derivatives are not supported")
    }
}
