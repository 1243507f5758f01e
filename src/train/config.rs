//! What a run is: everything that decides its result, as `run.toml` has it.

use super::guard::GuardConfig;
use super::schedule::Schedule;
use crate::model::{MatrixStorage, Moments};
use crate::ops::{Divergence, Objective};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a student learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// The teacher's distribution (autoregressive distillation).
    Ad,
    /// The next token.
    Ar,
    /// Half of each.
    Mix,
}

/// Whether activations are computed again for the gradients, instead of being held. The bits are
/// the same; computing all again takes about one more forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recomputation {
    /// As little as makes the run fit into the device's memory.
    #[default]
    Auto,
    /// All of a block's.
    On,
    /// What norms and SwiGLU give, which costs next to nothing.
    Light,
    /// Never.
    Off,
}

/// Where first weights come from. As text: `scratch`, `teacher`, or a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Init {
    /// Random.
    Scratch,
    /// The teacher's, which must have the student's shape.
    Teacher,
    /// A model directory of the same shape.
    Model(PathBuf),
}

impl Init {
    /// The path, if it is one.
    pub fn path(&self) -> Option<&PathBuf> {
        if let Init::Model(path) = self { Some(path) } else { None }
    }
}

impl From<String> for Init {
    fn from(text: String) -> Self {
        match text.as_str() {
            "scratch" => Init::Scratch,
            "teacher" => Init::Teacher,
            _ => Init::Model(text.into()),
        }
    }
}

impl From<Init> for String {
    fn from(init: Init) -> Self {
        match init {
            Init::Scratch => "scratch".into(),
            Init::Teacher => "teacher".into(),
            Init::Model(path) => path.display().to_string(),
        }
    }
}

/// A model or tokenizer: none, one that is part of the program, or a path. As text: `none`,
/// `embedded`, or the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    /// There is none.
    None,
    /// Part of the program.
    Embedded,
    /// A file, or a model directory.
    Path(PathBuf),
}

impl Source {
    /// The path, if it is one.
    pub fn path(&self) -> Option<&PathBuf> {
        if let Source::Path(path) = self { Some(path) } else { None }
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        match text.as_str() {
            "none" => Source::None,
            "embedded" => Source::Embedded,
            _ => Source::Path(text.into()),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        match source {
            Source::None => "none".into(),
            Source::Embedded => "embedded".into(),
            Source::Path(path) => path.display().to_string(),
        }
    }
}

/// In what the factors of dense products may be held on a GPU. Sums are f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// f16, where a kernel that does so is the fastest.
    F16,
}

