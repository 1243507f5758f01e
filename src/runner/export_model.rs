//! A model as other programs read it.

use super::{Event, Stop, model};
use crate::model::{Floats, export_dense, export_gguf, export_latent};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What other programs are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum ModelExport {
    /// A Hugging Face directory of a plain LLaMA, with floats stored so.
    Dense {
        /// How.
        floats: Floats,
    },
    /// A Hugging Face directory of latent weights, α and β, in f32.
    Latent,
    /// A GGUF file of a plain LLaMA, matrices in f16.
    Gguf,
}

/// A model to be written for other programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportModelRequest {
    /// `embedded`, a packed file, a model directory, or a run's directory.
    pub model: String,
    /// Where it is written: a directory or a file that is not there yet.
    pub out: PathBuf,
    /// As what.
    pub form: ModelExport,
}

pub(super) fn export(request: &ExportModelRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let ExportModelRequest { model, out, form } = request;
    let source = model::open(model)?;
    let mut progress = |done: usize, of: usize| {
        emit(Event::Progress { done, of, note: format!("{done} of {of} tensors") });
        !stop.asked()
    };
    let bytes = match *form {
        ModelExport::Dense { floats } => export_dense(&source, out, floats, &mut progress)?,
        ModelExport::Latent => export_latent(&source, out, &mut progress)?,
        ModelExport::Gguf => export_gguf(&source, out, &mut progress)?,
    };
    emit(Event::ModelExported { out: out.clone(), bytes });
    Ok(())
}
