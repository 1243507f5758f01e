//! Pins the keys of variant selections, which runs and tuning files have on disk. If a key changes, earlier runs lose
//! their kernels.

use crate::graph::{Machine, Op, Spec, Specs, Storage, Tape, Variants};
use crate::ops::*;

fn key<O: Op>(op: O, inputs: &[Spec], updates: &[Spec]) -> String {
    Variants::key(&op, Specs { inputs, updates })
}

fn members() -> Members {
    Members::new(&[96, 32, 32]).unwrap()
}

const HEADS: Heads = Heads { query: 4, key_value: 2 };

#[test]
fn keys_match_those_of_earlier_runs() {
    let f32 = Spec::f32;
    let of = |storage| Spec { rows: 5, cols: 300, storage };
    let half = Objective { next_token: 0.5, divergence: Divergence::Js, temperature: 2.0 };
    let keys = [
        (
            key(Matmul { transpose_a: false, transpose_b: true, into: Into::Output }, &[f32(8, 64), Spec::f16(4096, 64)], &[]),
            "matmul Matmul { transpose_a: false, transpose_b: true, into: Output }: (8, 64) F32, (4096, 64) F16 → ",
        ),
        (
            key(Matmul { transpose_a: true, transpose_b: false, into: Into::Accumulate }, &[f32(8, 4), f32(8, 6)], &[f32(4, 6)]),
            "matmul Matmul { transpose_a: true, transpose_b: false, into: Accumulate }: (8, 4) F32, (8, 6) F32 → (4, 6) F32",
        ),
        (
            key(Matmul { transpose_a: false, transpose_b: false, into: Into::Overwrite }, &[], &[]),
            "matmul Matmul { transpose_a: false, transpose_b: false, into: Overwrite }:  → ",
        ),
        (
            key(FbiLinear { members: members() }, &[f32(8, 64), Spec::signs(160, 64)], &[]),
            "fbi_linear FbiLinear { members: Members([96, 32, 32]) }: (8, 64) F32, (160, 64) Signs → ",
        ),
        (key(FbiLinearInput { members: members() }, &[], &[]), "fbi_linear FbiLinearInput { members: Members([96, 32, 32]) }:  → "),
        (key(FbiLinearWeight { members: members(), first: 0 }, &[], &[]), "fbi_linear FbiLinearWeight { members: Members([96, 32, 32]) }:  → "),
        (key(Attention { batch: 8, heads: HEADS }, &[], &[]), "attention Attention { batch: 8, heads: Heads { query: 4, key_value: 2 } }:  → "),
        (
            key(Rope { heads: HEADS, seq: 128, inverse: true }, &[Spec::u32(1, 1)], &[]),
            "rope Rope { heads: Heads { query: 4, key_value: 2 }, seq: 128, inverse: true }: (1, 1) U32 → ",
        ),
        (
            key(AdamWSigns { members: members(), counter: 7, first: 0 }, &[], &[of(Storage::SignedLog), of(Storage::UnsignedLog)]),
            "adamw AdamWSigns { members: Members([96, 32, 32]), counter: 7 }:  → (5, 300) SignedLog, (5, 300) UnsignedLog",
        ),
        (
            key(Distill { objective: half, gradient: true }, &[], &[]),
            "distill Distill { objective: Objective { next_token: 0.5, divergence: Js, temperature: 2.0 }, gradient: true }:  → ",
        ),
        (
            key(DistillTop { objective: Objective::AD, gradient: false }, &[], &[]),
            "distill DistillTop { objective: Objective { next_token: 0.0, divergence: Forward, temperature: 1.0 }, gradient: false }:  → ",
        ),
        (
            key(EmbeddingGradient { first: 128, vocabulary: 4096 }, &[of(Storage::Q8)], &[]),
            "embedding EmbeddingGradient { first: 128, vocabulary: 4096 }: (5, 300) Q8 → ",
        ),
        (key(Columns { first: 3, count: 9 }, &[], &[]), "join Columns { first: 3, count: 9 }:  → "),
        (key(RmsNorm { epsilon: 1e-5 }, &[], &[]), "rms_norm RmsNorm { epsilon: 1e-5 }:  → "),
        (key(RmsNorm { epsilon: 0.0001 }, &[], &[]), "rms_norm RmsNorm { epsilon: 0.0001 }:  → "),
        (key(RmsNormBackward { epsilon: 1e-6 }, &[], &[]), "rms_norm RmsNormBackward { epsilon: 1e-6 }:  → "),
        (key(AdamW, &[], &[]), "adamw AdamW:  → "),
        (key(Add, &[], &[]), "add Add:  → "),
        (key(Embedding, &[], &[]), "embedding Embedding:  → "),
        (key(GradNorm, &[], &[]), "grad_norm GradNorm:  → "),
        (key(SumSquares::new(1), &[], &[]), "grad_norm SumSquares:  → "),
        (key(Join, &[], &[]), "join Join:  → "),
        (key(LossSum, &[], &[]), "distill LossSum:  → "),
        (key(Sample, &[], &[]), "sample Sample:  → "),
        (key(Swiglu, &[], &[]), "swiglu Swiglu:  → "),
        (key(SwigluBackward, &[], &[]), "swiglu SwigluBackward:  → "),
    ];
    for (key, want) in keys {
        assert_eq!(key, want);
    }
}

#[test]
fn the_key_of_a_fused_sequence_has_its_operations() {
    let mut machine = Machine::counting(usize::MAX, FUSIONS);
    let mut tape = Tape::new();
    let mut persistent = |spec: Spec| {
        let memory = machine.allocate(crate::graph::BufferKind::of(spec.storage), spec.words()).unwrap();
        tape.persistent(crate::graph::TensorLocation { memory, offset: 0, spec })
    };
    let operands = [Spec::f32(2, 64), Spec::f32(1, 64), Spec::signs(10, 64), Spec::f32(1, 64), Spec::f32(1, 64)].map(&mut persistent);
    let normed = tape.push_one(RmsNorm { epsilon: 1e-5 }, &operands[..2], &[]).unwrap();
    let out = tape.push_one(FbiLinear { members: Members::new(&[10]).unwrap() }, &[normed, operands[2], operands[3], operands[4]], &[]).unwrap();
    tape.keep(out);
    machine.compile(tape).unwrap();
    let Machine::Counting(counter) = machine else { unreachable!("it counts") };
    let keys: Vec<&String> = counter.choices().keys().collect();
    let specs = "(2, 64) F32, (1, 64) F32, (10, 64) Signs, (1, 64) F32, (1, 64) F32";
    assert_eq!(keys, [&format!("fused [RmsNorm {{ epsilon: 1e-5 }}, FbiLinear {{ members: Members([10]) }}]: {specs} → ")]);
}
