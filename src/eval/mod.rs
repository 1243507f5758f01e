//! Measuring models.

mod perplexity;

pub use perplexity::{EvalError, PerplexityReport, perplexity};
