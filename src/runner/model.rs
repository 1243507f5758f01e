//! Opening a model by the name a person gives it, and getting it ready to speak.

use super::{Event, Tuning, tuning};
use crate::data::Tokenizer;
use crate::graph::Machine;
use crate::infer::{Engine, Generator};
use crate::model::{ChatFormat, LlamaConfig, ModelFile, Purpose, Weights};
use crate::platform;
use crate::train;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Longest context that is reserved unless more is asked for.
const CONTEXT: usize = 4096;

/// `embedded`, a packed file, a model directory, or a run's directory: then its last checkpoint.
pub(super) fn open(name: &str) -> Result<ModelFile> {
    if name == "embedded" {
        return Ok(ModelFile::embedded_student()?);
    }
    let path = Path::new(name);
    if platform::is_file(&path.join("run.toml")) {
        let step = train::checkpoints(path)?.last().copied().with_context(|| format!("{name}: this run has no checkpoint yet"))?;
        return Ok(ModelFile::open(&train::checkpoint(path, step))?);
    }
    if !platform::exists(path) {
        bail!("{name}: there is no such file or directory, and no model of that name (only `embedded`)");
    }
    Ok(ModelFile::open(path)?)
}

/// The shape in a `config.json`.
pub(super) fn config(path: &Path) -> Result<LlamaConfig> {
    let text = platform::read(path).with_context(|| path.display().to_string())?;
    let config: LlamaConfig = serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))?;
    config.check()?;
    Ok(config)
}

/// The context that is reserved: what was asked for, if the model has it.
pub(super) fn context(config: &LlamaConfig, asked: Option<usize>) -> Result<usize> {
    let longest = config.max_position_embeddings;
    let context = asked.unwrap_or(longest.min(CONTEXT));
    if context < 2 || context > longest {
        bail!("a context of {context} tokens is not between 2 and the model's {longest}");
    }
    Ok(context)
}

/// The tokenizer that came with a model.
pub(super) fn tokenizer(file: &ModelFile) -> Result<Tokenizer> {
    let missing = || format!("{}: came without a tokenizer; put its tokenizer.json beside it", file.path().display());
    file.tokenizer.clone().with_context(missing)
}

/// A model on a machine, ready to speak.
pub(super) struct Speaker {
    pub(super) machine: Machine,
    pub(super) tokenizer: Tokenizer,
    pub(super) generator: Generator,
    pub(super) chat: ChatFormat,
}

/// Loads a model for inference, with room for `context` tokens.
pub(super) async fn speaker(model: &str, device: &str, context: Option<usize>, tuning: Tuning, emit: &mut dyn FnMut(Event)) -> Result<Speaker> {
    let file = open(model)?;
    let tokenizer = tokenizer(&file)?;
    let context = self::context(&file.config, context)?;
    let (mut machine, device) = super::devices::machine(device).await?;
    let set_up = |machine: &mut Machine| {
        let weights = Weights::allocate(machine, &file.config, file.linears, Purpose::Inference(file.storage()))?;
        Ok(Engine::new(machine, &weights, context).map(drop)?)
    };
    tuning::tune(&mut machine, tuning, false, set_up, emit).await?;
    let weights = file.load(&mut machine, Purpose::Inference(file.storage()))?;
    let generator = Generator::new(Engine::new(&mut machine, &weights, context)?);
    emit(Event::Loaded { model: file.path().display().to_string(), device, context, memory: machine.bytes() });
    Ok(Speaker { machine, tokenizer, generator, chat: file.chat })
}
