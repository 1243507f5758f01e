//! Measuring models.

mod perplexity;

pub use perplexity::{EvalError, Measure, PerplexityReport, perplexity};
