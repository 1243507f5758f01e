//! Signet trains fully binarized language models on any GPU, and runs them anywhere.
//!
//! What flows through the house, in the order of the modules below; a module imports only those
//! above it:
//!
//! 1. bytes become named tensors (`formats`) and token ids (`data`);
//! 2. a `model` records what it computes as operations (`ops`) on a tape (`graph`);
//! 3. the graph appends gradients, plans buffers, and runs the tape on a machine: the CPU device, or
//!    a GPU through `device`;
//! 4. `infer` continues text with the same tape and a KV cache; `eval` measures;
//! 5. `train` repeats steps, and a guard decides what each report means;
//! 6. `conform` holds every operation on every device against a float64 oracle, `certify` whole models
//!    against the CPU device, and `tune` chooses among the variants of an operation that are right on
//!    an adapter the fastest;
//! 7. the `runner` owns all work: a command in, events out. The faces, crates of their own in `crates/`, speak only to it.

// Tests may use files and threads, which clippy.toml keeps for `platform`.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod platform;
pub mod rng;

pub mod assets;
pub mod formats;
pub mod jinja;

pub mod device;
pub mod graph;
pub mod ops;

pub mod conform;
pub mod tune;

pub mod data;
pub mod model;

pub mod eval;
pub mod infer;

pub mod train;

pub mod certify;

pub mod bench;

pub mod runner;
