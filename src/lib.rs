//! Signet trains and runs fully binarized (1-bit) language models on GPUs and CPUs.
//!
//! The modules in order; each imports only those above it:
//!
//! 1. `formats` reads named tensors from files, and `data` reads text as token ids;
//! 2. a `model` records its computation as operations (`ops`) on a tape (`graph`);
//! 3. the graph appends gradients, plans buffers, and runs the tape on a machine: the CPU device, or a GPU through
//!    `device`;
//! 4. `infer` generates text with the same tape and a KV cache; `eval` measures models;
//! 5. `train` runs the training loop, with a guard against divergence;
//! 6. `conform` checks every operation on every device against a float64 reference, `certify` checks whole models
//!    against the CPU device, and `tune` selects the fastest correct variant of each operation on an adapter;
//! 7. the `runner` executes commands and emits events. The front ends in `crates/` use only it.

// Tests may use files and threads, which clippy.toml restricts to `platform`.
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
