//! Rotary position embedding in the Hugging Face layout: element j of a head's first half turns
//! with element j of its second half, by the angle position · θ^(−2j/head_dim).

use super::expect;
use crate::graph::{Backward, Case, CpuIo, Fill, Launch, Op, Operand, Real, Rule, ShapeError, Spec, Specs, Storage, Variant, grid};
use rayon::prelude::*;

/// `x (batch·seq, heads·head_dim)`, `cos` and `sin` `(positions, head_dim/2)`, `start (1, 1)` →
/// the rotated `x`. Row b·seq + t has position start + t. The tables are made on the host in f64,
/// because WGSL's sin and cos promise too little.
#[derive(Clone, Debug)]
pub struct Rope {
    /// Heads in a row.
    pub heads: usize,
    /// Tokens in a sequence.
    pub seq: usize,
    /// Turns back: the gradient.
    pub inverse: bool,
}

impl Op for Rope {
    const NAME: &'static str = "rope";

    fn outputs(&self, specs: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        use Storage::{F32, U32};
        expect(specs, &[F32, F32, F32, U32], &[]).map_err(Self::refuse)?;
        let (x, cos) = (specs.inputs[0], specs.inputs[1]);
        if x.cols != self.heads * cos.cols * 2 || !cos.same_shape(&specs.inputs[2]) || x.rows % self.seq != 0 || cos.rows < self.seq {
            return Err(Self::refuse(format!("x {x}, table {cos}, {} heads, sequences of {} do not fit", self.heads, self.seq)));
        }
        Ok(vec![x])
    }

    fn variants(&self, specs: Specs<'_>) -> Vec<Variant> {
        let (x, cos) = (specs.inputs[0], specs.inputs[1]);
        let pairs = x.elements() / 2;
        Variant::portable(vec![Launch {
            kernel: "rope/rotate",
            operands: vec![Operand::In(0), Operand::In(1), Operand::In(2), Operand::In(3), Operand::Out(0)],
            params: vec![x.rows as u32, self.heads as u32, cos.cols as u32, self.seq as u32, u32::from(self.inverse), cos.rows as u32],
            groups: grid(pairs.div_ceil(256)),
        }])
    }

    fn cpu<T: Real>(&self, io: &mut CpuIo<'_, T>) {
        let (width, half, positions) = (io.inputs[0].spec().cols, io.inputs[1].spec().cols, io.inputs[1].spec().rows);
        let (x, cos, sin, start) = (io.inputs[0].real(), io.inputs[1].real(), io.inputs[2].real(), io.inputs[3].words()[0] as usize);
        io.outputs[0].real().par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(row, (y, x))| {
            let position = (start + row % self.seq).min(positions - 1);
            let (cos, sin) = (&cos[position * half..][..half], &sin[position * half..][..half]);
            for (y, x) in y.chunks_mut(2 * half).zip(x.chunks(2 * half)) {
                let ((y0, y1), (x0, x1)) = (y.split_at_mut(half), x.split_at(half));
                for j in 0..half {
                    let s = if self.inverse { -sin[j] } else { sin[j] };
                    y0[j] = x0[j] * cos[j] - x1[j] * s;
                    y1[j] = x1[j] * cos[j] + x0[j] * s;
                }
            }
        });
    }

    fn backward(&self, tape: &mut Backward<'_>) -> Rule {
        let Some(upstream) = tape.upstream(0) else { return Rule::Done };
        let tables = [1, 2, 3].map(|n| tape.input(n));
        let back = Rope { inverse: !self.inverse, ..self.clone() };
        let dx = tape.push(back, &[upstream, tables[0], tables[1], tables[2]], &[]);
        tape.give(0, dx.first().copied());
        Rule::Done
    }
}

/// What it is tried with. The tables need not be those of an angle: the map is linear in them.
pub(crate) fn cases() -> Vec<Case> {
    let case = |batch: usize, seq: usize, heads: usize, half: usize, start: u32, inverse: bool| {
        let table = Spec::f32(seq + 5, half);
        let label = format!("{batch}×{seq} tokens, {heads}×{} from {start}{}", 2 * half, if inverse { ", back" } else { "" });
        Case::new(label, Rope { heads, seq, inverse })
            .variable(Spec::f32(batch * seq, heads * 2 * half), Fill::Normal(0.3, 1.0))
            .input(table, Fill::Uniform(-0.8, 1.0))
            .input(table, Fill::Uniform(-1.0, 0.9))
            .input(Spec::u32(1, 1), Fill::Words(vec![start]))
    };
    let mut cases: Vec<Case> = (1..9).map(|seq| case(1, seq, 3, 4, 5, false)).collect();
    cases.extend([case(1, 1, 1, 1, 0, false), case(2, 17, 3, 5, 0, false), case(3, 33, 9, 32, 2, false), case(2, 65, 2, 16, 3, true)]);
    // Positions past the table take its last row.
    cases.push(case(1, 9, 2, 3, 40, false));
    cases
}
