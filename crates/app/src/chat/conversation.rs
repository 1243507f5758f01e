//! The conversation: turns that can be edited and regenerated, with undo. Pure.

use signet::runner::{GenerateReport, Message, ModelComparison, TokenKl};

/// One user message and its replies.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// The user's message.
    pub user: String,
    /// The model's reply.
    pub reply: String,
    /// Statistics of the reply; none while it is generated, and if it failed.
    pub report: Option<GenerateReport>,
    /// Number of the attempt at the same message; added to the seed, so that each attempt differs.
    pub attempt: u64,
    /// The teacher's reply.
    pub teacher: Option<String>,
    /// Statistics of the teacher's reply.
    pub teacher_report: Option<GenerateReport>,
    /// Per-token KL(teacher‖student).
    pub shades: Shades,
    /// The error that prevented or cut off the reply.
    pub problem: Option<String>,
    /// Height in points when last drawn; none if the turn changed since.
    pub height: Option<f32>,
}

/// The per-token divergence of a turn, ready to be drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Shades {
    /// Of the user's message, if it was measured.
    pub user: Vec<TokenKl>,
    /// Of the reply.
    pub reply: Vec<TokenKl>,
    /// Mean and largest values of the reply, as text.
    pub summary: String,
    /// Every token's value as text, for screen readers.
    pub spoken: String,
}

impl Shades {
    fn new(comparison: ModelComparison, user: &str) -> Self {
        let reply = comparison.reply;
        let mean = reply.iter().map(|token| token.kl).sum::<f64>() / reply.len().max(1) as f64;
        let mut order: Vec<&TokenKl> = reply.iter().filter(|token| !token.text.trim().is_empty()).collect();
        order.sort_by(|a, b| b.kl.total_cmp(&a.kl));
        let far: Vec<String> = order.iter().take(3).map(|token| format!("“{}” {:.2}", token.text.trim(), token.kl)).collect();
        let summary = match far.is_empty() {
            true => String::new(),
            false => format!("KL(teacher‖student): {mean:.2} nats a token; farthest at {}", far.join(", ")),
        };
        let spoken = reply.iter().map(|token| format!("{:?} {:.2}", token.text, token.kl)).collect::<Vec<_>>().join(", ");
        Self { user: within(comparison.turn, user), reply, summary, spoken: format!("KL by token, in nats: {spoken}") }
    }
}

/// Returns the tokens of the user's message, or none if the chat template added text around it.
fn within(turn: Vec<TokenKl>, user: &str) -> Vec<TokenKl> {
    let joined: String = turn.iter().map(|token| &token.text[..]).collect();
    if joined.trim() == user.trim() { turn } else { Vec::new() }
}

impl Turn {
    /// True if the turn is part of the prompt of later turns: only turns with a reply are.
    fn counts(&self) -> bool {
        !self.reply.is_empty()
    }

    /// Sets the comparison with the teacher.
    pub(super) fn compare(&mut self, comparison: ModelComparison) {
        self.shades = Shades::new(comparison, &self.user);
        self.height = None;
    }
}

/// A conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    turns: Vec<Turn>,
    /// Number of oldest turns that no longer fit into the model's context.
    forgotten: usize,
    /// Turns and `forgotten` before each change, the newest last.
    before: Vec<(Vec<Turn>, usize)>,
}

/// Maximum number of changes that can be undone.
const CHANGES: usize = 20;

impl Conversation {
    /// All turns.
    pub(super) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The last turn, mutable.
    pub(super) fn last(&mut self) -> Option<&mut Turn> {
        self.turns.last_mut()
    }

    /// Number of oldest turns that no longer fit into the model's context.
    pub(super) fn forgotten(&self) -> usize {
        self.forgotten
    }

    /// Returns the messages before turn `n`: the system prompt, if there is one, and the turns that fit into the
    /// context.
    pub(super) fn before(&self, n: usize, system: &str) -> Vec<Message> {
        let system = Some(system).filter(|system| !system.trim().is_empty()).map(|system| Message::new("system", system));
        let seen = self.turns[self.forgotten.min(n)..n].iter().filter(|turn| turn.counts());
        let messages = seen.flat_map(|turn| [Message::new("user", &turn.user), Message::new("assistant", &turn.reply)]);
        system.into_iter().chain(messages).collect()
    }

    /// Starts turn `n`, replacing it and all later turns; can be undone.
    pub(super) fn begin(&mut self, n: usize, user: String, attempt: u64) {
        if n < self.turns.len() {
            self.remember();
            self.turns.truncate(n);
            self.forgotten = self.forgotten.min(n);
        }
        self.turns.push(Turn { user, attempt, ..Turn::default() });
    }

    /// Marks the oldest messages, two a turn, as no longer in the context.
    pub(super) fn forget(&mut self, messages: usize) {
        let mut left = messages.div_ceil(2);
        while left > 0 && self.forgotten + 1 < self.turns.len() {
            left -= usize::from(self.turns[self.forgotten].counts());
            self.forgotten += 1;
        }
    }

    /// Removes all turns; can be undone.
    pub(super) fn clear(&mut self) {
        if !self.turns.is_empty() {
            self.remember();
            self.turns.clear();
            self.forgotten = 0;
        }
    }

    /// True if there is a change to undo.
    pub(super) fn can_undo(&self) -> bool {
        !self.before.is_empty()
    }

