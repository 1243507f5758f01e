//! Log-likelihoods of continuations. Shared inputs of requests are computed once, and the model's head is applied only at
//! scored positions.

use super::backbone::{Backbone, Lengths, allocate, lanes, padded, prefix_is_cheaper};
use super::encoder::ScoreRequest;
use super::{EvalError, TaskError};
use crate::graph::{Machine, MachineError, Program, Spec, Tape, TensorId, TensorLocation};
use crate::model::{Weights, logits};
use crate::ops::{Distill, Objective, TERMS, Term};
use std::cmp::Reverse;

/// The score of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Sum of the scored tokens' log-probabilities in nats.
    pub loglikelihood: f64,
    /// True if every scored token is the most likely one.
    pub greedy: bool,
}

/// Positions in a batch of the head.
const HEAD_ROWS: usize = 32;

/// Scores questions with a model; a question is one request per choice.
pub struct Scorer {
    backbone: Backbone,
    head: Head,
    vocabulary: usize,
}

/// The output head: from hidden states to the loss of the next tokens.
struct Head {
    program: Program,
    hidden: TensorLocation,
    targets: TensorLocation,
    logits: TensorId,
    terms: TensorId,
}

/// A token to be scored, with the hidden state that predicts it.
struct ScoredToken<'a> {
    request: usize,
    state: &'a [f32],
    target: u32,
}

/// Finds the fewest sequences that cover the inputs of all requests, longest first, and the sequence of each request: an
/// input may be the prefix of another.
fn deduplicate<'a>(requests: &[&'a ScoreRequest]) -> (Vec<&'a [u32]>, Vec<usize>) {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&n| Reverse(requests[n].input().len()));
    let (mut sequences, mut sequence_of): (Vec<&[u32]>, _) = (Vec::new(), vec![0; requests.len()]);
    for n in order {
        let input = requests[n].input();
        sequence_of[n] = sequences.iter().position(|longer| longer.starts_with(input)).unwrap_or_else(|| {
            sequences.push(input);
            sequences.len() - 1
        });
    }
    (sequences, sequence_of)
}

fn sequences(question: &[ScoreRequest]) -> Vec<&[u32]> {
    deduplicate(&question.iter().collect::<Vec<_>>()).0
}

/// The number of leading questions to score in one batch: those that fill one forward, or a single one whose choices share
/// a long prefix.
pub fn questions_per_batch(questions: &[&[ScoreRequest]]) -> usize {
    let (mut length, mut count) = (0, 0);
    for (n, question) in questions.iter().enumerate() {
        let inputs = sequences(question);
        if prefix_is_cheaper(&inputs) {
            return n.max(1);
        }
        length = length.max(inputs.first().map_or(1, |input| padded(input.len())));
        count += inputs.len();
        if n > 0 && count > lanes(length) {
            return n;
        }
    }
    questions.len()
}

impl Scorer {
    /// Compiles the programs that these questions need. Longer questions cannot be scored.
    pub fn new<'a>(machine: &mut Machine, weights: &Weights, questions: impl IntoIterator<Item = &'a [ScoreRequest]>) -> Result<Self, EvalError> {
        let mut lengths = Lengths::default();
        questions.into_iter().for_each(|question| lengths.add(&sequences(question)));
        Ok(Self { backbone: Backbone::new(machine, weights, &lengths)?, head: Head::new(machine, weights)?, vocabulary: weights.config.vocab_size })
    }

    /// Scores each request of each question.
    pub async fn score(&mut self, machine: &mut Machine, questions: &[&[ScoreRequest]]) -> Result<Vec<Vec<Score>>, EvalError> {
        let ids = questions.iter().copied().flatten().flat_map(|request| &request.tokens);
        if let Some(&id) = ids.into_iter().find(|&&id| id as usize >= self.vocabulary) {
            return Err(EvalError::Token { id, vocabulary: self.vocabulary });
        }
        let (mut scores, mut rest) = (Vec::with_capacity(questions.len()), questions);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(questions_per_batch(rest));
            let mut found = self.score_batch(machine, now).await?.into_iter();
            scores.extend(now.iter().map(|question| found.by_ref().take(question.len()).collect::<Vec<_>>()));
            rest = later;
        }
        if scores.iter().flatten().any(|score| !score.loglikelihood.is_finite()) {
            return Err(TaskError("the model's logits are not finite. Check that its training has not diverged".into()).into());
        }
        Ok(scores)
    }

    /// Scores the requests of questions that are [at once](questions_per_batch).
    async fn score_batch(&mut self, machine: &mut Machine, questions: &[&[ScoreRequest]]) -> Result<Vec<Score>, EvalError> {
        let requests: Vec<&ScoreRequest> = questions.iter().copied().flatten().collect();
        let (sequences, sequence_of) = deduplicate(&requests);
        let states = match questions {
            [_] if prefix_is_cheaper(&sequences) => self.backbone.prefixed(machine, &sequences).await?,
            _ => self.backbone.batched(machine, &sequences).await?,
        };
        let width = self.head.hidden.spec.cols;
        let scored = requests.iter().zip(sequence_of).enumerate();
        let scored: Vec<ScoredToken<'_>> = scored.flat_map(|(n, (request, sequence))| scored_tokens(request, n, &states[sequence], width)).collect();
        let mut scores = vec![Score { loglikelihood: 0.0, greedy: true }; requests.len()];
        for part in scored.chunks(HEAD_ROWS) {
            for (token, (loss, likeliest)) in part.iter().zip(self.head.run(machine, part, self.vocabulary).await?) {
                scores[token.request].loglikelihood -= f64::from(loss);
                scores[token.request].greedy &= likeliest;
            }
        }
        Ok(scores)
    }
}

