//! Special tokens of the tokenizers that Signet trains.

/// Ends a document.
pub const END: &str = "<|end|>";
/// Begins a user message.
pub const USER: &str = "<|user|>";
/// Begins a reply of the model.
pub const ASSISTANT: &str = "<|assistant|>";
