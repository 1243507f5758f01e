//! Bytes to named tensors, and back.

pub mod safetensors;
