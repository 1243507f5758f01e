//! Measuring a model.

use super::{Event, Stop, corpus, devices, model};
use crate::eval::perplexity;
use crate::model::{MatrixStorage, Purpose};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A text to measure a model on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerplexityRequest {
    /// `embedded`, a packed or GGUF file, a model directory, or a run's directory.
    pub model: String,
    /// Where it is computed.
    pub device: String,
    /// A file of text, plain or JSON lines, or a pattern of several.
    pub text: PathBuf,
    /// How its matrices are kept on the device; without loss if absent.
    pub storage: Option<MatrixStorage>,
    /// Tokens in a window; 2,048 if absent, or the model's context if that is shorter.
    pub window: Option<usize>,
}

/// FBI-LLM's window.
const WINDOW: usize = 2048;

pub(super) async fn measure(request: PerplexityRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let file = model::open(&request.model)?;
    let tokenizer = model::tokenizer(&file)?;
    let tokens = corpus::measured(&request.text, &tokenizer, &file.chat, stop, emit)?;
    let window = request.window.unwrap_or(WINDOW.min(file.config.max_position_embeddings));
    let (mut machine, device) = devices::machine(&request.device).await?;
    let weights = file.load(&mut machine, Purpose::Inference(request.storage.map_or(file.storage(), MatrixStorage::storage)))?;
    emit(Event::Loaded { model: file.path().display().to_string(), device, context: window, memory: machine.bytes() });
    let mut progress = |done, of, so_far: f64| emit(Event::Progress { done, of, note: format!("perplexity {so_far:.3}") });
    let report = perplexity(&mut machine, &weights, &tokens, window, &|| stop.asked(), &mut progress).await?;
    emit(Event::Perplexity(report));
    Ok(())
}
