//! Validation of settings. Valid settings can be planned in reasonable time and without overflow, and written as
//! TOML.

use super::settings::{SETTINGS, SettingError, between, refuse};
use super::train_config::{Init, Loss, ModelSource, Precision, TrainConfig};
use crate::ops::Divergence;
use std::path::PathBuf;

/// Most tokens in a micro-step: larger plans take minutes, and `accumulate` has the same effect.
const MICRO_TOKENS: u64 = 1 << 20;
/// Most tokens in a run, so that positions do not overflow.
const TOKENS: u128 = 1 << 62;

impl TrainConfig {
    /// Validates the settings; the error names the first invalid one.
    pub fn check(&self) -> Result<(), SettingError> {
        self.check_numbers()?;
        self.check_sizes()?;
        self.check_sources()
    }

    /// Checks each number against its range in the table.
    fn check_numbers(&self) -> Result<(), SettingError> {
        SETTINGS.iter().try_for_each(|setting| setting.check(self))
    }

    /// Checks numbers that depend on each other.
    fn check_sizes(&self) -> Result<(), SettingError> {
        if self.batch as u64 * self.seq as u64 > MICRO_TOKENS {
            return refuse("batch", format!("batch × seq ({} × {}) must be at most {MICRO_TOKENS} tokens. Use accumulate instead", self.batch, self.seq));
        }
        if u128::from(self.steps) * u128::from(self.tokens_per_step()) > TOKENS {
            return refuse("steps", format!("{} steps of {} tokens are too many; use fewer steps", self.steps, self.tokens_per_step()));
        }
        if self.warmup >= self.steps && self.steps > 1 {
            return refuse("warmup", format!("warmup ({}) must be less than steps ({})", self.warmup, self.steps));
        }
        if self.precision == Precision::F16 && self.loss_scale < 1024.0 {
            let problem = format!("gradients underflow in f16 at a loss scale of {}. Set loss_scale = 1024 or more (--loss-scale 1024)", self.loss_scale);
            return refuse("precision", problem);
        }
        between("guard.patience", self.guard.patience, 1, self.guard.window)
    }

    /// Checks models, data and paths.
    fn check_sources(&self) -> Result<(), SettingError> {
        let nameless = |source: &ModelSource| source.path().is_some_and(|path| path.as_os_str().is_empty());
        if self.model.is_empty() {
            return refuse("model", "must be a size, or the path of a config.json".into());
        }
        if self.tokenizer == ModelSource::None || nameless(&self.tokenizer) {
            return refuse("tokenizer", "must be embedded, or a path".into());
        }
        if nameless(&self.teacher) {
            return refuse("teacher", "must be a path, embedded, or none".into());
        }
        if self.teacher == ModelSource::None && self.teacher_cache.is_none() && self.loss != Loss::Ar {
            return refuse("teacher", "loss ad and mix need a teacher. Set one, or use loss ar".into());
        }
        if self.field.is_empty() {
            return refuse("field", "must be auto, or the name of a field".into());
        }
        if self.teacher_cache.is_some() && self.loss == Loss::Ar {
            return refuse("teacher_cache", "loss ar uses no teacher. Leave teacher_cache out, or use loss ad or mix".into());
        }
        if let (Some(_), Some(why)) = (&self.teacher_cache, self.divergence.info().uncached) {
            let others: Vec<&str> = Divergence::ALL.iter().map(|other| other.info()).filter(|other| other.uncached.is_none()).map(|other| other.name).collect();
            let problem = format!(
                "{} cannot be trained from a teacher cache: {why}. Leave teacher_cache out, or use {}",
                self.divergence.info().name,
                others.join(" or ")
            );
            return refuse("divergence", problem);
        }
        if self.loss == Loss::Ar && self.divergence != Divergence::Forward {
            return refuse("divergence", "loss ar uses no teacher, and so no divergence. Leave divergence out, or use loss ad or mix".into());
        }
        if self.eval_teacher && (self.teacher == ModelSource::None || self.teacher_cache.is_none()) {
            return refuse("eval_teacher", "needs a teacher and a teacher_cache. Set both, or leave it out".into());
        }
        if self.teacher == ModelSource::None && self.init == Init::Teacher {
            return refuse("init", "cannot start from a teacher without one. Set teacher, or use init scratch".into());
        }
        for (name, path) in self.paths() {
            if path.as_os_str().is_empty() {
                return refuse(name, "a path must not be empty".into());
            }
            if path.to_str().is_none() {
                return refuse(name, format!("the path {} is not UTF-8, so it cannot be written to run.toml. Rename the file", path.display()));
            }
        }
        Ok(())
    }

    /// Returns all paths with the names of their settings.
    fn paths(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let one = [
            ("init", self.init.path()),
            ("teacher", self.teacher.path()),
            ("tokenizer", self.tokenizer.path()),
            ("teacher_cache", self.teacher_cache.as_ref()),
            ("held_out", self.held_out.as_ref()),
        ];
        one.into_iter().filter_map(|(name, path)| Some((name, path?))).chain(self.data.iter().map(|path| ("data", path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_settings_are_named() {
        TrainConfig::default().check().unwrap();
        type Spoil = fn(&mut TrainConfig);
        let bad: [(&str, Spoil); 32] = [
            ("batch", |c| c.batch = 0),
            ("batch", |c| (c.batch, c.seq) = (1 << 16, 1 << 20)),
            ("seq", |c| c.seq = usize::MAX),
            ("steps", |c| c.steps = 0),
            ("steps", |c| c.steps = 1 << 63),
            ("steps", |c| (c.steps, c.accumulate, c.batch) = (1 << 40, 1 << 20, 1 << 10)),
            ("lr", |c| c.lr = -1.0),
            ("lr", |c| c.lr = f64::NAN),
            ("end_lr", |c| c.end_lr = f64::INFINITY),
            ("beta2", |c| c.beta2 = 1.0),
            ("loss_scale", |c| c.loss_scale = 3.0),
            ("loss_scale", |c| c.loss_scale = f32::NAN),
            ("precision", |c| c.precision = Precision::F16),
            ("teacher", |c| c.teacher = ModelSource::None),
            ("teacher", |c| c.teacher = ModelSource::Path("".into())),
            ("divergence", |c| (c.divergence, c.teacher_cache) = (Divergence::Reverse, Some("c".into()))),
            ("divergence", |c| (c.divergence, c.loss) = (Divergence::Js, Loss::Ar)),
            ("warmup", |c| c.warmup = c.steps),
            ("warmup", |c| (c.steps, c.warmup) = (1, u64::MAX)),
            ("sample_tokens", |c| c.sample_tokens = usize::MAX),
            ("eval_every", |c| c.eval_every = u64::MAX),
            ("keep", |c| c.keep = usize::MAX),
            ("seed", |c| c.seed = u64::MAX),
            ("data", |c| c.data = vec!["".into()]),
            ("held_out", |c| c.held_out = Some("".into())),
            ("held_out_share", |c| c.held_out_share = 0.0),
            ("shuffle", |c| c.shuffle = u64::MAX),
            ("field", |c| c.field = String::new()),
            ("guard.window", |c| c.guard.window = 0),
            ("guard.patience", |c| c.guard.patience = 0),
            ("guard.loss_z", |c| c.guard.loss_z = f64::NAN),
            ("guard.rollbacks", |c| c.guard.rollbacks = usize::MAX),
        ];
        for (name, spoil) in bad {
            let mut config = TrainConfig::default();
            spoil(&mut config);
            assert_eq!(config.check().unwrap_err().name, name);
        }
    }
}
