//! Training: opens what a run is made of, and hands it to the trainer.

use super::devices::Opened;
use super::known::Known;
use super::plan::{self, Planned, Room};
use super::protocol::TrainRequest;
use super::{Event, Orders, Stop, Tuning, advice, corpus, damage, tuning};
use crate::assets;
use crate::data::{Corpus, Origin, TeacherCache, Tokenizer};
use crate::graph::{Machine, Recompute};
use crate::model::{
    ChatFormat, Linears, LlamaConfig, ModelError, ModelFile, PRESETS, Purpose, Rounding, TEACHERS, checkpoint_shape, checkpoint_tokenizer, init_dense,
    init_from_dense, open_tokenizer,
};
use crate::platform;
use crate::train::{
    Checkpoint, Ending, FirstWeights, Init, Parts, Precision, RunDir, SettingError, Setup, Shapes, Source, TeacherShape, TrainConfig, TrainError, TrainEvent,
    Trainer, check_same, checkpoint, checkpoints, close, newest_whole, numbered,
};
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl TrainRequest {
    /// The checkpoint that the run resumes from; none if it begins, or begins again.
    pub(super) fn saved(&self) -> Result<Option<PathBuf>> {
        let step = if self.resume { self.from_step.or(checkpoints(&self.run)?.pop()) } else { None };
        Ok(step.map(|step| checkpoint(&self.run, step)))
    }
}

/// The first of `run-1`, `run-2`, … that is free among `runs`, until another process takes it.
pub fn free_run(runs: &Path) -> Option<PathBuf> {
    numbered(runs).find(|path| !platform::exists(path))
}

/// Who speaks to a training while it runs.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) stop: &'a Stop,
    pub(super) orders: &'a Orders,
}

/// Runs a training to its end, or until it is asked to stop, on a machine that `open` gives when all else is
/// known to be right.
pub(super) async fn train(
    request: &TrainRequest, tuning: Tuning, asked: Asked<'_>, emit: &mut dyn FnMut(Event), open: impl AsyncFnOnce(&str, Option<&str>) -> Result<Opened>,
) -> Result<Ending> {
    // A new run's directory is made only when everything else is known to be right.
    let (mut opened, config) = if request.resume {
        let (run, config) = open_run(request)?;
        damage::check_resume(request)?;
        (Some(run), config)
    } else {
        if !request.numbered {
            RunDir::check_free(&request.run)?;
        }
        (None, corpus::lasting(corpus::named(request.config.clone().unwrap_or_default())?)?)
    };
    config.check()?;
    if let (Some(run), None) = (&mut opened, request.from_step)
        && is_finished(&request.run, config.steps)?
    {
        if let Some(text) = close(run, &config)? {
            emit(Event::Train(TrainEvent::Note { text }));
        }
        emit(Event::Note { text: format!("{} is finished: all {} steps are done", request.run.display(), config.steps) });
        return Ok(Ending::Finished);
    }
    let saved = request.saved()?;
    let inputs = Inputs::open(&config, saved.as_deref(), asked.stop, emit).map_err(|error| damage::with_older(error, request))?;
    // Of a teacher that is on the machine.
    let teacher = inputs.teacher.as_ref().filter(|_| inputs.shapes.teacher.is_some());
    let rounding = teacher.map(|file| Rounding::of(file, config.teacher_storage)).transpose()?;
    // One that cannot be read is reported where it is loaded.
    let before = saved.as_deref().and_then(|saved| Checkpoint::read(saved).ok()).map(|read| read.state.device);
    let Opened { mut machine, name: device, notes } = open(&request.device, before.as_deref()).await?;
    notes.iter().for_each(|text| emit(Event::Note { text: text.clone() }));
    let half = config.precision == Precision::F16;
    let record = |machine: &mut Machine| Ok(Setup::new(machine, &config, &inputs.shapes, Recompute::Off).map(drop)?);
    // A run goes on with the variants it was begun with: they decide its bits.
    let variants = match &opened {
        Some(run) => {
            let variants = run.variants()?;
            if !run.has_variants() {
                let text = "variants.json is missing, and no checkpoint keeps it: the run resumes with portable kernels, perhaps not to the same bits";
                run.log(text)?;
                emit(Event::Note { text: text.into() });
            }
            for text in tuning::resume(&mut machine, variants.clone(), record)? {
                run.log(&text)?;
                emit(Event::Note { text });
            }
            variants
        }
        None => tuning::tune(&mut machine, tuning, half, record, emit).await?,
    };
    let setup = inputs.setup(&mut machine, &config, request.memory, emit)?;
    let first_weights = first_weights(&config, inputs.teacher, opened.is_some())?;
    let run = match opened {
        Some(run) => run,
        None if request.numbered => RunDir::create_numbered(request.run.parent().unwrap_or(Path::new(".")), &config, &variants)?,
        None => RunDir::create(&request.run, &config, &variants)?,
    };
    if !request.resume {
        emit(Event::RunCreated { path: run.path().to_path_buf() });
    }
    notes.iter().try_for_each(|line| run.log(line))?;
    // Its directory, where it took a number.
    let request = &TrainRequest { run: run.path().to_path_buf(), ..request.clone() };
    let parts = Parts {
        machine,
        setup,
        config,
        rounding,
        corpus: inputs.corpus,
        cache: inputs.cache,
        tokenizer: inputs.tokenizer,
        chat: inputs.chat,
        run,
        from_step: request.from_step,
        device,
        first_weights,
    };
    let mut trainer = Trainer::new(parts).await.map_err(|error| damage::with_older(error.into(), request))?;
    let trained = trainer.train(&|| asked.stop.asked(), asked.orders, &mut |event| emit(Event::Train(with_notes(event, &notes)))).await;
    trained.map_err(|error| match error {
        TrainError::Diverged(what) => TrainError::Diverged(format!("{what}. {}", advice::after_divergence(request, trainer.config(), trainer.rate()))).into(),
        error => damage::with_older(error.into(), request),
    })
}

