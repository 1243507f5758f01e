//! Packing a student, and training a tokenizer: files in, a file out.

use super::protocol::TokenizerRequest;
use super::{Event, corpus, model};
use crate::data;
use crate::formats::FormatError;
use crate::platform;
use anyhow::Result;
use std::path::Path;

pub(super) fn pack(source: &str, out: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let file = model::open(source)?;
    emit(Event::Packed(crate::model::pack(&file, out)?));
    Ok(())
}

pub(super) fn train_tokenizer(request: &TokenizerRequest, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let text = corpus::plain(&request.texts)?;
    let tokenizer = data::train(&[&text], request.vocabulary)?;
    let json = tokenizer.to_json()?;
    platform::write_atomic(&request.out, json.as_bytes()).map_err(|error| FormatError::new(&request.out, format!("cannot be written: {error}")))?;
    let tokens = tokenizer.encode(&text)?.len();
    emit(Event::TokenizerTrained { vocabulary: tokenizer.vocabulary(), bytes: text.len(), tokens });
    Ok(())
}
