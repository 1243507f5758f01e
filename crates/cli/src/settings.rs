//! The options by which `train` takes each setting of a run.

use super::choice;
use super::data::TextOptions;
use clap::Args;
use signet::runner::{Divergence, Loss, MatrixStorage, Moments, Precision, Recomputation, TrainConfig};
use std::path::PathBuf;

/// An option for every setting; what is not given stays as it is.
#[derive(Args, Clone, Default, PartialEq)]
pub(super) struct SettingOptions {
    /// tiny, 5M, 130M, 1.3B, 7B, 13B, or the path of a config.json.
    #[arg(long)]
    model: Option<String>,
    /// Keep the linear layers in full precision: a teacher, or a baseline.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    full_precision: Option<bool>,
    /// The teacher: embedded, none, a model directory, or its name on Hugging Face (owner/name).
    #[arg(long)]
    teacher: Option<String>,
    /// Learn from this cache of the teacher, made by `signet teach`, in place of the teacher itself.
    #[arg(long, value_name = "DIR")]
    teacher_cache: Option<PathBuf>,
    /// With a cache: measure held-out text against the teacher itself, which takes its memory.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    eval_teacher: Option<bool>,
    /// How the teacher's matrices are kept on the device: f16, f32, or q8 (8-bit blocks).
    #[arg(long, value_parser = choice::<MatrixStorage>)]
    teacher_storage: Option<MatrixStorage>,
    /// embedded, or a tokenizer.json or its directory, with the tokens and the chat template that the files beside it declare.
    #[arg(long)]
    tokenizer: Option<String>,
    /// Files of text to train on, plain or JSON lines, also as .gz or .zst, or patterns such as 'books/*.txt'; the embedded corpus without any.
    #[arg(long, num_args = 1..)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    text: TextOptions,
    /// First weights: scratch, teacher, or a model directory.
    #[arg(long)]
    init: Option<String>,
    /// ad (the teacher's distribution), ar (the next token), or mix (half of each).
    #[arg(long, value_parser = choice::<Loss>)]
    loss: Option<Loss>,
    /// With ad and mix, how far from the teacher is measured: forward (KL of the student from the teacher, the paper's),
    /// reverse (KL of the teacher from the student), or js (Jensen–Shannon, between the two).
    #[arg(long, value_parser = choice::<Divergence>)]
    divergence: Option<Divergence>,
    /// Temperature of the distillation: divides the logits of both.
    #[arg(long)]
    temperature: Option<f64>,
    /// f32, or f16: whether dense products may hold their factors in f16 on a GPU.
    #[arg(long, value_parser = choice::<Precision>)]
    precision: Option<Precision>,
    /// Power of two that the loss is multiplied by on the device; f16 needs 1024 or more.
    #[arg(long)]
    loss_scale: Option<f32>,
    /// Decides initial weights and the order of data.
    #[arg(long)]
    seed: Option<u64>,
    /// Sequences in a micro-step.
    #[arg(long)]
    batch: Option<usize>,
    /// Tokens in a sequence.
    #[arg(long)]
    seq: Option<usize>,
    /// Micro-steps in an optimizer step.
    #[arg(long)]
    accumulate: Option<usize>,
    /// Compute activations again instead of holding them: auto (as little as makes the run fit), light (norms and SwiGLU only), on, or off.
    #[arg(long, value_parser = choice::<Recomputation>)]
    recompute: Option<Recomputation>,
    /// Optimizer steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Highest learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// Learning rate at the end.
    #[arg(long)]
    end_lr: Option<f64>,
    /// Steps of warm-up.
    #[arg(long)]
    warmup: Option<u64>,
    /// How AdamW's moments are stored: f32, or q8 (blocks of 8-bit codes).
    #[arg(long, value_parser = choice::<Moments>)]
    moments: Option<Moments>,
    /// Weight decay.
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Largest gradient norm.
    #[arg(long)]
    clip: Option<f64>,
    /// β₁ of AdamW.
    #[arg(long)]
    beta1: Option<f64>,
    /// β₂ of AdamW.
    #[arg(long)]
    beta2: Option<f64>,
    /// ε of AdamW.
    #[arg(long)]
    epsilon: Option<f64>,
    /// Steps between evaluations on held-out text.
    #[arg(long)]
    eval_every: Option<u64>,
    /// Held-out batches looked at.
    #[arg(long)]
    eval_batches: Option<usize>,
    /// Steps between samples of text; 0 for none.
    #[arg(long)]
    sample_every: Option<u64>,
    /// What samples continue.
    #[arg(long)]
    sample_prompt: Option<String>,
    /// Tokens of a sample.
    #[arg(long)]
    sample_tokens: Option<usize>,
    /// Steps between checkpoints; 0 for one at the end.
    #[arg(long)]
    checkpoint_every: Option<u64>,
    /// Checkpoints kept, besides the best.
    #[arg(long)]
    keep: Option<usize>,
    #[command(flatten)]
    guard: GuardOptions,
}

