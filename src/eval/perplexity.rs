//! Perplexity by FBI-LLM's protocol: the whole text is tokenized and split into non-overlapping windows; the cross-entropy
//! is averaged in each window, and then over windows.

use super::TaskError;
use crate::graph::{BufferKind, Machine, MachineError, Program, ShapeError, Spec, Tape, TensorLocation};
use crate::model::{ChunkedLoss, Forward, Positions, TeacherOutput, Weights};
use crate::ops::{Objective, TERMS, Term};
use crate::platform::Clock;
use serde::{Deserialize, Serialize};

/// An error of an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// From the machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The shapes of the model's tensors do not match.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// In a task or its rows.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The window is longer than the model's context, or has no prediction.
    #[error("invalid window of {window} tokens: it must have at least 2 tokens and at most {context}, the model's context")]
    Window {
        /// Tokens of the window.
        window: usize,
        /// The model's context.
        context: usize,
    },
    /// The text is shorter than a window.
    #[error("the text has {tokens} tokens, but a window has {window}. Pass a longer text, or a smaller --window")]
    Short {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a window.
        window: usize,
    },
    /// A token outside the vocabulary.
    #[error("token id {id} is outside the model's vocabulary of {vocabulary}: the text was tokenized for another model")]
    Token {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// Stopped before there was a result.
    #[error("stopped before the first window was done")]
    Stopped,
}

/// The perplexity of a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerplexityReport {
    /// exp of the mean cross-entropy.
    pub perplexity: f64,
    /// Mean cross-entropy in nats per token.
    pub cross_entropy: f64,
    /// Standard error of the mean over windows; 0 for a single window.
    pub standard_error: f64,
    /// Evaluated windows.
    pub windows: usize,
    /// Windows in the text; more than evaluated if the evaluation was stopped.
    pub windows_in_text: usize,
    /// Tokens in a window; the first is not predicted.
    pub window: usize,
    /// Tokens of the text. Those after the last full window are ignored.
    pub tokens: usize,
    /// Tokens per second.
    pub tokens_per_second: f64,
}

/// Computes the perplexity of `tokens`. `progress(done, total, perplexity so far)` is called after each window. If
/// `stop_requested` returns true, the result covers the windows so far.
pub async fn perplexity(
    machine: &mut Machine, weights: &Weights, tokens: &[u32], window: usize, stop_requested: &dyn Fn() -> bool, progress: &mut dyn FnMut(usize, usize, f64),
) -> Result<PerplexityReport, EvalError> {
    check(weights, tokens, window)?;
    let mut measure = WindowLoss::new(machine, weights, window)?;
    let clock = Clock::start();
    let of = tokens.len() / window;
    let mut losses = Vec::with_capacity(of);
    for window in tokens.chunks_exact(window) {
        if stop_requested() {
            break;
        }
        losses.push(measure.window(machine, window).await?);
        progress(losses.len(), of, mean(&losses).exp());
    }
    if losses.is_empty() {
        return Err(EvalError::Stopped);
    }
    let cross_entropy = mean(&losses);
    Ok(PerplexityReport {
        perplexity: cross_entropy.exp(),
        cross_entropy,
        standard_error: standard_error(&losses),
        windows: losses.len(),
        windows_in_text: of,
        window,
        tokens: tokens.len(),
        tokens_per_second: (losses.len() * window) as f64 / clock.seconds().max(1e-9),
    })
}

