//! GGUF: ggml's model files.

pub mod write;
