//! Measuring models: perplexity of a text, and tasks with choices as lm-evaluation-harness 0.4 asks them.

mod body;
mod encode;
mod kept;
mod outcome;
mod perplexity;
mod rows;
mod score;
mod shots;
mod table;
mod task;

pub use encode::{Encoder, Request};
pub use kept::Kept;
pub use outcome::{ChoiceOutcome, EvalReport, RowOutcome, Share, TaskReport};
pub use perplexity::{EvalError, Measure, PerplexityReport, perplexity};
pub use rows::{Row, Rows};
pub use score::{Score, Scorer, questions_at_once};
pub use shots::{PythonRandom, draw};
pub use table::{Style, table};
pub use task::{Choice, Metric, Published, Question, Task};

/// What is wrong with a task, or with rows for it: which file, which line, and what.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct TaskError(pub String);
