//! Types of tokens, as llama.cpp numbers them in `tokenizer.ggml.token_type`.

/// An ordinary entry of the vocabulary.
pub const NORMAL: i32 = 1;
/// The token for text that has none.
pub const UNKNOWN: i32 = 2;
/// A special token.
pub const CONTROL: i32 = 3;
/// A token that was added, and is text.
pub const USER_DEFINED: i32 = 4;
/// An id without a token.
pub const UNUSED: i32 = 5;
/// A byte of text that has no other token.
pub const BYTE: i32 = 6;
