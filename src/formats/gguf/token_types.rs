//! Token types, as llama.cpp numbers them in `tokenizer.ggml.token_type`.

/// An ordinary entry of the vocabulary.
pub const NORMAL: i32 = 1;
/// The token for unknown text.
pub const UNKNOWN: i32 = 2;
/// A special token.
pub const CONTROL: i32 = 3;
/// An added token that is text.
pub const USER_DEFINED: i32 = 4;
/// An id without a token.
pub const UNUSED: i32 = 5;
/// A byte token, for text without other tokens.
pub const BYTE: i32 = 6;
