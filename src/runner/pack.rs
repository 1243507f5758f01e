//! Packing a student, and training a tokenizer: files in, a file out.

use super::{Event, corpus, model};
use crate::data;
use crate::formats::FormatError;
use crate::platform;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A tokenizer to train.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerRequest {
    /// Files of text, plain or JSON lines, or patterns of them.
    pub texts: Vec<PathBuf>,
    /// Tokens it is to have.
    pub vocabulary: usize,
    /// Where its `tokenizer.json` goes.
    pub out: PathBuf,
}

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