/// The scored tokens of a request with the hidden states that predict them.
fn scored_tokens<'a>(request: &'a ScoreRequest, number: usize, states: &'a [f32], width: usize) -> impl Iterator<Item = ScoredToken<'a>> {
    let first = request.tokens.len() - request.scored;
    let scored = request.tokens[first..].iter().enumerate();
    scored.map(move |(n, &target)| ScoredToken { request: number, state: &states[(first + n - 1) * width..(first + n) * width], target })
}

impl Head {
    fn new(machine: &mut Machine, weights: &Weights) -> Result<Self, EvalError> {
        let hidden = allocate(machine, Spec::f32(HEAD_ROWS, weights.config.hidden_size))?;
        let (targets, shares, scale) =
            (allocate(machine, Spec::u32(HEAD_ROWS, 1))?, allocate(machine, Spec::f32(HEAD_ROWS, 1))?, allocate(machine, Spec::f32(1, 1))?);
        let mut tape = Tape::new();
        let [states, tokens, shares, scale] = [hidden, targets, shares, scale].map(|location| tape.persistent(location));
        let logits = logits(&mut tape, weights, states)?;
        let terms = tape.push_one(Distill { objective: Objective::AR, gradient: false }, &[tokens, shares, scale], &[logits])?;
        tape.keep(logits);
        tape.keep(terms);
        Ok(Self { program: machine.compile(tape)?, hidden, targets, logits, terms })
    }

    /// Computes the cross-entropy of each target, and if it is the most likely token.
    async fn run(&mut self, machine: &mut Machine, scored: &[ScoredToken<'_>], vocabulary: usize) -> Result<Vec<(f32, bool)>, MachineError> {
        let mut hidden = scored.iter().map(|token| token.state).collect::<Vec<_>>().concat();
        hidden.resize(self.hidden.spec.elements(), 0.0);
        let mut targets: Vec<u32> = scored.iter().map(|token| token.target).collect();
        targets.resize(HEAD_ROWS, 0);
        machine.write_f32(&self.hidden, &hidden)?;
        machine.write(&self.targets, &targets)?;
        machine.run(&mut self.program)?;
        let terms: Vec<f32> = bytemuck::cast_vec(machine.read_tensor(&self.program, self.terms).await?);
        let logits: Vec<f32> = bytemuck::cast_vec(machine.read_tensor(&self.program, self.logits).await?);
        let rows = logits.chunks(vocabulary).zip(terms.chunks(TERMS)).zip(&targets).take(scored.len());
        Ok(rows.map(|((row, terms), &target)| (terms[Term::Ar.index()], argmax(row) == target as usize)).collect())
    }
}

/// Index of the first maximum.
fn argmax(row: &[f32]) -> usize {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter().position(|&x| x == top).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(tokens: &[u32], scored: usize) -> ScoreRequest {
        ScoreRequest { tokens: tokens.to_vec(), scored }
    }

    #[test]
    fn shared_inputs_are_computed_once() {
        // Two choices of one token, and a longer one that continues the first.
        let requests = [request(&[1, 2, 3], 1), request(&[1, 2, 4], 1), request(&[1, 2, 3, 5, 6], 3), request(&[1, 9, 3], 1)];
        let (sequences, sequence_of) = deduplicate(&requests.iter().collect::<Vec<_>>());
        assert_eq!(sequences, [&[1, 2, 3, 5][..], &[1, 9]]);
        assert_eq!(sequence_of, [0, 0, 0, 1]);
    }

    #[test]
    fn a_batch_has_whole_questions() {
        let choices = |read: u32, choices: u32| (0..choices).map(|n| request(&[&vec![n; read as usize][..], &[9]].concat(), 1)).collect::<Vec<_>>();
        // Padded lengths of 112 and 8: batches of 4 and 64 sequences.
        let (long, short) = (choices(100, 4), choices(2, 2));
        assert_eq!(questions_per_batch(&[&long, &long]), 1);
        assert_eq!(questions_per_batch(&vec![&short[..]; 100]), 32);
        assert_eq!(questions_per_batch(&[&short[..]]), 1);
        let prefixed: Vec<ScoreRequest> = (0..4).map(|n| request(&[&[5; 300][..], &[n; 9]].concat(), 9)).collect();
        assert_eq!(questions_per_batch(&[&prefixed, &short]), 1);
        assert_eq!(questions_per_batch(&[&short, &short, &prefixed]), 2);
    }
}
