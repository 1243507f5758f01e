//! What came of rows and tasks: who was right, how sure that is, and the table.

use super::PerplexityReport;
use super::score::Score;
use super::task::{Metric, Published, Task};
use serde::{Deserialize, Serialize};

/// What came of one choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceOutcome {
    /// In nats.
    pub loglikelihood: f64,
    /// Whether the model would have said it.
    pub greedy: bool,
    /// Tokens that were scored.
    pub tokens: usize,
    /// Length of the choice, without what stands before it: what acc_norm divides by.
    pub characters: usize,
}

/// What came of a row: a line of the file of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowOutcome {
    /// The task.
    pub task: String,
    /// Which row of the file, from 0.
    pub row: usize,
    /// A checksum of the model and of all that was asked, by which a resume knows it again.
    pub key: String,
    /// Its choices.
    pub choices: Vec<ChoiceOutcome>,
    /// Which is right.
    pub gold: usize,
    /// 1 if the likeliest choice was the right one, else 0.
    pub acc: u8,
    /// The same by log-likelihood divided by characters.
    pub acc_norm: u8,
}

impl RowOutcome {
    /// Judges a row by its scores; of choices that are equally likely, the first counts as chosen.
    pub fn new(task: &str, row: usize, key: String, gold: usize, choices: Vec<ChoiceOutcome>) -> Self {
        let right = |value: &dyn Fn(&ChoiceOutcome) -> f64| {
            let values: Vec<f64> = choices.iter().map(value).collect();
            let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            u8::from(values.iter().position(|&value| value == best) == Some(gold))
        };
        let (acc, acc_norm) = (right(&|choice| choice.loglikelihood), right(&|choice| choice.loglikelihood / choice.characters as f64));
        Self { task: task.into(), row, key, choices, gold, acc, acc_norm }
    }
}

impl ChoiceOutcome {
    /// Of a choice of this text.
    pub fn new(score: Score, tokens: usize, text: &str) -> Self {
        Self { loglikelihood: score.loglikelihood, greedy: score.greedy, tokens, characters: text.chars().count() }
    }
}

/// A mean over rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The mean.
    pub mean: f64,
    /// Its standard error, from the sample's deviation; none for a single row.
    pub standard_error: Option<f64>,
}

impl Share {
    /// Of some rows' 0 or 1.
    pub fn of(values: impl Iterator<Item = u8> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / n;
        let squares: f64 = values.map(|value| (f64::from(value) - mean).powi(2)).sum();
        Self { mean, standard_error: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt() / n.sqrt()) }
    }
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Its name.
    pub task: String,
    /// What it is called in a table.
    pub title: String,
    /// Rows that were answered.
    pub rows: usize,
    /// Rows that were to be; more than were answered if somebody asked to stop.
    pub rows_asked: usize,
    /// Rows the file has.
    pub rows_in_file: usize,
    /// Rows of an earlier start that was gone on with.
    pub resumed: usize,
    /// Answered questions that stood before each.
    pub shots: usize,
    /// The share of right answers by log-likelihood.
    pub acc: Share,
    /// The same by log-likelihood divided by characters, where the task is judged so too.
    pub acc_norm: Option<Share>,
    /// Rows a second, of those that were computed now.
    pub rows_per_second: f64,
    /// What others have measured.
    pub published: Vec<Published>,
}

impl TaskReport {
    /// Of some rows, of which there is at least one.
    pub fn new(task: &Task, outcomes: &[RowOutcome], shots: usize) -> Self {
        let normed = task.metrics().contains(&Metric::AccNorm);
        Self {
            task: task.name().into(),
            title: task.title().into(),
            rows: outcomes.len(),
            rows_asked: outcomes.len(),
            rows_in_file: outcomes.len(),
            resumed: 0,
            shots,
            acc: Share::of(outcomes.iter().map(|outcome| outcome.acc)),
            acc_norm: normed.then(|| Share::of(outcomes.iter().map(|outcome| outcome.acc_norm))),
            rows_per_second: 0.0,
            published: task.published().to_vec(),
        }
    }
}

/// What came of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// The model, as it was asked for.
    pub model: String,
    /// Where it was computed.
    pub device: String,
    /// Of a text, if one was given.
    pub perplexity: Option<PerplexityReport>,
    /// In the order they were asked for.
    pub tasks: Vec<TaskReport>,
}
