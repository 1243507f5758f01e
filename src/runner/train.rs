//! Training: opens what a run is made of, and hands it to the trainer.

use super::{Event, Stop};
use crate::assets;
use crate::data::{Corpus, Origin, TeacherCache, Tokenizer};
use crate::graph::{Machine, Storage};
use crate::model::{Linears, LlamaConfig, ModelError, ModelFile, PRESETS, Purpose, Weights, init_dense, init_from_dense};
use crate::platform;
use crate::train::{Ending, FirstWeights, Init, Parts, RunDir, Source, Step, StepShape, TrainConfig, TrainError, Trainer};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A run to start, or to go on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainRequest {
    /// Directory of the run.
    pub run: PathBuf,
    /// The settings; when resuming, `None` takes those the run was started with.
    pub config: Option<TrainConfig>,
    /// Go on with a run that exists.
    pub resume: bool,
    /// Where it is computed: `auto`, `cpu`, or an adapter.
    pub device: String,
}

/// Settings from a TOML file, such as a run's `run.toml`.
pub fn settings(path: &Path) -> Result<TrainConfig> {
    let text = platform::read_text(path).with_context(|| format!("settings {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("settings {}", path.display()))
}

/// The first of `run-1`, `run-2`, … that is free among `runs`.
pub fn free_run(runs: &Path) -> Option<PathBuf> {
    (1..10_000).map(|n| runs.join(format!("run-{n}"))).find(|path| !platform::exists(path))
}

/// Runs a training to its end, or until `stop` asks, on a machine that `open` gives when all else is
/// known to be right.
pub(super) async fn train(
    request: &TrainRequest, stop: &Stop, emit: &mut dyn FnMut(Event), open: impl AsyncFnOnce(&str) -> Result<(Machine, String)>,
) -> Result<Ending> {
    // A new run's directory is made only when everything else is known to be right.
    let (opened, config) = if request.resume {
        let (run, config) = open_run(request)?;
        (Some(run), config)
    } else {
        RunDir::check_free(&request.run)?;
        (None, request.config.clone().unwrap_or_default())
    };
    config.check()?;
    let inputs = Inputs::open(&config)?;
    let (mut machine, device) = open(&request.device).await?;
    let step = inputs.step(&mut machine, &config)?;
    let first_weights = first_weights(&config, inputs.teacher)?;
    let run = match opened {
        Some(run) => run,
        None => RunDir::create(&request.run, &config)?,
    };
    let parts = Parts { machine, step, config, corpus: inputs.corpus, cache: inputs.cache, tokenizer: inputs.tokenizer, run, device, first_weights };
    let mut trainer = Trainer::new(parts).await?;
    Ok(trainer.train(&|| stop.asked(), &mut |event| emit(Event::Train(event))).await?)
}

fn open_run(request: &TrainRequest) -> Result<(RunDir, TrainConfig), TrainError> {
    let (run, then) = RunDir::open(&request.run)?;
    if let Some(now) = &request.config {
        run.check_same(&then, now)?;
    }
    Ok((run, then))
}

/// What a run reads, opened and found to fit together.
pub(super) struct Inputs {
    pub(super) teacher: Option<ModelFile>,
    pub(super) tokenizer: Tokenizer,
    shape: LlamaConfig,
    pub(super) corpus: Corpus,
    cache: Option<TeacherCache>,
}

impl Inputs {
    pub(super) fn open(config: &TrainConfig) -> Result<Self> {
        let teacher = open_teacher(&config.teacher)?;
        let tokenizer = tokenizer(config, teacher.as_ref())?;
        let vocabulary = match (&teacher, &config.teacher_cache) {
            (Some(file), _) => file.config.vocab_size,
            (None, Some(cache)) => TeacherCache::vocabulary(cache)?,
            (None, None) => tokenizer.vocabulary(),
        };
        let shape = model_config(config, vocabulary)?;
        let text = if config.data.is_empty() { assets::CORPUS.to_string() } else { Corpus::read(&config.data)? };
        let corpus = Corpus::new(&text, &tokenizer, config.seq)?;
        let origin = origin(config, teacher.as_ref(), vocabulary, &corpus);
        let cache = config.teacher_cache.as_deref().map(|dir| TeacherCache::open(dir, &origin)).transpose()?;
        Ok(Self { teacher, tokenizer, shape, corpus, cache })
    }

    /// Puts the models on the machine and compiles the programs.
    fn step(&self, machine: &mut Machine, config: &TrainConfig) -> Result<Step> {
        let linears = if config.binary { Linears::Binary } else { Linears::Dense };
        let student = Weights::allocate(machine, &self.shape, linears, Purpose::Training)?;
        let asked = self.teacher.as_ref().filter(|_| self.cache.is_none() || config.eval_teacher);
        let teacher = asked.map(|file| file.load(machine, Purpose::Inference(Storage::F32))).transpose()?;
        let shape = StepShape { batch: config.batch, seq: config.seq, objective: config.objective() };
        match &self.cache {
            Some(cache) => Ok(Step::cached(machine, student, teacher, cache.top(), shape)?),
            None => Ok(Step::new(machine, student, teacher, shape)?),
        }
    }
}

/// What a cache for this run is made from.
pub(super) fn origin(config: &TrainConfig, teacher: Option<&ModelFile>, vocabulary: usize, corpus: &Corpus) -> Origin {
    // A large teacher's file takes a while to read: only where there is a cache to know it again.
    let teacher = teacher.filter(|_| config.teacher_cache.is_some()).map(ModelFile::checksum);
    Origin { teacher, vocabulary, seq: config.seq, temperature: config.temperature, top: None, text: Origin::text(corpus) }
}

fn open_teacher(source: &Source) -> Result<Option<ModelFile>> {
    match source {
        Source::None => Ok(None),
        Source::Embedded => Ok(Some(ModelFile::embedded_teacher()?)),
        Source::Path(path) => Ok(Some(super::model::open(&path.display().to_string()).context("the teacher")?)),
    }
}

fn tokenizer(config: &TrainConfig, teacher: Option<&ModelFile>) -> Result<Tokenizer> {
    let tokenizer = match (&config.tokenizer, teacher.and_then(|file| file.tokenizer.clone())) {
        (Source::Path(path), _) => Tokenizer::open(path)?,
        (_, Some(own)) => own,
        (_, None) => Tokenizer::from_json(assets::TOKENIZER)?,
    };
    if let Some(teacher) = teacher
        && tokenizer.vocabulary() > teacher.config.vocab_size
    {
        bail!("the tokenizer has {} tokens, but the teacher knows only {}. Use the teacher's own tokenizer", tokenizer.vocabulary(), teacher.config.vocab_size);
    }
    Ok(tokenizer)
}

/// The student's shape: a preset or a `config.json`; its vocabulary is the teacher's.
fn model_config(config: &TrainConfig, vocabulary: usize) -> Result<LlamaConfig> {
    let shape = if PRESETS.contains(&config.model.as_str()) {
        LlamaConfig::preset(&config.model, vocabulary)?
    } else {
        let path = Path::new(&config.model);
        let text = platform::read(path)
            .with_context(|| format!("model {}: neither a preset ({}) nor a config.json that can be read", config.model, PRESETS.join(", ")))?;
        serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))?
    };
    shape.check()?;
    if shape.vocab_size != vocabulary {
        bail!("the model has a vocabulary of {}, but the teacher or tokenizer has {vocabulary}; they must be the same", shape.vocab_size);
    }
    if config.seq > shape.max_position_embeddings {
        bail!("seq is {}, but the model's context is {}; choose a shorter seq", config.seq, shape.max_position_embeddings);
    }
    Ok(shape)
}

fn first_weights(config: &TrainConfig, teacher: Option<ModelFile>) -> Result<FirstWeights> {
    let seed = config.seed;
    let file = match &config.init {
        Init::Scratch => {
            return Ok(Box::new(move |machine, step| Ok(init_from_dense(machine, &step.student, &mut init_dense(&step.student.config, seed))?)));
        }
        Init::Teacher => teacher.context("init = teacher needs a teacher")?,
        Init::Model(path) => super::model::open(&path.display().to_string()).context("the first weights")?,
    };
    Ok(Box::new(move |machine, step| {
        if file.linears == step.student.linears {
            return file.fill(machine, &step.student);
        }
        init_from_dense(machine, &step.student, &mut |name, rows, cols| file.floats(name, rows, cols).map_err(ModelError::from))
    }))
}
