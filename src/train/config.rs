//! What a run is: everything that decides its result, as `run.toml` has it.

use super::guard::GuardConfig;
use super::schedule::Schedule;
use crate::model::{MatrixStorage, Moments};
use crate::ops::Objective;
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
    /// Text files; the embedded corpus if there are none.
    pub data: Vec<PathBuf>,
    /// First weights.
    pub init: Init,
    /// What is minimised.
    pub loss: Loss,
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
            init: Init::Scratch,
            loss: Loss::Ad,
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

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting {name}: {problem}")]
pub struct SettingError {
    /// Its name.
    pub name: &'static str,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl TrainConfig {
    /// What is minimised.
    pub fn objective(&self) -> Objective {
        let next_token = match self.loss {
            Loss::Ad => 0.0,
            Loss::Ar => 1.0,
            Loss::Mix => 0.5,
        };
        Objective { next_token, temperature: self.temperature }
    }

    /// The learning rate by micro-step.
    pub fn schedule(&self) -> Schedule {
        let accumulate = self.accumulate as u64;
        Schedule { peak: self.lr, end: self.end_lr, warmup: self.warmup * accumulate, total: self.steps * accumulate }
    }

    /// Tokens in a step.
    pub fn tokens_per_step(&self) -> u64 {
        (self.batch * self.seq * self.accumulate) as u64
    }

    /// Refuses settings that make no sense, naming the first.
    pub fn check(&self) -> Result<(), SettingError> {
        let refuse = |name, problem: String| Err(SettingError { name, problem });
        let counts = [
            ("batch", self.batch as u64, 1 << 16),
            ("seq", self.seq as u64, 1 << 20),
            ("accumulate", self.accumulate as u64, 1 << 20),
            ("steps", self.steps, 1 << 40),
        ];
        for (name, value, most) in counts {
            if value == 0 || value > most {
                return refuse(name, format!("{value} is not between 1 and {most}"));
            }
        }
        if self.batch * self.seq > 1 << 24 {
            return refuse("batch", format!("{} × {} tokens are more than a micro-step can have ({}); use accumulate", self.batch, self.seq, 1 << 24));
        }
        let ranges = [
            ("lr", self.lr, 0.0, 10.0),
            ("end_lr", self.end_lr, 0.0, 10.0),
            ("beta1", self.beta1, 0.0, 0.999_999),
            ("beta2", self.beta2, 0.0, 0.999_999),
            ("epsilon", self.epsilon, 1e-30, 1.0),
            ("weight_decay", self.weight_decay, 0.0, 10.0),
            ("clip", self.clip, 1e-6, 1e30),
            ("temperature", self.temperature, 0.05, 20.0),
        ];
        for (name, value, least, most) in ranges {
            if !(value >= least && value <= most) {
                return refuse(name, format!("{value} is not between {least} and {most}"));
            }
        }
        if self.warmup >= self.steps && self.steps > 1 {
            return refuse("warmup", format!("{} steps of warm-up leave nothing of {} steps", self.warmup, self.steps));
        }
        let exponent = self.loss_scale.log2();
        if !self.loss_scale.is_normal() || exponent.fract() != 0.0 || exponent.abs() > 24.0 {
            return refuse("loss_scale", format!("{} is not a power of two between 2^-24 and 2^24", self.loss_scale));
        }
        if self.precision == Precision::F16 && self.loss_scale < 1024.0 {
            let problem = format!("f16 has no room for gradients at a loss scale of {}; set loss_scale = 1024 or more", self.loss_scale);
            return refuse("precision", problem);
        }
        if self.keep == 0 {
            return refuse("keep", "at least one checkpoint must be kept".into());
        }
        if self.eval_batches == 0 {
            return refuse("eval_batches", "at least one batch is needed".into());
        }
        if self.tokenizer == Source::None {
            return refuse("tokenizer", "there must be one: embedded, or a path".into());
        }
        if self.teacher == Source::None && self.teacher_cache.is_none() && self.loss != Loss::Ar {
            return refuse("teacher", "loss ad and mix need a teacher; without one only loss ar can be trained".into());
        }
        if self.teacher_cache.is_some() && self.loss == Loss::Ar {
            return refuse("teacher_cache", "loss ar learns from no teacher; leave the cache out".into());
        }
        if self.eval_teacher && (self.teacher == Source::None || self.teacher_cache.is_none()) {
            return refuse("eval_teacher", "needs a teacher, and a teacher_cache that is trained from".into());
        }
        if self.teacher == Source::None && self.init == Init::Teacher {
            return refuse("init", "there is no teacher to start from".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_settings_are_named() {
        TrainConfig::default().check().unwrap();
        type Spoil = fn(&mut TrainConfig);
        let bad: [(&str, Spoil); 10] = [
            ("batch", |c| c.batch = 0),
            ("seq", |c| c.seq = usize::MAX),
            ("steps", |c| c.steps = 0),
            ("lr", |c| c.lr = -1.0),
            ("lr", |c| c.lr = f64::NAN),
            ("beta2", |c| c.beta2 = 1.0),
            ("loss_scale", |c| c.loss_scale = 3.0),
            ("precision", |c| c.precision = Precision::F16),
            ("teacher", |c| c.teacher = Source::None),
            ("warmup", |c| c.warmup = c.steps),
        ];
        for (name, spoil) in bad {
            let mut config = TrainConfig::default();
            spoil(&mut config);
            assert_eq!(config.check().unwrap_err().name, name);
        }
    }

    #[test]
    fn a_configuration_survives_toml() {
        let config = TrainConfig { init: Init::Model("x".into()), teacher: Source::None, ..Default::default() };
        assert_eq!(toml::from_str::<TrainConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert!(toml::from_str::<TrainConfig>("bach = 3").unwrap_err().to_string().contains("bach"));
    }
}
