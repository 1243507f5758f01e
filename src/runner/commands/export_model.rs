//! Exports a model for other programs.

use crate::model::{export_dense, export_gguf, export_latent};
use crate::runner::protocol::{ExportModelRequest, ModelExport};
use crate::runner::{Event, Stop, model_loader};
use anyhow::Result;

pub(super) fn export(request: &ExportModelRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let ExportModelRequest { model, out, form } = request;
    let source = model_loader::open(model)?;
    let mut progress = |done: usize, of: usize| {
        emit(Event::Progress { done, of, note: format!("{done} of {of} tensors") });
        !stop.is_requested()
    };
    let bytes = match *form {
        ModelExport::Dense { floats } => export_dense(&source, out, floats, &mut progress)?,
        ModelExport::Latent => export_latent(&source, out, &mut progress)?,
        ModelExport::Gguf => export_gguf(&source, out, &mut progress)?,
    };
    emit(Event::ModelExported { out: out.clone(), bytes });
    Ok(())
}
