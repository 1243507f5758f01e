//! Opens models by name or path, and loads them for inference.

use super::kind::is_run;
use super::{Event, Tuning, hub_models, tuning};
use crate::data::Tokenizer;
use crate::formats::json_file;
use crate::graph::Machine;
use crate::infer::{Engine, Generator};
use crate::model::{ModelConfig, ModelFile, Purpose, Weights};
use crate::platform::{self, Hub};
use crate::train;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Default limit of the context length, in tokens.
const CONTEXT: usize = 4096;

/// Opens a model: `embedded`, a packed or GGUF file, a model directory, a run's directory (its last checkpoint), or the name
/// of a cached Hugging Face model.
pub(super) fn open(name: &str) -> Result<ModelFile> {
    if name == "embedded" {
        return Ok(ModelFile::embedded_student()?);
    }
    let path = Path::new(name);
    if is_run(path) {
        let step = train::checkpoints(path)?.last().copied().with_context(|| format!("cannot open {name}: the run has no checkpoint yet"))?;
        return Ok(ModelFile::open(&train::checkpoint(path, step))?);
    }
    if platform::exists(path) {
        return Ok(ModelFile::open(path)?);
    }
    match hub_models::is_repo_name(name).then(|| hub_models::cached(&Hub::default(), name)).flatten() {
        Some(kept) => Ok(ModelFile::open(&kept)?),
        None => Err(hub_models::not_found(name)),
    }
}

/// Reads a `config.json`.
pub(super) fn config(path: &Path) -> Result<ModelConfig> {
    let text = json_file(path, platform::SETTINGS_LIMIT)?.with_context(|| format!("cannot open {}: no such file", path.display()))?;
    ModelConfig::from_json(&text).with_context(|| path.display().to_string())
}

/// Returns the context length to allocate; an error if the model does not support the requested one.
pub(super) fn context(config: &ModelConfig, requested: Option<usize>) -> Result<usize> {
    let max_context = config.max_position_embeddings;
    let context = requested.unwrap_or(max_context.min(CONTEXT));
    if context < 2 || context > max_context {
        bail!("context must be between 2 and the model's {max_context} tokens, not {context}");
    }
    Ok(context)
}

/// Returns the tokenizer of a model; an error if it has none.
pub(super) fn tokenizer(file: &ModelFile) -> Result<Tokenizer> {
    let missing = || {
        let path = file.path().display();
        format!("{path}: no tokenizer found. Put tokenizer.json beside it; for a packed file, put it beside the source model and pack that again")
    };
    file.tokenizer.clone().with_context(missing)
}

/// A model loaded for generation.
pub(super) struct LoadedModel {
    pub(super) generator: Generator,
    pub(super) weights: Weights,
}

/// Loads models for inference on one machine, each with a context of `context` tokens. `scores` also allocates what comparing
/// them on texts needs.
pub(super) async fn load(
    files: &[&ModelFile], device: &str, context: usize, scores: bool, tuning: Tuning, emit: &mut dyn FnMut(Event),
) -> Result<(Machine, Vec<LoadedModel>)> {
    let (mut machine, device) = super::devices::machine(device, emit).await?;
    let engine = |machine: &mut Machine, weights: &Weights| {
        let engine = Engine::new(machine, weights, context)?;
        if scores { engine.with_scores(machine, weights) } else { Ok(engine) }
    };
    let set_up = |machine: &mut Machine| {
        for file in files {
            let weights = Weights::allocate(machine, &file.config, file.linears, Purpose::Inference(file.storage()))?;
            engine(machine, &weights)?;
        }
        Ok(())
    };
    tuning::tune(&mut machine, tuning, false, set_up, emit).await?;
    let mut models = Vec::new();
    for file in files {
        if file.padding() > 0 {
            let (path, rows) = (file.path().display(), file.config.vocab_size);
            emit(Event::Note { text: format!("{path}: {} of the {rows} rows of its embedding are padding: its tokenizer has no id for them", file.padding()) });
        }
        let before = machine.bytes();
        let weights = file.load(&mut machine, Purpose::Inference(file.storage()))?;
        let generator = Generator::new(engine(&mut machine, &weights)?);
        models.push(LoadedModel { generator, weights });
        emit(Event::Loaded { model: file.path().display().to_string(), device: device.clone(), context, memory: machine.bytes() - before });
    }
    Ok((machine, models))
}
