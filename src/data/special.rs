//! Special tokens of the tokenizers that Signet trains.

/// Ends a document.
pub const END: &str = "<|end|>";
/// Begins what the person says.
pub const USER: &str = "<|user|>";
/// Begins what the model says.
pub const ASSISTANT: &str = "<|assistant|>";
