//! Evaluates a model: perplexity of a text, and tasks.

use crate::eval::{
    ChoiceOutcome, EvalReport, PerplexityReport, PythonRandom, Question, RequestEncoder, ResultsFile, RowOutcome, Rows, Score, ScoreRequest, Scorer,
    TableStyle, Task, TaskError, TaskReport, WindowLoss, draw, perplexity, questions_per_batch, table,
};
use crate::formats::checksum;
use crate::graph::Machine;
use crate::model::{MatrixStorage, ModelFile, Purpose, Weights};
use crate::platform::{self, Clock};
use crate::runner::protocol::{EvalRequest, TaskRequest};
use crate::runner::{Event, Stop, Tuning, devices, model_loader, text_reader, tuning};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Default window length in tokens, as in FBI-LLM.
const WINDOW: usize = 2048;
/// Number of questions considered for one batch.
const LOOK_AHEAD: usize = 256;

/// A row of a task, tokenized.
struct Item {
    row: usize,
    requests: Vec<ScoreRequest>,
    texts: Vec<String>,
    gold: usize,
    key: String,
}

impl Item {
    fn longest(&self) -> usize {
        self.requests.iter().map(|request| request.input().len()).max().unwrap_or(0)
    }
}

/// A task with its tokenized rows.
struct Job {
    task: Task,
    items: Vec<Item>,
    in_file: usize,
}

/// Returns the questions of all jobs.
fn questions(jobs: &[Job]) -> impl Iterator<Item = &[ScoreRequest]> {
    jobs.iter().flat_map(|job| &job.items).map(|item| &item.requests[..])
}

pub(super) async fn measure(request: EvalRequest, tuning: Tuning, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    // Cheap checks come before work that takes minutes.
    if let Some(out) = request.out.as_deref().filter(|out| out.extension().is_some_and(|ending| ending == "md")) {
        bail!("cannot write report {}: the report is JSON, with Markdown beside it. Use another extension, such as .json", out.display());
    }
    let opened = request.tasks.iter().map(|task| open(task, &request)).collect::<Result<Vec<_>>>()?;
    let file = model_loader::open(&request.model)?;
    let storage = request.storage.map_or(file.storage(), MatrixStorage::storage);
    let tokenizer = model_loader::tokenizer(&file)?;
    let text = match &request.perplexity {
        Some(path) => Some(text_reader::tokenize_for_eval(path, &tokenizer, &file.chat, stop, emit)?),
        None => None,
    };
    let window = request.window.unwrap_or(WINDOW.min(file.config.max_position_embeddings));
    let key = if request.out.is_some() { checksum(file.checksum()?, storage.key().as_bytes()) } else { 0 };
    let (begins, ends) = (file.chat.bos_token(), file.chat.eos_token());
    let encoder = RequestEncoder::new(&tokenizer, begins, ends, request.special_tokens, file.config.max_position_embeddings);
    let mut jobs = Vec::new();
    for opened in opened {
        jobs.push(opened.tokenize(&encoder, &request, key, stop, emit)?);
    }
    let (mut machine, device) = devices::machine(&request.device, emit).await?;
    let set_up = |machine: &mut Machine| {
        let weights = Weights::allocate(machine, &file.config, file.linears, Purpose::Inference(storage))?;
        if text.is_some() {
            WindowLoss::new(machine, &weights, window)?;
        }
        if !jobs.is_empty() {
            Scorer::new(machine, &weights, questions(&jobs))?;
        }
        Ok(())
    };
    tuning::tune(&mut machine, tuning, false, set_up, emit).await?;
    let weights = file.load(&mut machine, Purpose::Inference(storage))?;
    let context = if text.is_some() { window } else { file.config.max_position_embeddings };
    emit(Event::Loaded { model: file.path().display().to_string(), device: device.clone(), context, memory: machine.bytes() });
    let cached = request.out.as_deref().map(|out| ResultsFile::open(&rows_path(out), &request.model, &format!("{key:016x}"))).transpose()?;
    let perplexity = match &text {
        Some(tokens) => Some(measure_text(&mut machine, &weights, tokens, window, stop, emit).await?),
        None => None,
    };
    let mut evaluation = Evaluation { machine, weights, cached, of: jobs.iter().map(|job| job.items.len()).sum(), done: 0, stop };
    let tasks = evaluation.run(jobs, request.shots, emit).await?;
    finish(EvalReport { model: request.model, device, perplexity, tasks }, request.out.as_deref(), &file, emit)
}

