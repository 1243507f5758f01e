//! What was changed while a run trained, by the step from which it holds: `changes.jsonl`, which a
//! resume and a rollback replay. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings that took another value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changed {
    /// The schedule's highest learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// What samples continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_prompt: Option<String>,
}

/// A line of `changes.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    step: u64,
    #[serde(flatten)]
    what: Changed,
}

/// All changes of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(BTreeMap<u64, Changed>);

impl Changes {
    /// From the lines of a file; an error names the line.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut changes = Self::default();
        for (n, line) in text.lines().enumerate() {
            let Line { step, what } = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", n + 1))?;
            changes.add(step, what);
        }
        Ok(changes)
    }

    /// The lines of a file.
    pub fn text(&self) -> String {
        let line = |(&step, what): (&u64, &Changed)| serde_json::to_string(&Line { step, what: what.clone() }).expect("changes are plain data") + "\n";
        self.0.iter().map(line).collect()
    }

    /// Adds what holds from `step` on. Where the run went back and is told otherwise, what it was told
    /// of later steps is forgotten.
    pub fn add(&mut self, step: u64, what: Changed) {
        for later in self.0.range_mut(step..).map(|(_, later)| later) {
            later.lr = later.lr.take().filter(|_| what.lr.is_none());
            later.sample_prompt = later.sample_prompt.take().filter(|_| what.sample_prompt.is_none());
        }
        let here = self.0.entry(step).or_default();
        here.lr = what.lr.or(here.lr);
        here.sample_prompt = what.sample_prompt.or(here.sample_prompt.take());
        self.0.retain(|_, what| *what != Changed::default());
    }

    /// Those that hold from `step` on or earlier.
    pub fn until(&self, step: u64) -> Self {
        Self(self.0.range(..=step).map(|(&step, what)| (step, what.clone())).collect())
    }

    /// Returns true if all of these are among others.
    pub fn is_part_of(&self, others: &Self) -> bool {
        self.0.iter().all(|(step, what)| others.0.get(step) == Some(what))
    }

    /// What changed with `step`.
    pub fn at(&self, step: u64) -> Option<&Changed> {
        self.0.get(&step)
    }

    /// Every change.
    pub fn all(&self) -> impl Iterator<Item = &Changed> {
        self.0.values()
    }

    /// The highest learning rate that holds at `step`, if it was changed.
    pub fn lr(&self, step: u64) -> Option<f64> {
        self.0.range(..=step).rev().find_map(|(_, what)| what.lr)
    }

    /// What samples continue at `step`, if it was changed.
    pub fn sample_prompt(&self, step: u64) -> Option<&str> {
        self.0.range(..=step).rev().find_map(|(_, what)| what.sample_prompt.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::SETTINGS;

    fn rate(lr: f64) -> Changed {
        Changed { lr: Some(lr), ..Changed::default() }
    }

    #[test]
    fn what_can_change_is_what_the_table_of_settings_says() {
        // All of its fields: a new one does not compile until it is here.
        let all = Changed { lr: Some(0.5), sample_prompt: Some("a".into()) };
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(all) else { panic!("no object") };
        let live: Vec<&str> = SETTINGS.iter().filter(|setting| setting.live).map(|setting| setting.name).collect();
        assert_eq!(fields.keys().collect::<Vec<_>>(), live);
    }

    #[test]
    fn a_change_holds_from_its_step_until_the_next() {
        let mut changes = Changes::default();
        changes.add(9, rate(0.3));
        changes.add(5, Changed { sample_prompt: Some("a \"b\"\nc".into()), ..rate(0.1) });
        changes.add(9, Changed { sample_prompt: Some("d".into()), ..Changed::default() });
        // What was said at 5 came after what was said of 9.
        assert_eq!([4, 5, 8, 9].map(|step| changes.lr(step)), [None, Some(0.1), Some(0.1), Some(0.1)]);
        changes.add(9, rate(0.2));
        assert_eq!([8, 9, 10].map(|step| changes.lr(step)), [Some(0.1), Some(0.2), Some(0.2)]);
        assert_eq!([4, 8, 9].map(|step| changes.sample_prompt(step)), [None, Some("a \"b\"\nc"), Some("d")]);
        assert_eq!(Changes::read(&changes.text()), Ok(changes));
        assert!(Changes::read("{\"step\": 1, \"lr\": 2}\n{").unwrap_err().starts_with("line 2"));
    }
}
