//! Chat: messages, the model's template, and truncation to the context.

use super::chat_template::{ChatTemplate, Message, TemplateError};
use super::generate::{GenerateError, GenerateReport, Generator, Request, Stopped};
use crate::data::{Tokenizer, TokenizerError, USER};
use crate::graph::Machine;

/// An error of a chat.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// From the template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// From generation.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// From the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// A reply of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatReply {
    /// The text.
    pub text: String,
    /// Number of old messages that were dropped to make room.
    pub dropped: usize,
    /// The tokens of the prompt.
    pub prompt: Vec<u32>,
    /// Index in the prompt at which the last turn begins.
    pub turn: usize,
    /// The tokens of the reply.
    pub ids: Vec<u32>,
    /// Statistics of the generation.
    pub report: GenerateReport,
}

/// Fraction of the context to which a conversation that does not fit is truncated. The next turns then share a prefix in
/// the cache.
const TRUNCATED_SHARE: f64 = 0.5;

/// A conversation with a model.
#[derive(Debug)]
pub struct Chat {
    template: ChatTemplate,
    request: Request,
    messages: Vec<Message>,
    /// Number of initial system messages, which are never dropped.
    pinned: usize,
}

impl Chat {
    /// Starts an empty conversation.
    pub fn new(template: ChatTemplate, request: Request) -> Self {
        Self { template, request, messages: Vec::new(), pinned: 0 }
    }

    /// The messages so far. For tests; front ends keep their own.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Replaces the messages and the generation settings. Initial system messages are never dropped. If the settings are
    /// invalid or the template rejects the messages, nothing changes.
    pub fn set(&mut self, messages: Vec<Message>, request: Request) -> Result<(), ChatError> {
        request.sampling.check().map_err(GenerateError::Setting)?;
        self.template.render(&[&messages[..], &[Message::new("user", "")]].concat(), true)?;
        self.pinned = messages.iter().take_while(|message| message.role() == "system").count();
        (self.messages, self.request) = (messages, request);
        Ok(())
    }

    /// Removes all but the initial system messages.
    pub fn reset(&mut self) {
        self.messages.truncate(self.pinned);
    }

    /// Tokens that end a reply: the model's end tokens, and with the default template the start of the next turn.
    fn stop_tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let next = if self.template.is_default() { tokenizer.id(USER) } else { None };
        tokenizer.ends().into_iter().chain(next).collect()
    }

    /// The generation settings with the tokens that end a reply.
    pub fn request(&self, tokenizer: &Tokenizer) -> Request {
        Request { stop_tokens: [&self.request.stop_tokens[..], &self.stop_tokens(tokenizer)].concat(), ..self.request.clone() }
    }

    /// Adds a message of the user and generates a reply, which is streamed to `emit`. If it is stopped half-way, the partial
    /// reply stays; after an error, the conversation is unchanged.
    pub async fn send(
        &mut self, machine: &mut Machine, generator: &mut Generator, tokenizer: &Tokenizer, text: &str, stop_requested: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(&str),
    ) -> Result<ChatReply, ChatError> {
        let mut messages = self.messages.clone();
        messages.push(Message::new("user", text));
        // Reserve room for the reply, whose length is not known.
        let room = self.request.max_tokens.min(generator.capacity() / 4).max(1);
        let (prompt, dropped) = self.truncate(&mut messages, tokenizer, generator.capacity().saturating_sub(room))?;
        let turn = self.last_turn(&messages, &prompt, tokenizer);
        let generated = generator.generate(machine, tokenizer, &prompt, &self.request(tokenizer), stop_requested, emit).await?;
        let mut reply = ChatReply { text: generated.text, dropped, prompt, turn, ids: generated.ids, report: generated.report };
        if reply.text.is_empty() && reply.report.stopped == Stopped::Requested {
            // Stopped before any text: the conversation is unchanged.
            reply.dropped = 0;
            return Ok(reply);
        }
        messages.push(Message::new("assistant", &reply.text));
        self.messages = messages;
        Ok(reply)
    }

    /// Index in the prompt after the common prefix with the conversation without the last message; 0 if the template raises
    /// an error without a message of the user.
    fn last_turn(&self, messages: &[Message], prompt: &[u32], tokenizer: &Tokenizer) -> usize {
        let before = self.template.render(&messages[..messages.len() - 1], false).unwrap_or_default();
        let before = tokenizer.encode(&before).unwrap_or_default();
        before.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }

    /// Encodes a conversation; if it has more than `max_tokens` tokens, drops the oldest turns. Returns the tokens and the number
    /// of dropped messages.
    fn truncate(&self, messages: &mut Vec<Message>, tokenizer: &Tokenizer, max_tokens: usize) -> Result<(Vec<u32>, usize), ChatError> {
        let encode = |messages: &[Message]| -> Result<Vec<u32>, ChatError> { Ok(tokenizer.encode(&self.template.render(messages, true)?)?) };
        let mut prompt = encode(messages)?;
        if prompt.len() <= max_tokens {
            return Ok((prompt, 0));
        }
        let before = messages.len();
        let target = (max_tokens as f64 * TRUNCATED_SHARE) as usize;
        while prompt.len() > target && drop_oldest(messages, self.pinned) {
            prompt = encode(messages)?;
        }
        if prompt.len() > max_tokens {
            return Err(GenerateError::PromptTooLong { tokens: prompt.len(), capacity: max_tokens }.into());
        }
        Ok((prompt, before - messages.len()))
    }
}

/// Drops the oldest turn: a message of the user and all up to the next one. Never drops the last turn.
fn drop_oldest(messages: &mut Vec<Message>, pinned: usize) -> bool {
    let next = (pinned + 1..messages.len()).find(|&n| messages[n].role() == "user");
    match next {
        Some(next) => {
            messages.drain(pinned..next);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_turns_are_dropped_except_the_last() {
        let mut messages: Vec<Message> = ["system", "user", "assistant", "user", "assistant", "user"].iter().map(|role| Message::new(role, "x")).collect();
        assert!(drop_oldest(&mut messages, 1));
        assert!(drop_oldest(&mut messages, 1));
        assert_eq!(messages.iter().map(Message::role).collect::<Vec<_>>(), ["system", "user"]);
        assert!(!drop_oldest(&mut messages, 1));
    }
}
