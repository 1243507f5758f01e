//! A conversation: messages, the model's template for them, and a context that never runs over.

use super::generate::{GenerateError, GenerateReport, Generator, Request, Stopped};
use super::template::{Message, Template, TemplateError};
use crate::data::{Tokenizer, TokenizerError, USER};
use crate::graph::Machine;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The template's.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The model's.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The tokenizer's.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The reply.
    pub text: String,
    /// Messages that were dropped from the beginning, so that it had room.
    pub dropped: usize,
    /// The tokens it was a reply to.
    pub prompt: Vec<u32>,
    /// Where in the prompt the last turn begins.
    pub turn: usize,
    /// Its own tokens.
    pub ids: Vec<u32>,
    /// How it went.
    pub report: GenerateReport,
}

/// Once a conversation no longer fits, it is cut to this share of the context, so that the next
/// few turns find their beginning in the cache.
const TRUNCATED_SHARE: f64 = 0.5;

/// A conversation with a model.
#[derive(Debug)]
pub struct Chat {
    template: Template,
    request: Request,
    messages: Vec<Message>,
    /// How many of the first messages are never dropped: the system's.
    pinned: usize,
}

impl Chat {
    /// A conversation in which nothing was said.
    pub fn new(template: Template, request: Request) -> Self {
        Self { template, request, messages: Vec::new(), pinned: 0 }
    }

    /// The messages so far. For tests alone: front ends keep their own, of the replies that they were sent.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Puts other messages in the place of what was said, and other settings in the place of those
    /// that replies are made with. What the system says in the first messages is never dropped. If
    /// the settings make no sense, or the template does not know such messages, all is as before.
    pub fn set(&mut self, messages: Vec<Message>, request: Request) -> Result<(), ChatError> {
        request.sampling.check().map_err(GenerateError::Setting)?;
        self.template.render(&[&messages[..], &[Message::new("user", "")]].concat(), true)?;
        self.pinned = messages.iter().take_while(|message| message.role() == "system").count();
        (self.messages, self.request) = (messages, request);
        Ok(())
    }

    /// Forgets all but what the system said.
    pub fn reset(&mut self) {
        self.messages.truncate(self.pinned);
    }

    /// Tokens that end a reply: the model's end tokens, and in the default template the beginning of the next turn.
    fn stop_tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let next = if self.template.is_default() { tokenizer.id(USER) } else { None };
        tokenizer.ends().into_iter().chain(next).collect()
    }

    /// How replies are made, with the tokens that end one.
    pub fn request(&self, tokenizer: &Tokenizer) -> Request {
        Request { stop_tokens: [&self.request.stop_tokens[..], &self.stop_tokens(tokenizer)].concat(), ..self.request.clone() }
    }

    /// Says something as the user; the reply is given to `emit` piece by piece. If it is stopped
    /// half-way, what was said stays; if there is an error, the conversation is as before.
    pub async fn say(
        &mut self, machine: &mut Machine, generator: &mut Generator, tokenizer: &Tokenizer, text: &str, stop_requested: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(&str),
    ) -> Result<Reply, ChatError> {
        let mut messages = self.messages.clone();
        messages.push(Message::new("user", text));
        // A reply needs room; how much of it, nobody knows.
        let room = self.request.max_tokens.min(generator.capacity() / 4).max(1);
        let (prompt, dropped) = self.fit(&mut messages, tokenizer, generator.capacity().saturating_sub(room))?;
        let turn = self.last_turn(&messages, &prompt, tokenizer);
        let generated = generator.generate(machine, tokenizer, &prompt, &self.request(tokenizer), stop_requested, emit).await?;
        let mut reply = Reply { text: generated.text, dropped, prompt, turn, ids: generated.ids, report: generated.report };
        if reply.text.is_empty() && reply.report.stopped == Stopped::Asked {
            // Stopped before the first word: as if nothing had been said.
            reply.dropped = 0;
            return Ok(reply);
        }
        messages.push(Message::new("assistant", &reply.text));
        self.messages = messages;
        Ok(reply)
    }

    /// Where the prompt of a conversation stops being that of what was said before. Some templates
    /// raise without a user's message; then nothing was.
    fn last_turn(&self, messages: &[Message], prompt: &[u32], tokenizer: &Tokenizer) -> usize {
        let before = self.template.render(&messages[..messages.len() - 1], false).unwrap_or_default();
        let before = tokenizer.encode(&before).unwrap_or_default();
        before.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }

    /// The tokens of a conversation, after dropping its oldest turns if it does not fit into
    /// `most`; and how many messages that were.
    fn fit(&self, messages: &mut Vec<Message>, tokenizer: &Tokenizer, most: usize) -> Result<(Vec<u32>, usize), ChatError> {
        let encode = |messages: &[Message]| -> Result<Vec<u32>, ChatError> { Ok(tokenizer.encode(&self.template.render(messages, true)?)?) };
        let mut prompt = encode(messages)?;
        if prompt.len() <= most {
            return Ok((prompt, 0));
        }
        let before = messages.len();
        let goal = (most as f64 * TRUNCATED_SHARE) as usize;
        while prompt.len() > goal && drop_oldest(messages, self.pinned) {
            prompt = encode(messages)?;
        }
        if prompt.len() > most {
            return Err(GenerateError::Long { tokens: prompt.len(), capacity: most }.into());
        }
        Ok((prompt, before - messages.len()))
    }
}

/// Drops the oldest turn: a user's message and all up to the next one. Never the last.
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
    fn whole_turns_are_dropped_and_never_the_last() {
        let mut messages: Vec<Message> = ["system", "user", "assistant", "user", "assistant", "user"].iter().map(|role| Message::new(role, "x")).collect();
        assert!(drop_oldest(&mut messages, 1));
        assert!(drop_oldest(&mut messages, 1));
        assert_eq!(messages.iter().map(Message::role).collect::<Vec<_>>(), ["system", "user"]);
        assert!(!drop_oldest(&mut messages, 1));
    }
}
