//! Results of rows and tasks: correct answers, accuracy and its standard error.

use super::PerplexityReport;
use super::score::Score;
use super::task::{Metric, PublishedResult, Task};
use serde::{Deserialize, Serialize};

/// The result of one choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceOutcome {
    /// The log-likelihood in nats.
    pub loglikelihood: f64,
    /// True if greedy decoding would generate the choice.
    pub greedy: bool,
    /// Scored tokens.
    pub tokens: usize,
    /// Length of the choice in characters, by which acc_norm divides.
    pub characters: usize,
}

/// The result of a row: a line of the results file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowOutcome {
    /// The task's name.
    pub task: String,
    /// Index of the row in the file, from 0.
    pub row: usize,
    /// A checksum of the model and the requests, checked on resume.
    pub key: String,
    /// The choices.
    pub choices: Vec<ChoiceOutcome>,
    /// Index of the correct choice.
    pub gold: usize,
    /// 1 if the most likely choice is correct, else 0.
    pub acc: u8,
    /// The same for the log-likelihood divided by characters.
    pub acc_norm: u8,
}

impl RowOutcome {
    /// Computes the result of a row. The first of equally likely choices counts as chosen.
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
    /// Makes the result of a choice with this text.
    pub fn new(score: Score, tokens: usize, text: &str) -> Self {
        Self { loglikelihood: score.loglikelihood, greedy: score.greedy, tokens, characters: text.chars().count() }
    }
}

/// A mean over rows with its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanEstimate {
    /// The mean.
    pub mean: f64,
    /// The standard error, from the sample standard deviation; none for a single row.
    pub standard_error: Option<f64>,
}

impl MeanEstimate {
    /// Computes the mean of values that are 0 or 1.
    pub fn of(values: impl Iterator<Item = u8> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / n;
        let squares: f64 = values.map(|value| (f64::from(value) - mean).powi(2)).sum();
        Self { mean, standard_error: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt() / n.sqrt()) }
    }
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task's name.
    pub task: String,
    /// The title in tables.
    pub title: String,
    /// Evaluated rows.
    pub rows: usize,
    /// Requested rows; more than evaluated if the evaluation was stopped.
    pub rows_asked: usize,
    /// Rows in the file.
    pub rows_in_file: usize,
    /// Rows taken from an earlier, resumed evaluation.
    pub resumed: usize,
    /// Few-shot examples before each question.
    pub shots: usize,
    /// Accuracy by log-likelihood.
    pub acc: MeanEstimate,
    /// Accuracy by log-likelihood divided by characters, if the task has this metric.
    pub acc_norm: Option<MeanEstimate>,
    /// Rows per second, without resumed ones.
    pub rows_per_second: f64,
    /// Published results of other models.
    pub published: Vec<PublishedResult>,
}

impl TaskReport {
    /// Summarizes the results of at least one row.
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
            acc: MeanEstimate::of(outcomes.iter().map(|outcome| outcome.acc)),
            acc_norm: normed.then(|| MeanEstimate::of(outcomes.iter().map(|outcome| outcome.acc_norm))),
            rows_per_second: 0.0,
            published: task.published().to_vec(),
        }
    }
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// The model, as specified by the user.
    pub model: String,
    /// The device.
    pub device: String,
    /// Perplexity of a text, if one was given.
    pub perplexity: Option<PerplexityReport>,
    /// Results of the tasks, in the requested order.
    pub tasks: Vec<TaskReport>,
}