/// Everything that decides a run's result. Times are in optimizer steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// A preset's name, or the path of a `config.json`.
    pub model: String,
    /// Whether the linear layers are binarized.
    pub binary: bool,
    /// The teacher; none for next-token training alone.
    pub teacher: Source,
    /// Directory of a teacher cache: what the student learns from in place of the teacher, which must be
    /// the one it was made by, or none. Windows then begin at multiples of `seq` in every epoch.
    pub teacher_cache: Option<PathBuf>,
    /// With a cache: whether held-out text is measured against the teacher itself, which takes its memory.
    pub eval_teacher: bool,
    /// How the teacher's matrices are kept on the device; what that does to them is reported.
    pub teacher_storage: MatrixStorage,
    /// The tokenizer; the teacher's where it has one.
    pub tokenizer: Source,
    /// Files of text and patterns of their names; the embedded corpus if there are none.
    pub data: Vec<PathBuf>,
    /// Of JSON lines the field that is read; `auto` takes `text`, `messages` or `token_ids`.
    pub field: String,
    /// The share of documents that is held out; of fewer than fifty, of the text's end.
    pub held_out_share: f64,
    /// A file, or a pattern of several, that is held out in place of a share.
    pub held_out: Option<PathBuf>,
    /// Decides the order of documents; 0 leaves them as they lie in the files.
    pub shuffle: u64,
    /// First weights.
    pub init: Init,
    /// What is minimised.
    pub loss: Loss,
    /// How far from the teacher's distribution is measured, where `loss` is `ad` or `mix`. A setting of its
    /// own, since it is another question than what is learnt from: each goes with either.
    pub divergence: Divergence,
    /// Temperature of the distillation.
    pub temperature: f64,
    /// Decides initial weights and the order of data.
    pub seed: u64,
    /// Sequences in a micro-step.
    pub batch: usize,
    /// Tokens in a sequence.
    pub seq: usize,
    /// Micro-steps in a step.
    pub accumulate: usize,
    /// Whether activations are computed again instead of being held.
    pub recompute: Recomputation,
    /// Steps.
    pub steps: u64,
    /// Highest learning rate.
    pub lr: f64,
    /// Learning rate at the end.
    pub end_lr: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// β₁ of AdamW.
    pub beta1: f64,
    /// β₂ of AdamW.
    pub beta2: f64,
    /// ε of AdamW.
    pub epsilon: f64,
    /// How AdamW's moments are stored.
    pub moments: Moments,
    /// Weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm.
    pub clip: f64,
    /// In what dense products may hold their factors on a GPU.
    pub precision: Precision,
    /// Power of two that the loss is multiplied by on the device.
    pub loss_scale: f32,
    /// Steps between evaluations on held-out text; 0 for never but at checkpoints.
    pub eval_every: u64,
    /// Held-out batches looked at.
    pub eval_batches: usize,
    /// Steps between samples; 0 for none.
    pub sample_every: u64,
    /// What samples continue.
    pub sample_prompt: String,
    /// Tokens of a sample.
    pub sample_tokens: usize,
    /// Steps between checkpoints; 0 for one at the end.
    pub checkpoint_every: u64,
    /// Checkpoints kept, besides the best.
    pub keep: usize,
    /// What counts as a spike.
    pub guard: GuardConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            model: "tiny".into(),
            binary: true,
            teacher: Source::Embedded,
            teacher_cache: None,
            eval_teacher: false,
            teacher_storage: MatrixStorage::F16,
            tokenizer: Source::Embedded,
            data: Vec::new(),
            field: "auto".into(),
            held_out_share: 0.02,
            held_out: None,
            shuffle: 0,
            init: Init::Scratch,
            loss: Loss::Ad,
            divergence: Divergence::Forward,
            temperature: 1.0,
            seed: 11111,
            batch: 8,
            seq: 128,
            accumulate: 1,
            recompute: Recomputation::Auto,
            steps: 1000,
            lr: 2e-3,
            end_lr: 2e-4,
            warmup: 50,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            moments: Moments::F32,
            weight_decay: 0.1,
            clip: 1.0,
            precision: Precision::F32,
            loss_scale: 1.0,
            eval_every: 100,
            eval_batches: 8,
            sample_every: 250,
            sample_prompt: "<|user|>hi, how are you?<|assistant|>".into(),
            sample_tokens: 48,
            checkpoint_every: 250,
            keep: 2,
            guard: GuardConfig::default(),
        }
    }
}

impl TrainConfig {
    /// What is minimised.
    pub fn objective(&self) -> Objective {
        let next_token = match self.loss {
            Loss::Ad => 0.0,
            Loss::Ar => 1.0,
            Loss::Mix => 0.5,
        };
        Objective { next_token, divergence: self.divergence, temperature: self.temperature }
    }

    /// The learning rate by micro-step.
    pub fn schedule(&self) -> Schedule {
        let accumulate = self.accumulate as u64;
        Schedule { peak: self.lr, end: self.end_lr, warmup: self.warmup * accumulate, total: self.steps * accumulate }
    }

    /// Tokens in a step.
    pub fn tokens_per_step(&self) -> u64 {
        self.batch as u64 * self.seq as u64 * self.accumulate as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_toml() {
        let config = TrainConfig { init: Init::Model("x".into()), teacher: Source::None, ..Default::default() };
        assert_eq!(toml::from_str::<TrainConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        // Written before there was a choice.
        let old = toml::to_string(&config).unwrap().replace("divergence = \"forward\"\n", "");
        assert!(!old.contains("divergence") && toml::from_str::<TrainConfig>(&old).unwrap() == config);
        assert!(toml::from_str::<TrainConfig>("bach = 3").unwrap_err().to_string().contains("bach"));
    }
}
