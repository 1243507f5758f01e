//! The settings of a run, as in `run.toml`.

use super::guard::GuardConfig;
use super::schedule::Schedule;
use crate::model::{MatrixStorage, Moments};
use crate::ops::{Divergence, Objective};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The training loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// The teacher's distribution (autoregressive distillation).
    Ad,
    /// The next token.
    Ar,
    /// Half of both.
    Mix,
}

/// The activations that are recomputed for the gradients instead of being stored (gradient checkpointing).
/// The bits are the same; recomputing all takes about one more forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recomputation {
    /// As few as possible so that the run fits into the device's memory.
    #[default]
    Auto,
    /// All activations of a block.
    On,
    /// The outputs of norms and SwiGLU, which are cheap.
    Light,
    /// None.
    Off,
}

/// The source of the first weights. As text: `scratch`, `teacher`, or a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Init {
    /// Random initialisation.
    Scratch,
    /// The teacher's weights, which must have the student's shape.
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

/// A model or tokenizer: none, the embedded one, or a path. As text: `none`, `embedded`, or the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ModelSource {
    /// No model.
    None,
    /// Embedded in the program.
    Embedded,
    /// A file, or a model directory.
    Path(PathBuf),
}

impl ModelSource {
    /// The path, if it is one.
    pub fn path(&self) -> Option<&PathBuf> {
        if let ModelSource::Path(path) = self { Some(path) } else { None }
    }
}

impl From<String> for ModelSource {
    fn from(text: String) -> Self {
        match text.as_str() {
            "none" => ModelSource::None,
            "embedded" => ModelSource::Embedded,
            _ => ModelSource::Path(text.into()),
        }
    }
}

impl From<ModelSource> for String {
    fn from(source: ModelSource) -> Self {
        match source {
            ModelSource::None => "none".into(),
            ModelSource::Embedded => "embedded".into(),
            ModelSource::Path(path) => path.display().to_string(),
        }
    }
}

/// The precision of the factors of matrix products on a GPU. Sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// f16, if a kernel with f16 factors is the fastest.
    F16,
}

/// The settings that determine a run's result. Times are in optimizer steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// A preset's name, or the path of a `config.json`.
    pub model: String,
    /// True if the linear layers are binarized.
    pub binary: bool,
    /// The teacher; none for next-token training.
    pub teacher: ModelSource,
    /// Directory of a teacher cache, from which the student is trained; `teacher` must be the one that made it,
    /// or none. Windows then begin at multiples of `seq` in every epoch.
    pub teacher_cache: Option<PathBuf>,
    /// With a cache: true if held-out losses are measured against the teacher itself, which needs its memory.
    pub eval_teacher: bool,
    /// The storage of the teacher's matrices on the device; their rounding is reported.
    pub teacher_storage: MatrixStorage,
    /// The tokenizer; the teacher's if it has one.
    pub tokenizer: ModelSource,
    /// Text files and glob patterns; the embedded corpus if there are none.
    pub data: Vec<PathBuf>,
    /// The field of JSON lines that is read; `auto` reads `text`, `messages` or `token_ids`.
    pub field: String,
    /// The share of documents that is held out; with fewer than fifty documents, the share at the end of the text.
    pub held_out_share: f64,
    /// A file or glob pattern of held-out text, instead of a share.
    pub held_out: Option<PathBuf>,
    /// Seed of the order of documents; 0 keeps the order in the files.
    pub shuffle: u64,
    /// First weights.
    pub init: Init,
    /// The training loss.
    pub loss: Loss,
    /// The divergence from the teacher's distribution, if `loss` is `ad` or `mix`. It is separate from `loss`
    /// because every combination is possible.
    pub divergence: Divergence,
    /// Temperature of the distillation.
    pub temperature: f64,
    /// Seed of initial weights and the order of data.
    pub seed: u64,
    /// Sequences in a micro-step.
    pub batch: usize,
    /// Tokens in a sequence.
    pub seq: usize,
    /// Micro-steps in a step.
    pub accumulate: usize,
    /// The activations that are recomputed.
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
    /// The storage of AdamW's moments.
    pub moments: Moments,
    /// Weight decay.
    pub weight_decay: f64,
    /// Gradient norm above which gradients are clipped.
    pub clip: f64,
    /// The precision of the factors of matrix products on a GPU.
    pub precision: Precision,
    /// Initial loss scale, a power of two.
    pub loss_scale: f32,
    /// Steps between evaluations on held-out text; 0 to evaluate only at checkpoints.
    pub eval_every: u64,
    /// Held-out batches of an evaluation.
    pub eval_batches: usize,
    /// Steps between samples; 0 for none.
    pub sample_every: u64,
    /// The prompt of samples.
    pub sample_prompt: String,
    /// Tokens of a sample.
    pub sample_tokens: usize,
    /// Steps between checkpoints; 0 for one at the end.
    pub checkpoint_every: u64,
    /// Number of checkpoints that are kept, besides the best.
    pub keep: usize,
    /// Settings of the guard.
    pub guard: GuardConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            model: "tiny".into(),
            binary: true,
            teacher: ModelSource::Embedded,
            teacher_cache: None,
            eval_teacher: false,
            teacher_storage: MatrixStorage::F16,
            tokenizer: ModelSource::Embedded,
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
    /// Returns the training objective.
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
        let config = TrainConfig { init: Init::Model("x".into()), teacher: ModelSource::None, ..Default::default() };
        assert_eq!(toml::from_str::<TrainConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        // From a version without a choice of divergence.
        let old = toml::to_string(&config).unwrap().replace("divergence = \"forward\"\n", "");
        assert!(!old.contains("divergence") && toml::from_str::<TrainConfig>(&old).unwrap() == config);
        assert!(toml::from_str::<TrainConfig>("bach = 3").unwrap_err().to_string().contains("bach"));
    }
}
