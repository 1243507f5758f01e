//! What is changed while a run trains: kept in its directory first, then done.

use super::{Emit, TrainError, Trainer};
use crate::data::Tokenizer;
use crate::infer::Engine;
use crate::train::changes::{Changed, Changes};
use crate::train::config::TrainConfig;
use crate::train::settings::{Setting, SettingValue};

/// What samples are made with, and the tokens they continue.
type Sampler = (Engine, Vec<u32>);

/// Refuses changes that this run cannot go on with, in words.
pub(super) fn check_changes(changes: &Changes, config: &TrainConfig, tokenizer: &Tokenizer, sampler: Option<&Sampler>) -> Result<(), String> {
    changes.all().try_for_each(|changed| check_change(changed, config, tokenizer, sampler))
}

/// The setting that needs something to sample with, and decides no bits of the run.
const PROMPT: &str = "sample_prompt";

fn check_change(changed: &Changed, config: &TrainConfig, tokenizer: &Tokenizer, sampler: Option<&Sampler>) -> Result<(), String> {
    let mut now = config.clone();
    changed.apply(&mut now)?;
    now.check().map_err(|error| error.to_string())?;
    let (Some(_), Some((engine, _))) = (changed.get(PROMPT), sampler) else { return Ok(()) };
    let tokens = tokenizer.encode(&now.sample_prompt).map_err(|error| format!("{PROMPT}: {error}"))?.len();
    let room = engine.capacity() - config.sample_tokens - 1;
    if (1..=room).contains(&tokens) { Ok(()) } else { Err(format!("{PROMPT}: {tokens} tokens are not between 1 and {room}, for which there is room")) }
}

/// A value as a note has it.
fn describe((setting, value): (&Setting, &SettingValue)) -> String {
    match value {
        SettingValue::Real(value) => format!("{} is {value}", setting.name),
        SettingValue::Text(text) => format!("{} is {text:?}", setting.name),
        value => format!("{} is {value}", setting.name),
    }
}

impl Trainer {
    /// Changes settings from the next step on, or says why not.
    pub(super) async fn change(&mut self, what: Changed, emit: &mut Emit<'_>) -> Result<(), TrainError> {
        if what.is_empty() {
            return Ok(());
        }
        if what.get(PROMPT).is_some() && self.sampler.is_none() {
            return self.note(super::between_steps::NO_SAMPLES, emit);
        }
        if let Err(problem) = check_change(&what, &self.config, &self.tokenizer, self.sampler.as_ref()) {
            return self.note(&format!("nothing was changed: {problem}"), emit);
        }
        // The steps that led to a rollback are replayed from the checkpoint before them, and must not be replayed with this.
        if self.rolled_back
            && what.values().any(|(setting, _)| setting.name != PROMPT)
            && let Err(error) = self.save(false, emit).await
        {
            return self.note(&format!("nothing was changed, since the run could not be saved before: {error}"), emit);
        }
        let step = self.state.step + 1;
        let mut changes = self.changes.clone();
        changes.add(step, what.clone());
        // What could not be replayed is not done.
        if let Err(error) = self.run.write_changes(&changes) {
            return self.note(&format!("nothing was changed, since it could not be written down: {error}"), emit);
        }
        self.changes = changes;
        self.note(&format!("from step {step} on, {}", what.values().map(describe).collect::<Vec<_>>().join(", ")), emit)
    }
}
