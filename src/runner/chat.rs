//! Conversations: the runner holds one, with its model.

use super::model::{self, Speaker};
use super::{Event, Stop, Tuning};
use crate::infer::{Chat, Request, Template};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// A conversation to begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// `embedded`, a packed file, a model directory, or a run's directory.
    pub model: String,
    /// Where it is computed.
    pub device: String,
    /// Tokens the conversation may have before its oldest turns are dropped; the model's context if
    /// absent, 4,096 at most.
    pub context: Option<usize>,
    /// What the system says first, if the model's template knows it.
    pub system: Option<String>,
    /// How replies are made.
    pub request: Request,
}

/// A conversation and its model.
pub(super) struct Session {
    speaker: Speaker,
    chat: Chat,
}

impl Session {
    pub(super) async fn open(request: ChatRequest, tuning: Tuning, emit: &mut dyn FnMut(Event)) -> Result<Self> {
        let speaker = model::speaker(&request.model, &request.device, request.context, tuning, emit).await?;
        let replies = super::generate::stop_tokens(request.request, &speaker.tokenizer);
        let chat = Chat::new(Template::new(&speaker.chat)?, replies, request.system.as_deref());
        Ok(Self { speaker, chat })
    }

    pub(super) async fn say(&mut self, text: &str, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
        if text.trim().is_empty() {
            bail!("there is nothing to reply to");
        }
        let Speaker { machine, tokenizer, generator, .. } = &mut self.speaker;
        let mut piece = |text: &str| emit(Event::Text { text: text.into() });
        let reply = self.chat.say(machine, generator, tokenizer, text, &|| stop.asked(), &mut piece).await?;
        if reply.dropped > 0 {
            emit(Event::Note { text: format!("the conversation outgrew the context: its oldest {} messages were forgotten", reply.dropped) });
        }
        emit(Event::Generated(reply.report));
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.chat.reset();
    }
}
