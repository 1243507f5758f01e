//! The operations. Each has a file here, with attributes, shapes, launches, CPU implementation (twin) and
//! gradient, and one of the same stem in `shaders/`. They do not import each other.

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
pub use distill::{DIVERGENCE_CHOICES, DIVERGENCE_HELP, Distill, DistillTop, Divergence, DivergenceInfo, LossSum, MAX_TOP_K, Objective, TERMS, Term};
pub use embedding::{Embedding, EmbeddingGradient};
pub use fbi_linear::{FbiLinear, FbiLinearInput, FbiLinearWeight};
pub use fused::FUSIONS;
pub use grad_norm::{GradNorm, PARTIALS, SumSquares};
pub use group::{Heads, Members};
pub use join::{Columns, Join};
pub use matmul::{Into, Matmul};
pub use rms_norm::{RmsNorm, RmsNormBackward};
pub use rope::Rope;
pub use sample::{DRAW, Draw, MEMORY, Sample, SampledToken};
pub use swiglu::{Swiglu, SwigluBackward};

use crate::graph::{Case, Spec, Specs, Storage};

/// A file of operations.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its stem, here and in `shaders/`.
    pub name: &'static str,
    /// Returns the test cases of its operations.
    pub cases: fn() -> Vec<Case>,
}

/// All files of operations.
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

/// Elements of a parallel task; fixed, so that the order of summation does not depend on the number of
/// threads.
pub(crate) const TASK: usize = 16 * 1024;

/// Checks the number and storage of operands.
pub(crate) fn check_operands(specs: Specs<'_>, inputs: &[Storage], updates: &[Storage]) -> Result<(), String> {
    let check = |role: &str, got: &[Spec], want: &[Storage]| {
        if got.len() != want.len() {
            return Err(format!("expected {} {role}, got {}", want.len(), got.len()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{BufferKind, Machine, MemoryId, Tape, TensorLocation};
    use pollster::block_on;
    use std::sync::Arc;

    const ROWS: usize = 2;
    const COLS: usize = 8;

    /// Allocates tensors, all in one memory, or each in its own.
    struct Places {
        machine: Machine,
        arena: Option<MemoryId>,
        end: usize,
    }

    impl Places {
        fn allocate(&mut self, rows: usize, cols: usize) -> TensorLocation {
            let spec = Spec::f32(rows, cols);
            let (memory, offset) = match self.arena {
                Some(arena) => (arena, self.end),
                None => (self.machine.allocate(BufferKind::Real, spec.words()).unwrap(), 0),
            };
            self.end += spec.words();
            let location = TensorLocation { memory, offset, spec };
            let values: Vec<f32> = (0..spec.elements()).map(|n| ((n * 37 + self.end * 11) % 97) as f32 / 97.0 - 0.4).collect();
            self.machine.write_f32(&location, &values).unwrap();
            location
        }
    }

    /// Forward, backward and a step of AdamW; returns parameters, moments and gradients.
    fn step(arena: bool) -> Vec<Vec<f32>> {
        let mut machine = Machine::cpu();
        let arena = arena.then(|| machine.allocate(BufferKind::Real, 2048).unwrap());
        let mut places = Places { machine, arena, end: 0 };
        let (x, d_out) = (places.allocate(ROWS, COLS), places.allocate(ROWS, COLS));
        let [gain, d_gain, first_gain, second_gain] = std::array::from_fn(|_| places.allocate(1, COLS));
        let [weight, d_weight, first_weight, second_weight] = std::array::from_fn(|_| places.allocate(COLS, COLS));
        let (partials, control, norm) = (places.allocate(2, PARTIALS), places.allocate(1, CONTROL), places.allocate(1, NORM));
        let mut tape = Tape::new();
        let input = tape.persistent(x);
        let (gain_in, weight_in) = (tape.parameter(gain, d_gain), tape.parameter(weight, d_weight));
        let normed = tape.push_one(RmsNorm { epsilon: 1e-5 }, &[input, gain_in], &[]).unwrap();
        let product = tape.push_one(Matmul { transpose_a: false, transpose_b: true, into: Into::Output }, &[normed, weight_in], &[]).unwrap();
        let out = tape.push_one(Add, &[product, input], &[]).unwrap();
        let d_out = tape.persistent(d_out);
        tape.backward(&[(out, d_out)], Arc::new(Add)).unwrap();
        for (n, gradient) in [d_gain, d_weight].into_iter().enumerate() {
            let (gradient, row) = (tape.persistent(gradient), tape.persistent(partials.rows(n, 1)));
            tape.push(SumSquares::new(tape.spec(gradient).elements()), &[gradient], &[row]).unwrap();
        }
        let (all, control_in, norm_in) = (tape.persistent(partials), tape.persistent(control), tape.persistent(norm));
        tape.push(GradNorm, &[all, control_in], &[norm_in]).unwrap();
        for state in [[gain, first_gain, second_gain, d_gain], [weight, first_weight, second_weight, d_weight]] {
            let state = state.map(|location| tape.persistent(location));
            tape.push(AdamW, &[norm_in, control_in], &state).unwrap();
        }
        let mut machine = places.machine;
        // Second moments are squares.
        for second in [second_gain, second_weight] {
            machine.write_f32(&second, &vec![0.25; second.spec.elements()]).unwrap();
        }
        let (correction1, correction2) = Control::corrections([0.9, 0.95], 3, true);
        let [rate, beta1, beta2, epsilon, decay, clip, inverse_scale, threshold, number] = [0.1, 0.9, 0.95, 1e-8, 0.1, 1.0, 1.0, f32::MAX, 4.0];
        let control_block = Control { rate, beta1, beta2, epsilon, decay, correction1, correction2, clip, inverse_scale, threshold, step: number };
        machine.write_f32(&control, &control_block.words()).unwrap();
        let mut program = machine.compile(tape).unwrap();
        for _ in 0..2 {
            machine.run(&mut program).unwrap();
        }
        let read = [gain, first_gain, second_gain, d_gain, weight, first_weight, second_weight, d_weight, norm];
        read.iter().map(|location| block_on(machine.read_f32(location)).unwrap()).collect()
    }

    /// Small enough for Miri, which detects two operands of one memory that are borrowed at a time.
    #[test]
    fn a_small_graph_in_one_memory_equals_that_in_many() {
        let (one, many) = (step(true), step(false));
        assert!(one.iter().flatten().all(|value| value.is_finite()));
        assert_eq!(one, many);
    }

    #[test]
    fn every_launch_gives_its_kernel_the_fields_that_the_shader_declares() {
        let mut launches = 0;
        for case in ALL.iter().flat_map(|family| (family.cases)()) {
            let (inputs, updates): (Vec<_>, Vec<_>) =
                (case.inputs.iter().map(|input| input.spec).collect(), case.updates.iter().map(|update| update.spec).collect());
            for variant in case.op.variants(Specs { inputs: &inputs, updates: &updates }) {
                for launch in &variant.launches {
                    let kernel = crate::device::kernel(launch.kernel).unwrap_or_else(|| panic!("{}: there is no kernel {}", case.label, launch.kernel));
                    crate::graph::encode_params(kernel, &launch.params).unwrap_or_else(|problem| panic!("{} ({}): {problem}", launch.kernel, case.label));
                    launches += 1;
                }
            }
        }
        assert!(launches > 300, "{launches}");
    }
}
