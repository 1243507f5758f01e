//! Signet trains fully binarized language models on any GPU, and runs them anywhere.
pub mod conform;
pub mod device;
pub mod graph;
pub mod ops;
