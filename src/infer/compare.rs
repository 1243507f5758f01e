//! Comparison of two models on a text, token by token.

use super::chat::ChatReply;
use super::generate::{GenerateError, Generator};
use crate::data::{TextStream, Tokenizer};
use crate::graph::Machine;
use serde::{Deserialize, Serialize};

/// A token with its probabilities under student and teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenKl {
    /// The text in whole characters; empty for a token that ends inside a character, and for tokens without text.
    pub text: String,
    /// KL(teacher‖student) in nats of the next-token distributions at this position.
    pub kl: f64,
    /// The student's probability of this token.
    pub student_p: f64,
    /// The teacher's probability of this token.
    pub teacher_p: f64,
}

/// Scores of a reply, and of the turn before it, under two models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelComparison {
    /// The user's turn with the template's text, without the first token of a conversation, which is not predicted.
    pub turn: Vec<TokenKl>,
    /// The reply; the concatenated texts are its text.
    pub reply: Vec<TokenKl>,
}

/// Tokens scored by both models at a time, whose logits are in memory together.
const CHUNK: usize = 32;

/// Compares two models on a reply of the student; `None` if a stop was requested. Both engines must support
/// [scoring](super::Engine::score). Probabilities are over the tokenizer's ids.
pub async fn compare(
    machine: &mut Machine, student: &mut Generator, teacher: &mut Generator, tokenizer: &Tokenizer, reply: &ChatReply, stop_requested: &dyn Fn() -> bool,
) -> Result<Option<ModelComparison>, GenerateError> {
    let tokens = [&reply.prompt[..], &reply.ids].concat();
    let vocabulary = tokenizer.vocabulary();
    let first = reply.turn.max(1);
    let mut scores = Vec::new();
    while first + scores.len() < tokens.len() {
        if stop_requested() {
            return Ok(None);
        }
        let at = first + scores.len();
        let range = at..tokens.len().min(at + CHUNK);
        let teacher_logits = teacher.score(machine, &tokens, range.clone()).await?;
        let student_logits = student.score(machine, &tokens, range.clone()).await?;
        let rows = |logits: &[f32]| logits.len() / range.len();
        for ((teacher, student), &token) in
            teacher_logits.chunks(rows(&teacher_logits)).zip(student_logits.chunks(rows(&student_logits))).zip(&tokens[range.clone()])
        {
            scores.push(TokenScores::of(&teacher[..vocabulary], &student[..vocabulary], token)?);
        }
    }
    let replied = scores.split_off(reply.prompt.len() - first);
    let join = |scores: Vec<TokenScores>, texts: Vec<String>| texts.into_iter().zip(scores).map(|(text, scores)| scores.with_text(text)).collect();
    let turn = token_texts(tokenizer, &tokens[..first], &tokens[first..reply.prompt.len()], None)?;
    let text = token_texts(tokenizer, &reply.prompt, &reply.ids, Some(&reply.text))?;
    Ok(Some(ModelComparison { turn: join(scores, turn), reply: join(replied, text) }))
}

/// Scores of a token.
#[derive(Clone, Copy, Debug)]
struct TokenScores {
    kl: f64,
    student_p: f64,
    teacher_p: f64,
}

impl TokenScores {
    /// Scores `token` with the logits of both models.
    fn of(teacher: &[f32], student: &[f32], token: u32) -> Result<Self, GenerateError> {
        let (teacher, student) = (log_softmax(teacher), log_softmax(student));
        let terms = teacher.iter().zip(&student).map(|(&p, &q)| if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) });
        let kl: f64 = terms.sum();
        if !kl.is_finite() {
            return Err(GenerateError::Setting(
                "cannot compare the two models: the logits of one are not finite. Check that its training has not diverged".into(),
            ));
        }
        let p = |logs: &[f64]| logs.get(token as usize).map_or(0.0, |log| log.exp());
        // Negative only by rounding.
        Ok(Self { kl: kl.max(0.0), student_p: p(&student), teacher_p: p(&teacher) })
    }

    fn with_text(self, text: String) -> TokenKl {
        let Self { kl, student_p, teacher_p } = self;
        TokenKl { text, kl, student_p, teacher_p }
    }
}

/// Log-probabilities.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().fold(f64::NEG_INFINITY, |top, &x| top.max(f64::from(x)));
    let total = logits.iter().map(|&x| (f64::from(x) - top).exp()).sum::<f64>().ln();
    logits.iter().map(|&x| f64::from(x) - top - total).collect()
}

/// The text of each id after `before`, truncated to the text `whole` if given, which excludes a stop string.
fn token_texts(tokenizer: &Tokenizer, before: &[u32], ids: &[u32], whole: Option<&str>) -> Result<Vec<String>, GenerateError> {
    let mut stream = TextStream::new(tokenizer, before);
    let mut texts = ids.iter().map(|&id| stream.push(id)).collect::<Result<Vec<_>, _>>()?;
    let rest = stream.finish()?;
    if let Some(last) = texts.last_mut() {
        last.push_str(&rest);
    }
    if let Some(whole) = whole {
        let mut left = whole.len();
        for text in &mut texts {
            // A stop string may begin inside a token, never inside a character.
            text.truncate(left);
            left -= text.len();
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets;

    #[test]
    fn the_divergence_matches_the_definition() {
        // p = (1/2, 1/4, 1/4) and q = (1/4, 1/4, 1/2), as logits up to a constant.
        let (p, q) = ([2f32.ln() + 7.0, 7.0, 7.0], [-3.0, -3.0, 2f32.ln() - 3.0]);
        let scores = TokenScores::of(&p, &q, 2).unwrap();
        assert!((scores.kl - 0.25 * 2f64.ln()).abs() < 1e-6, "{scores:?}");
        assert!((scores.teacher_p - 0.25).abs() < 1e-6 && (scores.student_p - 0.5).abs() < 1e-6, "{scores:?}");
        assert_eq!(TokenScores::of(&p, &p, 0).unwrap().kl, 0.0);
        for broken in [[f32::NAN, 0.0, 0.0], [f32::INFINITY, 0.0, 0.0], [f32::NEG_INFINITY; 3]] {
            assert!(TokenScores::of(&p, &broken, 0).unwrap_err().to_string().contains("not finite"));
            assert!(TokenScores::of(&broken, &p, 0).is_err());
        }
    }

    #[test]
    fn texts_of_tokens_are_whole_characters_and_join_to_the_text() {
        let tokenizer = Tokenizer::from_json(assets::tokenizer().unwrap()).unwrap();
        let text = "so 東京 🦀, then";
        let ids = tokenizer.encode(text).unwrap();
        let pieces = token_texts(&tokenizer, &[], &ids, None).unwrap();
        assert_eq!((pieces.len(), pieces.concat()), (ids.len(), text.to_string()));
        assert!(pieces.iter().any(String::is_empty), "some characters must be made of several tokens: {pieces:?}");
        // Truncated at a stop string, and in the middle of a character.
        let cut = token_texts(&tokenizer, &[], &ids, Some("so 東京 🦀, t")).unwrap();
        assert_eq!((cut.len(), cut.concat()), (ids.len(), "so 東京 🦀, t".to_string()));
        let crab = pieces.iter().position(|piece| piece.contains('🦀')).unwrap();
        let half = token_texts(&tokenizer, &[], &ids[..crab], None).unwrap();
        assert!(half.concat().starts_with("so 東京 ") && half.concat().ends_with(char::REPLACEMENT_CHARACTER), "{half:?}");
    }
}
