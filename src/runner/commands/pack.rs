//! Writes a model as a packed file.

use crate::runner::{Event, model_loader};
use anyhow::Result;
use std::path::Path;

pub(super) fn pack(source: &str, out: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let file = model_loader::open(source)?;
    emit(Event::Packed(crate::model::pack(&file, out)?));
    Ok(())
}