/// The guard against spikes.
#[derive(Args, Clone, Default, PartialEq)]
struct GuardOptions {
    /// Skip and roll back spikes; --guard=false only skips steps that are not finite.
    #[arg(long = "guard", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enabled: Option<bool>,
    /// Guard: steps it remembers.
    #[arg(long = "guard-window", value_name = "STEPS")]
    window: Option<usize>,
    /// Guard: steps it needs before it judges.
    #[arg(long = "guard-patience", value_name = "STEPS")]
    patience: Option<usize>,
    /// Guard: robust z-score of the gradient norm above which a step is skipped.
    #[arg(long = "guard-norm-z", value_name = "Z")]
    norm_z: Option<f64>,
    /// Guard: robust z-score of the loss above which a step is a spike.
    #[arg(long = "guard-loss-z", value_name = "Z")]
    loss_z: Option<f64>,
    /// Guard: spikes or skipped steps in a row after which the run rolls back.
    #[arg(long = "guard-tolerate", value_name = "STEPS")]
    tolerate: Option<usize>,
    /// Guard: rollbacks after which the run stops.
    #[arg(long = "guard-rollbacks", value_name = "N")]
    rollbacks: Option<usize>,
}

/// Sets the fields of `$to` for which `$from` has a value.
macro_rules! set {
    ($from:expr => $to:expr; $($name:ident),*) => { $(if let Some(value) = $from.$name.clone() { $to.$name = value.into(); })* };
}

impl SettingOptions {
    /// Returns true if any was given.
    pub(super) fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Puts the values that were given into the settings.
    pub(super) fn set(&self, config: &mut TrainConfig) {
        set!(self => config; model, teacher, eval_teacher, teacher_storage, tokenizer, init, loss, divergence, temperature, precision, loss_scale);
        set!(self => config; seed, batch, seq, accumulate, recompute, steps, lr, end_lr, warmup, moments, weight_decay, clip, beta1, beta2, epsilon);
        set!(self => config; eval_every, eval_batches, sample_every, sample_prompt, sample_tokens, checkpoint_every, keep);
        set!(self.guard => config.guard; enabled, window, patience, norm_z, loss_z, tolerate, rollbacks);
        config.binary = self.full_precision.map_or(config.binary, |full| !full);
        config.teacher_cache = self.teacher_cache.clone().or(config.teacher_cache.take());
        if !self.data.is_empty() {
            config.data = self.data.clone();
        }
        self.text.set(config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingOptions,
    }

    fn parsed(line: &[String]) -> TrainConfig {
        let mut config = TrainConfig::default();
        Line::parse_from(std::iter::once("train".to_string()).chain(line.iter().cloned())).settings.set(&mut config);
        config
    }

    /// The option of a setting, and another value than the default's.
    fn option(name: &str, value: &toml::Value) -> String {
        let option = match name {
            "binary" => "full-precision".to_string(),
            "guard.enabled" => "guard".to_string(),
            name => name.replace(['.', '_'], "-"),
        };
        let value = match (name, value) {
            ("loss", _) => "mix".into(),
            ("divergence", _) => "js".into(),
            ("precision", _) => "f16".into(),
            ("recompute", _) => "light".into(),
            ("moments", _) => "q8".into(),
            ("teacher_storage", _) => "f32".into(),
            ("binary", _) => "true".into(),
            (_, toml::Value::Boolean(value)) => (!value).to_string(),
            (_, toml::Value::Integer(value)) => (value + 1).to_string(),
            (_, toml::Value::Float(value)) => (value * 2.0).to_string(),
            (_, _) => "other".into(),
        };
        format!("--{option}={value}")
    }

    #[test]
    fn every_setting_has_an_option() {
        let all = TrainConfig { teacher_cache: Some("c".into()), held_out: Some("h".into()), ..TrainConfig::default() };
        let table = toml::Table::try_from(&all).unwrap();
        let guard = table["guard"].as_table().unwrap().iter().map(|(name, value)| (format!("guard.{name}"), value));
        let names: Vec<(String, &toml::Value)> =
            table.iter().filter(|(name, _)| *name != "guard").map(|(name, value)| (name.clone(), value)).chain(guard).collect();
        assert!(names.len() > 45, "{}", names.len());
        for (name, value) in names {
            let line = option(&name, value);
            let config = toml::Table::try_from(parsed(std::slice::from_ref(&line))).unwrap();
            let differs = |(key, now): (&String, &toml::Value)| toml::Table::try_from(TrainConfig::default()).unwrap().get(key) != Some(now);
            let changed: Vec<&String> = config.iter().filter(|&pair| differs(pair)).map(|(key, _)| key).collect();
            assert_eq!(changed, [name.split('.').next().unwrap()], "{line}");
        }
        assert!(parsed(&[]) == TrainConfig::default());
    }
}