/// Returns true if the last checkpoint of a run is that of its last step, and whole.
fn is_finished(run: &Path, steps: u64) -> Result<bool> {
    let last = checkpoints(run)?.pop().filter(|&last| last >= steps);
    Ok(last.is_some_and(|last| newest_whole(run, last.saturating_add(1)) == Some(last)))
}

/// Adds to what begins why `auto` took its device.
fn with_notes(event: TrainEvent, notes: &[String]) -> TrainEvent {
    match event {
        TrainEvent::Begun { step, steps, summary, teacher, device, memory, tokens, lr, sample_prompt, matrices } => {
            let summary = [&[summary], notes].concat().join("; ");
            TrainEvent::Begun { step, steps, summary, teacher, device, memory, tokens, lr, sample_prompt, matrices }
        }
        other => other,
    }
}

fn open_run(request: &TrainRequest) -> Result<(RunDir, TrainConfig)> {
    let (run, then) = RunDir::open(&request.run)?;
    if let Some(now) = &request.config {
        check_same(&request.run, &then, &corpus::named(now.clone())?)?;
    }
    Ok((run, then))
}

/// What a run reads, opened and found to fit together.
pub(super) struct Inputs {
    pub(super) teacher: Option<ModelFile>,
    tokenizer: Tokenizer,
    /// That of the tokenizer.
    chat: ChatFormat,
    shapes: Shapes,
    pub(super) corpus: Corpus,
    cache: Option<TeacherCache>,
}

