//! Changes of settings while a run trains: written to its directory first, then applied.

use super::{Emit, TrainError, Trainer};
use crate::data::Tokenizer;
use crate::infer::Engine;
use crate::train::changes::{Changed, Changes};
use crate::train::settings::{Setting, SettingValue};
use crate::train::train_config::TrainConfig;

/// The engine for samples, and the tokens of their prompt.
type SampleEngine = (Engine, Vec<u32>);

/// Checks that this run can continue with these changes.
pub(super) fn check_changes(changes: &Changes, config: &TrainConfig, tokenizer: &Tokenizer, sampler: Option<&SampleEngine>) -> Result<(), String> {
    changes.all().try_for_each(|changed| check_change(changed, config, tokenizer, sampler))
}

/// The setting that requires samples, and does not change the trained bits.
const PROMPT: &str = "sample_prompt";

fn check_change(changed: &Changed, config: &TrainConfig, tokenizer: &Tokenizer, sampler: Option<&SampleEngine>) -> Result<(), String> {
    let mut now = config.clone();
    changed.apply(&mut now)?;
    now.check().map_err(|error| error.to_string())?;
    let (Some(_), Some((engine, _))) = (changed.get(PROMPT), sampler) else { return Ok(()) };
    let tokens = tokenizer.encode(&now.sample_prompt).map_err(|error| format!("{PROMPT}: {error}"))?.len();
    let room = engine.capacity() - config.sample_tokens - 1;
    if (1..=room).contains(&tokens) { Ok(()) } else { Err(format!("{PROMPT} has {tokens} tokens; must be 1 to {room}, for which there is memory")) }
}

/// Formats a setting and its value for a note.
fn describe((setting, value): (&Setting, &SettingValue)) -> String {
    match value {
        SettingValue::Real(value) => format!("{} is {value}", setting.name),
        SettingValue::Text(text) => format!("{} is {text:?}", setting.name),
        value => format!("{} is {value}", setting.name),
    }
}

impl Trainer {
    /// Changes settings from the next step on, or logs the reason why not.
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
        // A resume replays the steps that led to a rollback from the checkpoint before them, without this change: save first.
        if self.rolled_back
            && what.values().any(|(setting, _)| setting.name != PROMPT)
            && let Err(error) = self.save(false, emit).await
        {
            return self.note(&format!("nothing was changed: cannot save the run before the change: {error}"), emit);
        }
        let step = self.state.step + 1;
        let mut changes = self.changes.clone();
        changes.add(step, what.clone());
        // A change that cannot be replayed is not applied.
        if let Err(error) = self.run.write_changes(&changes) {
            return self.note(&format!("nothing was changed: cannot write changes.jsonl: {error}"), emit);
        }
        self.changes = changes;
        self.note(&format!("from step {step} on, {}", what.values().map(describe).collect::<Vec<_>>().join(", ")), emit)
    }
}
