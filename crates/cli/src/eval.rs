//! `signet eval`.

use super::choice;
use super::options::ModelOptions;
use super::output::{self, put};
use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{Command, EvalRequest, Event, MatrixStorage, PerplexityReport, Runner, TaskRequest};
use std::path::PathBuf;

/// Evaluate a model: perplexity on a text, and multiple-choice tasks as in lm-evaluation-harness.
#[derive(Args)]
#[command(group = ArgGroup::new("what").args(["perplexity", "task"]).required(true).multiple(true))]
pub(super) struct Eval {
    /// Compute the perplexity on this text (plain or JSON Lines, also as .gz or .zst) in windows that do not overlap, as FBI-LLM does.
    #[arg(long, value_name = "FILE")]
    perplexity: Option<PathBuf>,
    /// Tokens per window [default: 2048, or the model's context if that is shorter].
    #[arg(long, requires = "perplexity")]
    window: Option<usize>,
    /// Run a task on a JSON Lines file with the data set's field names. TASK is boolq, piqa, hellaswag, winogrande, arc_easy, arc_challenge, openbookqa, or a TOML file that defines one. May be repeated.
    #[arg(long, value_name = "TASK=ROWS")]
    task: Vec<String>,
    /// Few-shot examples before each question.
    #[arg(long, default_value_t = 0, requires = "shots_from")]
    shots: usize,
    /// JSON Lines file with the few-shot examples; with several tasks, TASK=FILE for each.
    #[arg(long, value_name = "FILE", requires = "task")]
    shots_from: Vec<String>,
    /// Use the first examples of that file for all questions, instead of drawing some for each as lm-evaluation-harness does.
    #[arg(long, requires = "shots_from")]
    shots_in_order: bool,
    /// Seed for drawing few-shot examples.
    #[arg(long, default_value_t = 1234)]
    seed: u32,
    /// Evaluate only the first ROWS rows of each task.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Add no special tokens (LLaMA's <s>) before a prompt, as lm-evaluation-harness 0.4.2 did.
    #[arg(long)]
    no_special_tokens: bool,
    /// Write the report to this file as JSON and beside it as Markdown, and the result of each row as it completes. With the same file, an interrupted evaluation resumes.
    #[arg(long, value_name = "FILE", requires = "task")]
    out: Option<PathBuf>,
    /// Storage of the model's matrices on the device: f32, f16, or q8 (8-bit blocks) [default: as in the file].
    #[arg(long, value_parser = choice::<MatrixStorage>)]
    storage: Option<MatrixStorage>,
    #[command(flatten)]
    pub(super) of: ModelOptions,
    /// Print the results as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Eval {
    /// Returns true if it writes no file.
    pub(super) fn only_prints(&self) -> bool {
        self.out.is_none()
    }

    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let json = self.json;
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} eta {eta}").expect("a fixed template");
        let bar = ProgressBar::new(0).with_style(style);
        let request = self.request()?;
        let result = runner.run(Command::Evaluate(Box::new(request)), &mut |event| match &event {
            Event::Progress { done, of, note } => {
                bar.set_length(*of as u64);
                bar.set_position(*done as u64);
                bar.set_message(note.clone());
            }
            Event::Perplexity(report) if !json => bar.suspend(|| perplexity(report)),
            Event::Evaluated { report, table } => {
                bar.finish_and_clear();
                match json {
                    true => put(&(serde_json::to_string(report).expect("reports are plain data") + "\n")),
                    false => put(table),
                }
            }
            event => bar.suspend(|| output::loaded(event)),
        });
        bar.finish_and_clear();
        result
    }

    fn request(self) -> Result<EvalRequest> {
        let mut tasks = Vec::new();
        for task in &self.task {
            let Some((task, rows)) = task.split_once('=') else { bail!("--task {task}: write TASK=ROWS, such as boolq=dev.jsonl") };
            tasks.push(TaskRequest { task: task.into(), rows: rows.into(), shots_from: None });
        }
        for from in &self.shots_from {
            let named = from.split_once('=').and_then(|(name, file)| Some((tasks.iter().position(|task| task.task == name)?, file)));
            match named {
                Some((n, file)) => tasks[n].shots_from = Some(file.into()),
                None if tasks.len() == 1 => tasks[0].shots_from = Some(from.into()),
                None => bail!("--shots-from {from}: write TASK=FILE, with TASK one of those given by --task"),
            }
        }
        Ok(EvalRequest {
            model: self.of.model,
            device: self.of.at.device,
            storage: self.storage,
            perplexity: self.perplexity,
            window: self.window,
            tasks,
            shots: self.shots,
            shots_in_order: self.shots_in_order,
            seed: self.seed,
            limit: self.limit,
            special_tokens: !self.no_special_tokens,
            out: self.out,
        })
    }
}

fn perplexity(report: &PerplexityReport) {
    let partly = if report.windows < report.windows_in_text { format!(" of {}: stopped early", report.windows_in_text) } else { String::new() };
    put(&format!("perplexity     {:.3}\n", report.perplexity));
    put(&format!("cross-entropy  {:.4} ± {:.4} nats a token\n", report.cross_entropy, report.standard_error));
    put(&format!("windows        {} of {} tokens{partly}\n", report.windows, report.window));
    put(&format!("speed          {:.0} tokens a second\n", report.tokens_per_second));
}