impl Inputs {
    /// Opens them; `saved` is the last checkpoint of a run that is resumed, which keeps its model's shape, and its
    /// tokenizer, so that its text stays the same.
    pub(super) fn open(config: &TrainConfig, saved: Option<&Path>, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Self> {
        let (teacher, own) = match (open_teacher(&config.teacher), saved) {
            // Its distributions are in the cache, and its tokenizer is in the checkpoint.
            (Err(error), Some(saved)) if config.teacher_cache.is_some() && !config.eval_teacher => {
                emit(Event::Note { text: format!("{error:#}. The run resumes from the cache, without its teacher") });
                (None, kept_tokenizer(saved)?)
            }
            (opened, _) => (opened?, None),
        };
        let (mut tokenizer, chat) = match (own, saved) {
            (Some(own), _) => own,
            (None, None) => tokenizer(config, teacher.as_ref())?,
            (None, Some(saved)) => tokenizer(config, teacher.as_ref()).or_else(|error| match kept_tokenizer(saved) {
                Ok(Some(kept)) => {
                    emit(Event::Note { text: format!("{error:#}. The run keeps the tokenizer of its checkpoint") });
                    Ok(kept)
                }
                _ => Err(error),
            })?,
        };
        if let Some(own) = saved.map(checkpoint_tokenizer).transpose()?.flatten()
            && !own.same_text(&tokenizer)?
        {
            if !own.same_ids(&tokenizer) || own.end() != tokenizer.end() {
                let text = "the tokenizer's files have other tokens than when the run began; the run keeps the tokenizer of its checkpoint";
                emit(Event::Note { text: text.into() });
            }
            tokenizer = own.within(teacher.as_ref().map_or(usize::MAX, |file| file.config.vocab_size));
        }
        // Until a named tokenizer brought its chat template, its runs were without one, and so are their checkpoints.
        let named = config.tokenizer.path().is_some();
        let chat = if named && saved.is_some_and(|saved| !platform::is_file(&saved.join("tokenizer_config.json"))) { ChatFormat::default() } else { chat };
        check_vocabulary(&tokenizer, teacher.as_ref().map(|file| &file.config))?;
        let own = saved.map(checkpoint_shape).transpose()?;
        if let Some(own) = &own
            && named_shape(&config.model, own.vocab_size).is_ok_and(|named| named != *own)
        {
            let text = format!("{} describes another model than when the run began; the run keeps that of its checkpoint", config.model);
            emit(Event::Note { text });
        }
        let taught = teacher.as_ref().map(|file| teacher_shape(config, file.config.clone(), file.linears));
        let shapes = shapes(config, own, taught, &tokenizer)?;
        let corpus = corpus::open(config, &tokenizer, &chat, stop, emit)?;
        let cache = match &config.teacher_cache {
            Some(dir) => {
                let origin = origin(config, teacher.as_ref(), shapes.student.vocab_size, &corpus)?;
                Some(TeacherCache::open(dir, &origin).map_err(|error| setting("teacher_cache", error))?)
            }
            None => None,
        };
        Ok(Self { teacher, tokenizer, chat, shapes, corpus, cache })
    }

    /// Plans the run's memory; reserves it if it fits, and puts the teacher there.
    fn setup(&self, machine: &mut Machine, config: &TrainConfig, memory: Option<u64>, emit: &mut dyn FnMut(Event)) -> Result<Setup> {
        let planned = Planned::new(config, &self.shapes, Room::of(machine, memory))?;
        emit(Event::Note { text: planned.line() });
        plan::refuse(&planned, config, &self.shapes)?;
        let setup = Setup::new(machine, config, &self.shapes, planned.recompute).map_err(|error| match plan::out_of_memory(&error) {
            true => anyhow::Error::from(error).context(format!("{}. To take less, {}", planned.line(), planned.advice(config, &self.shapes))),
            false => error.into(),
        })?;
        if let (Some(file), Some(teacher)) = (&self.teacher, &setup.step.teacher) {
            file.fill(machine, teacher)?;
        }
        Ok(setup)
    }
}

/// A teacher of this shape, stored as the settings say.
fn teacher_shape(settings: &TrainConfig, config: LlamaConfig, linears: Linears) -> TeacherShape {
    TeacherShape { config, linears, purpose: Purpose::Inference(settings.teacher_storage.storage()) }
}

/// The shapes of a run, whose student has the shape `own` if it was saved before.
fn shapes(config: &TrainConfig, own: Option<LlamaConfig>, teacher: Option<TeacherShape>, tokenizer: &Tokenizer) -> Result<Shapes> {
    let cached = config.teacher_cache.as_deref().map(TeacherCache::kept).transpose().map_err(|error| setting("teacher_cache", error))?;
    let vocabulary = teacher.as_ref().map(|teacher| teacher.config.vocab_size).or(cached.map(|(vocabulary, _)| vocabulary));
    let student = student_shape(config, own, vocabulary.unwrap_or(tokenizer.vocabulary()))?;
    // A run that learns from a cache has its teacher on the machine only to be measured against.
    let teacher = teacher.filter(|_| cached.is_none() || config.eval_teacher);
    let prompt = if config.sample_every == 0 { Vec::new() } else { tokenizer.encode(&config.sample_prompt)? };
    let (needed, context) = (prompt.len() + config.sample_tokens + 1, student.max_position_embeddings);
    if !prompt.is_empty() && needed > context {
        let problem = anyhow!("the prompt and {} tokens more take a context of {needed}, but the model's is {context}", config.sample_tokens);
        return Err(setting("sample_tokens", problem));
    }
    Ok(Shapes { student, teacher, top: cached.map(|(_, top)| top), prompt })
}

/// What a cache for this run is made from.
pub(super) fn origin(config: &TrainConfig, teacher: Option<&ModelFile>, vocabulary: usize, corpus: &Corpus) -> Result<Origin> {
    // A large teacher's file takes a while to read: only where there is a cache to know it again.
    let teacher = teacher.filter(|_| config.teacher_cache.is_some()).map(ModelFile::checksum).transpose()?;
    Ok(Origin { teacher, vocabulary, seq: config.seq, temperature: config.temperature, top: None, text: Origin::text(corpus)? })
}

/// The tokenizer of a run with its way of writing conversations: the one that is named, else the teacher's own, else the
/// embedded one.
pub(super) fn tokenizer(config: &TrainConfig, teacher: Option<&ModelFile>) -> Result<(Tokenizer, ChatFormat)> {
    let own = teacher.and_then(|file| Some((file.tokenizer.clone()?, file.chat.clone())));
    match (&config.tokenizer, own) {
        (Source::Path(path), _) => {
            let (tokenizer, chat) = open_tokenizer(path).map_err(|error| setting("tokenizer", error))?;
            // As those of a model directory, its added tokens may lie beyond the teacher's embedding.
            Ok((tokenizer.within(teacher.map_or(usize::MAX, |file| file.config.vocab_size)), chat))
        }
        (_, Some(own)) => Ok(own),
        (_, None) => Ok((Tokenizer::from_json(assets::tokenizer()?)?, ChatFormat::default())),
    }
}

/// The tokenizer that a checkpoint keeps, if it does, with its way of writing conversations.
fn kept_tokenizer(saved: &Path) -> Result<Option<(Tokenizer, ChatFormat)>> {
    let ModelFile { tokenizer, chat, .. } = ModelFile::open(saved)?;
    Ok(tokenizer.zip(Some(chat)))
}

pub(super) fn open_teacher(source: &Source) -> Result<Option<ModelFile>> {
    match source {
        Source::None => Ok(None),
        Source::Embedded => Ok(Some(ModelFile::embedded_teacher()?)),
        Source::Path(path) => Ok(Some(super::model::open(&path.display().to_string()).map_err(|error| setting("teacher", error))?)),
    }
}

/// Refuses a tokenizer that gives ids which the teacher does not know, but for those of added tokens. The teacher's own
/// refuses texts with such an id itself.
fn check_vocabulary(tokenizer: &Tokenizer, teacher: Option<&LlamaConfig>) -> Result<()> {
    match (tokenizer.plain_ids().min(tokenizer.vocabulary()), teacher.map_or(usize::MAX, |teacher| teacher.vocab_size)) {
        (ids, known) if ids > known => {
            Err(setting("tokenizer", anyhow!("it has {ids} tokens, but the teacher knows only {known}. Use the teacher's own tokenizer")))
        }
        _ => Ok(()),
    }
}

/// An error of the setting by which it came about.
fn setting(name: &'static str, error: impl Into<anyhow::Error>) -> anyhow::Error {
    SettingError { name, problem: format!("{:#}", error.into()) }.into()
}

/// The shapes of a run, from what is known of its files; `teacher` may name the shape of one that need
/// not exist. A run that was saved before keeps the shape and the tokenizer of its checkpoint `saved`. With them, the
/// tokenizer.
pub(super) fn known_shapes(config: &TrainConfig, saved: Option<&Path>, teacher: Option<&str>, known: &mut Known) -> Result<(Shapes, Arc<Tokenizer>)> {
    let (taught, own) = match teacher {
        Some(name) => {
            let shape = match LlamaConfig::teacher(name) {
                Some(shape) => shape,
                None => super::model::config(Path::new(name))
                    .with_context(|| format!("--teacher-shape {name}: neither a known shape ({}) nor a config.json that can be read", TEACHERS.join(", ")))?,
            };
            (Some((shape, Linears::Dense)), None)
        }
        None => match known.teacher(&config.teacher) {
            // The distributions of one that is gone are in the cache.
            Err(_) if saved.is_some() && config.teacher_cache.is_some() && !config.eval_teacher => (None, None),
            found => found?.map_or((None, None), |found| (Some((found.config, found.linears)), found.tokenizer)),
        },
    };
    let known_ids = taught.as_ref().map_or(usize::MAX, |(shape, _)| shape.vocab_size);
    let kept = saved.map(checkpoint_tokenizer).transpose()?.flatten();
    let tokenizer = match (kept, &config.tokenizer, own) {
        (Some(kept), ..) => Arc::new(kept.within(known_ids)),
        (None, Source::Path(_), _) | (None, _, None) => known.tokenizer(&config.tokenizer).map_err(|error| setting("tokenizer", error))?,
        (None, _, Some(own)) => own,
    };
    if teacher.is_none() {
        check_vocabulary(&tokenizer, taught.as_ref().map(|(shape, _)| shape))?;
    }
    let taught = taught.map(|(shape, linears)| teacher_shape(config, shape, linears));
    let shapes = shapes(config, saved.map(checkpoint_shape).transpose()?, taught, &tokenizer)?;
    Ok((shapes, tokenizer))
}

/// The shape that a preset or a `config.json` has; `vocabulary` is that of a preset.
fn named_shape(model: &str, vocabulary: usize) -> Result<LlamaConfig> {
    if PRESETS.contains(&model) {
        return Ok(LlamaConfig::preset(model, vocabulary)?);
    }
    let missing = || format!("neither a preset ({}) nor a config.json that can be read", PRESETS.join(", "));
    super::model::config(Path::new(model)).with_context(missing).map_err(|error| setting("model", error))
}

/// The student's shape: its `own` if it was saved before, else that of the settings. `vocabulary` is the teacher's.
fn student_shape(config: &TrainConfig, own: Option<LlamaConfig>, vocabulary: usize) -> Result<LlamaConfig> {
    let shape = match own {
        Some(own) => own,
        None => named_shape(&config.model, vocabulary)?,
    };
    shape.check().map_err(|error| setting("model", error))?;
    if shape.vocab_size != vocabulary {
        let problem = anyhow!("it has a vocabulary of {}, but the teacher or tokenizer has {vocabulary}; they must be the same", shape.vocab_size);
        return Err(setting("model", problem));
    }
    if config.seq > shape.max_position_embeddings {
        let problem = anyhow!("{} is more than the model's context of {}; choose a shorter one", config.seq, shape.max_position_embeddings);
        return Err(setting("seq", problem));
    }
    Ok(shape)
}

/// Fills a student with its first weights. A run that is resumed opens the model they come from only if
/// it goes back to its beginning: the model may have moved.
fn first_weights(config: &TrainConfig, teacher: Option<ModelFile>, resumed: bool) -> Result<FirstWeights> {
    let seed = config.seed;
    let mut file = match &config.init {
        Init::Scratch => {
            return Ok(Box::new(move |machine, step| {
                init_from_dense(machine, &step.student, &mut init_dense(&step.student.config, seed)).map_err(ModelError::from)?;
                Ok(())
            }));
        }
        Init::Teacher if teacher.is_some() => teacher,
        Init::Teacher | Init::Model(_) if resumed => None,
        Init::Teacher => return Err(anyhow!("init = teacher needs a teacher")),
        Init::Model(path) => Some(open_init(path).map_err(|problem| setting("init", anyhow!(problem)))?),
    };
    let path = config.init.path().or(config.teacher.path()).cloned().unwrap_or_default();
    Ok(Box::new(move |machine, step| {
        if file.is_none() {
            file = Some(open_init(&path).map_err(|problem| TrainError::FirstWeights { path: path.clone(), problem })?);
        }
        let file = file.as_ref().expect("opened above");
        if file.linears == step.student.linears {
            return Ok(file.fill(machine, &step.student)?);
        }
        Ok(file.start(machine, &step.student)?)
    }))
}

fn open_init(path: &Path) -> Result<ModelFile, String> {
    super::model::open(&path.display().to_string()).map_err(|error| format!("{error:#}"))
}