    /// Undoes the last change.
    pub(super) fn undo(&mut self) {
        if let Some((turns, forgotten)) = self.before.pop() {
            (self.turns, self.forgotten) = (turns, forgotten);
        }
    }

    fn remember(&mut self) {
        if self.before.len() == CHANGES {
            self.before.remove(0);
        }
        self.before.push((self.turns.clone(), self.forgotten));
    }

    /// Returns the first turn that reaches below `from`, the height of all turns above it, and the total height,
    /// in points. `guess` is the height assumed for a turn that was not drawn yet.
    pub(super) fn first_below(&self, from: f32, guess: f32) -> (usize, f32, f32) {
        let (mut first, mut above, mut all) = (0, 0.0, 0.0);
        for (n, turn) in self.turns.iter().enumerate() {
            all += turn.height.unwrap_or(guess);
            if all < from {
                (first, above) = (n + 1, all);
            }
        }
        (first, above, all)
    }

    /// Sets the measured height of a turn, in points; returns true if it changed.
    pub(super) fn measure(&mut self, n: usize, height: f32) -> bool {
        self.turns[n].height.replace(height).is_none_or(|before| (before - height).abs() > 0.5)
    }

    /// Discards all measured heights, after the width changed.
    pub(super) fn unmeasure(&mut self) {
        self.turns.iter_mut().for_each(|turn| turn.height = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation_of(texts: &[&str]) -> Conversation {
        let mut conversation = Conversation::default();
        for (n, text) in texts.iter().enumerate() {
            conversation.begin(n, text.to_string(), 0);
            conversation.last().unwrap().reply = format!("re {text}");
        }
        conversation
    }

    fn users(conversation: &Conversation) -> Vec<&str> {
        conversation.turns().iter().map(|turn| &turn.user[..]).collect()
    }

    #[test]
    fn every_change_can_be_undone() {
        let mut conversation = conversation_of(&["a", "b", "c"]);
        assert!(!conversation.can_undo(), "a new turn replaces nothing");
        conversation.begin(1, "B".into(), 0);
        assert_eq!(users(&conversation), ["a", "B"]);
        conversation.clear();
        assert!(conversation.turns().is_empty());
        conversation.undo();
        assert_eq!(users(&conversation), ["a", "B"]);
        conversation.undo();
        assert_eq!(users(&conversation), ["a", "b", "c"]);
        assert!(!conversation.can_undo());
    }

    #[test]
    fn history_has_the_turns_that_fit_into_the_context() {
        let mut conversation = conversation_of(&["a", "b", "c"]);
        let turns = |turns: &[(&str, &str)]| turns.iter().flat_map(|(user, reply)| [Message::new("user", user), Message::new("assistant", reply)]).collect();
        let expected: Vec<Message> = turns(&[("a", "re a"), ("b", "re b")]);
        assert_eq!(conversation.before(2, "be kind"), [&[Message::new("system", "be kind")], &expected[..]].concat());
        conversation.forget(2);
        assert_eq!((conversation.before(3, " "), conversation.forgotten()), (turns(&[("b", "re b"), ("c", "re c")]), 1));
        conversation.last().unwrap().reply.clear();
        assert_eq!(conversation.before(3, ""), turns(&[("b", "re b")]), "turns without a reply are left out");
        conversation.begin(0, "A".into(), 0);
        assert_eq!((conversation.before(0, ""), conversation.forgotten()), (Vec::new(), 0));
    }

    #[test]
    fn only_visible_turns_are_laid_out() {
        let mut conversation = conversation_of(&["a", "b", "c", "d"]);
        for (n, height) in [(0, 100.0), (1, 50.0), (2, 25.0)] {
            assert!(conversation.measure(n, height));
        }
        assert_eq!(conversation.first_below(0.0, 10.0), (0, 0.0, 185.0));
        assert_eq!(conversation.first_below(110.0, 10.0), (1, 100.0, 185.0));
        assert_eq!(conversation.first_below(180.0, 10.0), (3, 175.0, 185.0));
        assert!(!conversation.measure(0, 100.2) && conversation.measure(0, 120.0) && conversation.measure(3, 10.0));
        conversation.unmeasure();
        assert_eq!(conversation.first_below(0.0, 10.0), (0, 0.0, 40.0));
        assert_eq!(Conversation::default().first_below(0.0, 10.0), (0, 0.0, 0.0));
    }

    #[test]
    fn the_divergence_has_a_text_summary() {
        let token = |text: &str, kl| TokenKl { text: text.into(), kl, student_p: 0.5, teacher_p: 0.5 };
        let mut turn = Turn { user: "hi".into(), ..Turn::default() };
        turn.compare(ModelComparison { turn: vec![token("", 0.0), token("hi", 1.0)], reply: vec![token(" so", 0.5), token(" it", 1.5)] });
        assert_eq!(turn.shades.summary, "KL(teacher‖student): 1.00 nats a token; farthest at “it” 1.50, “so” 0.50");
        assert!(turn.shades.spoken.contains("\" it\" 1.50") && turn.shades.user.len() == 2);
        turn.compare(ModelComparison { turn: vec![token("user\nhi", 0.0)], reply: Vec::new() });
        assert!(turn.shades.user.is_empty() && turn.shades.summary.is_empty());
    }
}
