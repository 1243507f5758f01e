//! Signet trains fully binarized language models on any GPU, and runs them anywhere.
pub mod assets;
pub mod cli;
pub mod data;
pub mod formats;
pub mod graph;
pub mod infer;
pub mod model;
pub mod ops;
pub mod platform;
pub mod rng;
pub mod runner;
pub mod train;
