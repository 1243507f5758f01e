//! The conversation as HTML elements, one for each message, with its speaker. A growing reply is appended in
//! whole sentences, so that a screen reader reads each once and in one piece. Pure.

use signet::runner::dom::{Change, ElementKey};

/// Key of the element that contains the messages.
pub(super) const LOG: ElementKey = 1;
/// Key of the first message; the others follow in order.
const FIRST: ElementKey = 16;
/// Maximum number of messages; the oldest are dropped.
const MESSAGES: usize = 400;
/// Length in bytes from which an unfinished sentence is appended up to its last word.
const LONG: usize = 160;

/// The author id of accessibility nodes that belong to the conversation and are shown in the log instead.
pub(crate) const CHAT_MESSAGE: &str = "chat-message";

/// A message of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMessage<'a> {
    /// Its speaker.
    pub who: &'a str,
    /// Its text so far.
    pub text: &'a str,
    /// True if the text is complete.
    pub done: bool,
}

/// A message as the page shows it.
#[derive(Debug)]
struct LogEntry {
    who: String,
    shown: String,
}

/// The messages that the page shows.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Number of dropped messages before `lines`.
    gone: usize,
    lines: Vec<LogEntry>,
}

impl Log {
    /// Returns the changes that bring the page up to date.
    pub(super) fn update(&mut self, messages: &[LogMessage]) -> Vec<Change> {
        let mut changes = Vec::new();
        let first = messages.len().saturating_sub(MESSAGES);
        while !self.lines.is_empty() && (self.gone < first || messages.len() < self.gone + self.lines.len()) {
            let last = messages.len() < self.gone + self.lines.len();
            let at = if last { self.lines.len() - 1 } else { 0 };
            changes.push(Change::Remove { key: self.key(at) });
            self.lines.remove(at);
            self.gone += usize::from(!last);
        }
        if self.lines.is_empty() {
            self.gone = first;
        }
        for (n, message) in messages.iter().enumerate().skip(self.gone) {
            self.line(n - self.gone, message, &mut changes);
        }
        changes
    }

    fn key(&self, at: usize) -> ElementKey {
        FIRST + (self.gone + at) as ElementKey
    }

    fn line(&mut self, at: usize, message: &LogMessage, changes: &mut Vec<Change>) {
        let key = self.key(at);
        let ready = ready(message.text, message.done);
        match self.lines.get_mut(at) {
            Some(line) if line.who == message.who && message.text.starts_with(&line.shown) => {
                if let Some(more) = ready.get(line.shown.len()..).filter(|more| !more.is_empty()) {
                    changes.push(Change::Append { key, text: more.into() });
                    line.shown.push_str(more);
                }
            }
            Some(line) => {
                *line = LogEntry { who: message.who.into(), shown: ready.into() };
                changes.extend([who(key, message.who), Change::Text { key, text: format!("{}: {ready}", message.who) }]);
            }
            None => {
                let after = (at > 0).then(|| key - 1);
                self.lines.push(LogEntry { who: message.who.into(), shown: ready.into() });
                changes.extend([
                    Change::Make { key, parent: LOG, after, tag: "p" },
                    who(key, message.who),
                    Change::Text { key, text: format!("{}: {ready}", message.who) },
                ]);
            }
        }
    }
}

fn who(key: ElementKey, who: &str) -> Change {
    Change::Attribute { key, name: "data-who", value: Some(who.into()) }
}

/// The part of a text to show: whole sentences, or whole words if a sentence is long.
fn ready(text: &str, done: bool) -> &str {
    if done {
        return text;
    }
    let sentence =
        text.rmatch_indices(['.', '!', '?', '\n', '…', ':']).find(|(at, mark)| *mark == "\n" || text[at + mark.len()..].starts_with(char::is_whitespace));
    let end = sentence.map_or(0, |(at, mark)| at + mark.len());
    if text.len() - end <= LONG {
        return &text[..end];
    }
    &text[..text.rfind(char::is_whitespace).filter(|at| *at > end).unwrap_or(end)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, done: bool) -> LogMessage<'_> {
        LogMessage { who: "Model", text, done }
    }

    #[test]
    fn a_reply_is_appended_by_whole_sentences() {
        let mut log = Log::default();
        let first = log.update(&[LogMessage { who: "You", text: "Hi", done: true }, message("", false)]);
        assert_eq!(first.iter().filter(|change| matches!(change, Change::Make { .. })).count(), 2);
        assert_eq!(first[2], Change::Text { key: FIRST, text: "You: Hi".into() });
        let mut appended = |text: &str, done| {
            let changes = log.update(&[LogMessage { who: "You", text: "Hi", done: true }, message(text, done)]);
            changes
                .into_iter()
                .map(|change| match change {
                    Change::Append { text, .. } => text,
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(appended("I am", false), [""; 0], "half a sentence waits");
        assert_eq!(appended("I am. You", false), ["I am."]);
        assert_eq!(appended("I am. You are 3.5", false), [""; 0], "a point in a number ends nothing");
        assert_eq!(appended("I am. You are 3.5", true), [" You are 3.5"]);
        assert_eq!(appended("I am. You are 3.5", true), [""; 0], "nothing is announced twice");
    }

    #[test]
    fn a_long_sentence_is_appended_by_words() {
        let text = "word ".repeat(60);
        assert!(ready(&text, false).len() > 200);
        assert_eq!(ready(&"ä".repeat(200), false), "", "one word without an end is one thing");
    }

    #[test]
    fn edited_and_cleared_conversations_remove_their_elements() {
        let mut log = Log::default();
        log.update(&[message("one", true), message("two", true), message("three", true)]);
        assert_eq!(log.update(&[message("one", true)]), [Change::Remove { key: FIRST + 2 }, Change::Remove { key: FIRST + 1 }]);
        let edited = log.update(&[message("other", true)]);
        assert_eq!(edited[1], Change::Text { key: FIRST, text: "Model: other".into() });
        assert_eq!(log.update(&[]), [Change::Remove { key: FIRST }]);
        assert_eq!(log.update(&[]), []);
    }

    #[test]
    fn the_oldest_messages_of_a_long_conversation_are_dropped() {
        let mut log = Log::default();
        let texts: Vec<LogMessage> = (0..MESSAGES + 5).map(|_| message("so", true)).collect();
        log.update(&texts[..MESSAGES]);
        let changes = log.update(&texts);
        let removed = changes.iter().filter(|change| matches!(change, Change::Remove { .. })).count();
        let made: Vec<_> = changes.iter().filter_map(|change| if let Change::Make { after, .. } = change { Some(after.unwrap()) } else { None }).collect();
        assert_eq!((removed, made.len(), log.lines.len()), (5, 5, MESSAGES));
        assert_eq!(made[0], FIRST + MESSAGES as ElementKey - 1);
    }
}
