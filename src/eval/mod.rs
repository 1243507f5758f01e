//! Evaluation: perplexity of a text, and multiple-choice tasks as in lm-evaluation-harness 0.4.

mod backbone;
mod encoder;
mod outcome;
mod perplexity;
mod results_file;
mod results_table;
mod rows;
mod score;
mod shots;
mod task;

pub use encoder::{RequestEncoder, ScoreRequest};
pub use outcome::{ChoiceOutcome, EvalReport, MeanEstimate, RowOutcome, TaskReport};
pub use perplexity::{EvalError, PerplexityReport, WindowLoss, perplexity};
pub use results_file::ResultsFile;
pub use results_table::{TableStyle, table};
pub use rows::{DataRow, Rows};
pub use score::{Score, Scorer, questions_per_batch};
pub use shots::{PythonRandom, draw};
pub use task::{AnswerChoice, Metric, PublishedResult, Question, Task};

/// An error in a task or its rows, with file and line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct TaskError(pub String);
