//! Trains a tokenizer on text files.

use crate::data;
use crate::formats::FormatError;
use crate::platform;
use crate::runner::protocol::TokenizerRequest;
use crate::runner::{Event, text_reader};
use anyhow::Result;

pub(super) fn train(request: &TokenizerRequest, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let text = text_reader::plain(&request.texts)?;
    let tokenizer = data::train_tokenizer(&[&text], request.vocabulary)?;
    let json = tokenizer.to_json()?;
    platform::write_atomic(&request.out, json.as_bytes()).map_err(|error| FormatError::new(&request.out, format!("cannot be written: {error}")))?;
    let tokens = tokenizer.encode(&text)?.len();
    emit(Event::TokenizerTrained { vocabulary: tokenizer.vocabulary(), bytes: text.len(), tokens });
    Ok(())
}
