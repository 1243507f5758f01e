//! The operations. Each is one file here and one of the same stem in `shaders/`: attributes,
//! shapes, launches, CPU twin and gradient. They do not import each other.

mod adamw;
mod add;
mod attention;
mod control;
mod distill;
mod embedding;
mod fbi_linear;
mod fused;
mod grad_norm;
mod group;
mod join;
mod matmul;
mod rms_norm;
mod rope;
mod sample;
mod swiglu;

pub use adamw::{AdamW, AdamWSigns, pack_signs, transpose_signs};
pub use add::Add;
pub use attention::{Attention, AttentionBackward};
pub use control::{CONTROL, Control, NORM};
pub use distill::{Distill, DistillTop, Divergence, LossSum, MOST_KEPT, Objective, TERMS};
pub use embedding::{Embedding, EmbeddingGradient};
pub use fbi_linear::{FbiLinear, FbiLinearInput, FbiLinearWeight};
pub use fused::FUSIONS;
pub use grad_norm::{GradNorm, PARTIALS, SumSquares};
pub use group::{Heads, Members};
pub use join::{Columns, Join};
pub use matmul::{Into, Matmul};
pub use rms_norm::{RmsNorm, RmsNormBackward};
pub use rope::Rope;
pub use sample::{DRAW, Draw, Drawn, MEMORY, Sample};
pub use swiglu::{Swiglu, SwigluBackward};

use crate::graph::{Case, Spec, Specs, Storage};

/// A file of operations.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its stem, here and in `shaders/`.
    pub name: &'static str,
    /// What its operations are tried with.
    pub cases: fn() -> Vec<Case>,
}

/// Every file of operations.
pub const ALL: &[Family] = &[
    Family { name: "adamw", cases: adamw::cases },
    Family { name: "add", cases: add::cases },
    Family { name: "attention", cases: attention::cases },
    Family { name: "distill", cases: distill::cases },
    Family { name: "embedding", cases: embedding::cases },
    Family { name: "fbi_linear", cases: fbi_linear::cases },
    Family { name: "fused", cases: fused::cases },
    Family { name: "grad_norm", cases: grad_norm::cases },
    Family { name: "join", cases: join::cases },
    Family { name: "matmul", cases: matmul::cases },
    Family { name: "rms_norm", cases: rms_norm::cases },
    Family { name: "rope", cases: rope::cases },
    Family { name: "sample", cases: sample::cases },
    Family { name: "swiglu", cases: swiglu::cases },
];

/// Rows of elementwise work in one parallel task; fixed, so that no sum's order depends on the
/// number of threads.
pub(crate) const TASK: usize = 16 * 1024;

/// Words of a float parameter.
pub(crate) fn bits(value: f64) -> u32 {
    (value as f32).to_bits()
}

/// Checks that operands have these storages, and counts.
pub(crate) fn expect(specs: Specs<'_>, inputs: &[Storage], updates: &[Storage]) -> Result<(), String> {
    let check = |role: &str, got: &[Spec], want: &[Storage]| {
        if got.len() != want.len() {
            return Err(format!("takes {} {role}, got {}", want.len(), got.len()));
        }
        for (n, (got, want)) in got.iter().zip(want).enumerate() {
            if got.storage != *want {
                return Err(format!("{role} {n} must be {want:?}, got {got}"));
            }
        }
        Ok(())
    };
    check("inputs", specs.inputs, inputs)?;
    check("updates", specs.updates, updates)
}