async fn measure_text(
    machine: &mut Machine, weights: &Weights, tokens: &[u32], window: usize, stop: &Stop, emit: &mut dyn FnMut(Event),
) -> Result<PerplexityReport> {
    let mut progress = |done, of, so_far: f64| emit(Event::Progress { done, of, note: format!("perplexity {so_far:.3}") });
    let report = perplexity(machine, weights, tokens, window, &|| stop.is_requested(), &mut progress).await?;
    emit(Event::Perplexity(report));
    Ok(report)
}

/// Returns the path of the file with the result of each row.
fn rows_path(out: &Path) -> PathBuf {
    out.with_extension("rows.jsonl")
}

/// Emits the report, and writes it if requested.
fn finish(report: EvalReport, out: Option<&Path>, file: &ModelFile, emit: &mut dyn FnMut(Event)) -> Result<()> {
    if let Some(out) = out {
        let problem = |path: &Path| format!("cannot write report {}", path.display());
        let json = serde_json::to_string_pretty(&report)? + "\n";
        platform::write_atomic(out, json.as_bytes()).with_context(|| problem(out))?;
        let page = out.with_extension("md");
        let text = format!("{} on {}\n\n{}", file.path().display(), report.device, table(&report, TableStyle::Markdown));
        platform::write_atomic(&page, text.as_bytes()).with_context(|| problem(&page))?;
    }
    let text = table(&report, TableStyle::Text);
    emit(Event::Evaluated { report: Box::new(report), table: text });
    Ok(())
}

/// A task with its rows and few-shot examples.
struct OpenedTask {
    task: Task,
    rows: Rows,
    shots: Vec<Shot>,
}

/// A few-shot example.
struct Shot {
    fields: serde_json::Map<String, serde_json::Value>,
    text: String,
}

fn open(requested: &TaskRequest, request: &EvalRequest) -> Result<OpenedTask> {
    let task = Task::open(&requested.task)?;
    let rows = Rows::read(&requested.rows, request.limit)?;
    let shots = match (&requested.shots_from, request.shots) {
        (_, 0) => Vec::new(),
        (None, shots) => bail!("task {}: no file for {shots} shots. Pass --shots-from {0}=FILE", requested.task),
        (Some(path), shots) => {
            let rows = Rows::read(path, None)?;
            let needed = shots + usize::from(task.spare_shot());
            if rows.rows.len() < needed {
                bail!("rows {}: {} are too few for {shots} shots; {needed} are needed", path.display(), rows.rows.len());
            }
            let shot = |n: usize| Ok(Shot { text: task.shot(&question(&task, &rows, n)?), fields: rows.rows[n].fields.clone() });
            (0..rows.rows.len()).map(shot).collect::<Result<_, TaskError>>()?
        }
    };
    Ok(OpenedTask { task, rows, shots })
}

fn question(task: &Task, rows: &Rows, n: usize) -> Result<Question, TaskError> {
    task.question(&rows.rows[n].fields).map_err(|error| rows.at(n, &error))
}

impl OpenedTask {
    /// Builds the question of each row and tokenizes it.
    fn tokenize(self, encoder: &RequestEncoder<'_>, request: &EvalRequest, model: u64, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Job> {
        let Self { task, rows, shots } = self;
        let mut random = PythonRandom::new(request.seed);
        let mut items = Vec::with_capacity(rows.rows.len());
        for n in 0..rows.rows.len() {
            if stop.is_requested() {
                bail!("evaluation stopped before the first row");
            }
            let question = question(&task, &rows, n)?;
            let is_asked = |shot: usize| shots[shot].fields == rows.rows[n].fields;
            let drawn = match request.shots_in_order {
                true => (0..request.shots).collect(),
                false => draw(&mut random, shots.len(), request.shots, if task.spare_shot() { Some(&is_asked) } else { None }),
            };
            let before: String = drawn.iter().map(|&shot| shots[shot].text.as_str()).collect();
            let one = |choice: &crate::eval::AnswerChoice| {
                encoder.request(&format!("{before}{}", choice.prompt), &format!("{}{}", task.delimiter(), choice.continuation))
            };
            let requests = question.choices.iter().map(one).collect::<Result<Vec<_>, _>>().map_err(|error| rows.at(n, &error))?;
            let key = key(model, task.name(), question.gold, &requests);
            items.push(Item { row: n, requests, texts: question.choices.into_iter().map(|choice| choice.continuation).collect(), gold: question.gold, key });
            if n % 256 == 255 {
                emit(Event::Progress { done: n + 1, of: rows.rows.len(), note: format!("{}: reading rows", task.title()) });
            }
        }
        Ok(Job { task, items, in_file: rows.in_file })
    }
}