fn check(weights: &Weights, tokens: &[u32], window: usize) -> Result<(), EvalError> {
    let (context, vocabulary) = (weights.config.max_position_embeddings, weights.config.vocab_size);
    if window < 2 || window > context {
        return Err(EvalError::Window { window, context });
    }
    if tokens.len() < window {
        return Err(EvalError::Short { tokens: tokens.len(), window });
    }
    match tokens.iter().find(|&&id| id as usize >= vocabulary) {
        Some(&id) => Err(EvalError::Token { id, vocabulary }),
        None => Ok(()),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard error of the mean of independent values.
fn standard_error(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    (variance / values.len() as f64).sqrt()
}

/// A compiled forward with loss for one window.
pub struct WindowLoss {
    program: Program,
    tokens: TensorLocation,
    targets: TensorLocation,
    sums: TensorLocation,
}

impl WindowLoss {
    /// Compiles the program.
    pub fn new(machine: &mut Machine, weights: &Weights, window: usize) -> Result<Self, EvalError> {
        let mut allocate =
            |spec: Spec| Ok::<_, MachineError>(TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words())?, offset: 0, spec });
        let (tokens, targets) = (allocate(Spec::u32(window, 1))?, allocate(Spec::u32(window, 1))?);
        let (shares, scale, sums) = (allocate(Spec::f32(window, 1))?, allocate(Spec::f32(1, 1))?, allocate(Spec::f32(1, TERMS))?);
        // The last token of a window has no target.
        let mut share = vec![1.0 / (window - 1) as f32; window];
        share[window - 1] = 0.0;
        machine.write_f32(&shares, &share)?;
        machine.write_f32(&scale, &[1.0])?;
        let positions = Positions::new(machine, &weights.config, window)?;
        let mut tape = Tape::new();
        let ids = tape.persistent(tokens);
        let hidden = Forward { weights, positions, batch: 1, seq: window, cache: None }.hidden(&mut tape, ids)?;
        let objective = Objective::AR;
        let [targets_, shares, scale, sums_] = [targets, shares, scale, sums].map(|location| tape.persistent(location));
        ChunkedLoss { student: weights, teacher: TeacherOutput::None, targets: targets_, weights: shares, scale, sums: sums_, objective, gradient: false }
            .record(&mut tape, hidden)?;
        Ok(Self { program: machine.compile(tape)?, tokens, targets, sums })
    }

    /// Computes the mean cross-entropy in a window.
    pub async fn window(&mut self, machine: &mut Machine, window: &[u32]) -> Result<f64, MachineError> {
        let mut targets = window[1..].to_vec();
        targets.push(0);
        machine.write(&self.tokens, window)?;
        machine.write(&self.targets, &targets)?;
        machine.write(&self.sums, &[0; TERMS])?;
        machine.run(&mut self.program)?;
        Ok(f64::from(machine.read_f32(&self.sums).await?[Term::Ar.index()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::Engine;
    use crate::model::{Linears, ModelConfig, Moments, Purpose, init_dense, init_from_dense};
    use crate::platform;

    fn model(machine: &mut Machine) -> Weights {
        let config = ModelConfig { num_hidden_layers: 1, hidden_size: 48, intermediate_size: 80, ..ModelConfig::preset("tiny", 97).unwrap() };
        let weights = Weights::allocate(machine, &config, Linears::Binary, Purpose::Training(Moments::F32)).unwrap();
        init_from_dense(machine, &weights, &mut init_dense(&config, 3)).unwrap();
        weights
    }

    fn text(n: usize) -> Vec<u32> {
        (0..n as u64).map(|i| (crate::rng::Key::new(1, "text").bits(i) % 97) as u32).collect()
    }

    #[test]
    fn equals_token_by_token_decoding() {
        let mut machine = Machine::cpu();
        let weights = model(&mut machine);
        let tokens = text(3 * 20 + 7);
        let report = platform::wait(perplexity(&mut machine, &weights, &tokens, 20, &|| false, &mut |_, _, _| {})).unwrap();
        let mut engine = Engine::new(&mut machine, &weights, 64).unwrap();
        let mut losses = Vec::new();
        for window in tokens.as_chunks::<20>().0 {
            engine.rewind(0);
            for pair in window.windows(2) {
                let logits = platform::wait(engine.feed(&mut machine, &pair[..1])).unwrap();
                let top = logits.iter().fold(f64::MIN, |top, &x| top.max(f64::from(x)));
                let total: f64 = logits.iter().map(|&x| (f64::from(x) - top).exp()).sum();
                losses.push(top + total.ln() - f64::from(logits[pair[1] as usize]));
            }
        }
        assert_eq!((report.windows, report.windows_in_text, losses.len()), (3, 3, 57));
        assert!((report.cross_entropy - mean(&losses)).abs() < 1e-4, "{} {}", report.cross_entropy, mean(&losses));
        assert_eq!(report.perplexity, report.cross_entropy.exp());
    }

    #[test]
    fn invalid_inputs_are_errors() {
        let mut machine = Machine::cpu();
        let weights = model(&mut machine);
        let mut problem = |tokens: &[u32], window| {
            let error = platform::wait(perplexity(&mut machine, &weights, tokens, window, &|| false, &mut |_, _, _| {}));
            error.unwrap_err().to_string()
        };
        assert!(problem(&[], 20).contains("has 0 tokens"));
        assert!(problem(&text(19), 20).contains("smaller --window"));
        assert!(problem(&text(19), 1).contains("at least 2"));
        assert!(problem(&text(19), 5000).contains("at most 512"));
        assert!(problem(&[97; 30], 20).contains("token id 97"));
        let stopped = platform::wait(perplexity(&mut machine, &weights, &text(40), 20, &|| true, &mut |_, _, _| {}));
        assert!(matches!(stopped, Err(EvalError::Stopped)));
    }
}
