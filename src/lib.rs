//! Signet trains fully binarized language models on any GPU, and runs them anywhere.
pub mod graph;
pub mod model;
pub mod ops;
pub mod rng;
pub mod train;
pub mod formats;