/// Returns a checksum of the model and a question, under which the result is cached.
fn key(model: u64, task: &str, gold: usize, requests: &[ScoreRequest]) -> String {
    let mut sum = checksum(checksum(model, task.as_bytes()), &(gold as u64).to_le_bytes());
    for request in requests {
        sum = checksum(checksum(sum, bytemuck::cast_slice(&request.tokens)), &(request.scored as u64).to_le_bytes());
    }
    format!("{sum:016x}")
}

/// A running evaluation.
struct Evaluation<'a> {
    machine: Machine,
    weights: Weights,
    cached: Option<ResultsFile>,
    /// Numbers of rows of all tasks, and of those done.
    of: usize,
    done: usize,
    stop: &'a Stop,
}

impl Evaluation<'_> {
    /// Scores all rows of all tasks, until a stop request.
    async fn run(&mut self, jobs: Vec<Job>, shots: usize, emit: &mut dyn FnMut(Event)) -> Result<Vec<TaskReport>> {
        let mut reports = Vec::new();
        if jobs.is_empty() {
            return Ok(reports);
        }
        let mut scorer = Scorer::new(&mut self.machine, &self.weights, questions(&jobs))?;
        for job in jobs {
            reports.extend(self.run_task(&mut scorer, job, shots, emit).await?);
        }
        if self.stop.is_requested() {
            let next = if self.cached.is_some() { "; run the same command to resume" } else { "; use --out to make it resumable" };
            emit(Event::Note { text: format!("stopped after {} of {} rows{next}", self.done, self.of) });
        }
        if reports.is_empty() {
            bail!("evaluation stopped before the first row");
        }
        Ok(reports)
    }

    /// Scores the rows of a task; returns none if it was stopped before the first result.
    async fn run_task(&mut self, scorer: &mut Scorer, job: Job, shots: usize, emit: &mut dyn FnMut(Event)) -> Result<Option<TaskReport>> {
        let rows_asked = job.items.len();
        let (mut outcomes, mut items) = (Vec::new(), Vec::new());
        for item in job.items {
            let earlier = match &mut self.cached {
                Some(cached) => cached.earlier(job.task.name(), item.row, &item.key)?,
                None => None,
            };
            match earlier {
                Some(outcome) => outcomes.push(outcome),
                None => items.push(item),
            }
        }
        let resumed = outcomes.len();
        self.done += resumed;
        // Longest first: out-of-memory errors show at once, and the remaining time is not underestimated.
        items.sort_by_key(|item| std::cmp::Reverse(item.longest()));
        let clock = Clock::start();
        let mut rest = &items[..];
        while !rest.is_empty() && !self.stop.is_requested() {
            let questions: Vec<&[ScoreRequest]> = rest.iter().take(LOOK_AHEAD).map(|item| &item.requests[..]).collect();
            let (now, later) = rest.split_at(questions_per_batch(&questions));
            let new = self.score(scorer, job.task.name(), now).await?;
            if let Some(cached) = &mut self.cached {
                cached.add(&new)?;
            }
            outcomes.extend(new);
            rest = later;
            self.done += now.len();
            let right = outcomes.iter().filter(|outcome| outcome.acc == 1).count() as f64 / outcomes.len() as f64;
            let rate = (outcomes.len() - resumed) as f64 / clock.seconds().max(1e-9);
            let note = format!("{}: acc {:.1}, {rate:.1} rows/s", job.task.title(), 100.0 * right);
            emit(Event::Progress { done: self.done, of: self.of, note });
        }
        if outcomes.is_empty() {
            return Ok(None);
        }
        let rows_per_second = (outcomes.len() - resumed) as f64 / clock.seconds().max(1e-9);
        let report = TaskReport::new(&job.task, &outcomes, shots);
        Ok(Some(TaskReport { rows_asked, rows_in_file: job.in_file, resumed, rows_per_second, ..report }))
    }

    async fn score(&mut self, scorer: &mut Scorer, task: &str, items: &[Item]) -> Result<Vec<RowOutcome>> {
        let questions: Vec<&[ScoreRequest]> = items.iter().map(|item| &item.requests[..]).collect();
        let scores = scorer.score(&mut self.machine, &questions).await?;
        let outcome = |(item, scores): (&Item, Vec<Score>)| {
            let choices = item.requests.iter().zip(&item.texts).zip(scores);
            let choices = choices.map(|((request, text), score)| ChoiceOutcome::new(score, request.scored, text)).collect();
            RowOutcome::new(task, item.row, item.key.clone(), item.gold, choices)
        };
        Ok(items.iter().zip(scores).map(outcome).collect())
    }
}
