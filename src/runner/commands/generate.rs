//! Text generation.

use crate::data::Tokenizer;
use crate::infer::Request;
use crate::runner::protocol::GenerateRequest;
use crate::runner::{Event, Stop, Tuning, model_loader};
use anyhow::Result;

pub(super) async fn generate(request: GenerateRequest, tuning: Tuning, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let file = model_loader::open(&request.model)?;
    let tokenizer = model_loader::tokenizer(&file)?;
    let context = model_loader::context(&file.config, request.context)?;
    let mut prompt = tokenizer.encode_document(&request.prompt)?;
    if prompt.is_empty() {
        // An empty prompt starts with the end token, as the start of a document does in training.
        prompt.extend(tokenizer.end());
    }
    let mut settings = stop_tokens(request.request, &tokenizer);
    settings.stop_tokens.extend(tokenizer.ends());
    let (mut machine, mut models) = model_loader::load(&[&file], &request.device, context, false, tuning, emit).await?;
    let stop = || stop.is_requested();
    let mut text = |piece: &str| emit(Event::Text { text: piece.into() });
    let generated = models[0].generator.generate(&mut machine, &tokenizer, &prompt, &settings, &stop, &mut text).await?;
    emit(Event::Generated(generated.report));
    Ok(())
}

/// Adds the ids of stop strings that are single tokens, since special tokens do not appear in the decoded text.
pub(super) fn stop_tokens(mut request: Request, tokenizer: &Tokenizer) -> Request {
    let ids: Vec<u32> = request.stop_strings.iter().filter_map(|text| tokenizer.id(text)).collect();
    request.stop_tokens.extend(ids);
    request
}
