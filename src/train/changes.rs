//! Changes of settings while a run trains, by the first step to which they apply: `changes.jsonl`, which a
//! resume and a rollback replay. Only settings that are live in the table can be changed. Pure.

use super::settings::{SETTINGS, Setting, SettingValue};
use super::train_config::TrainConfig;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Changed values of live settings, by their indices in the table. In JSON they are fields by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changed(BTreeMap<usize, SettingValue>);

/// Returns the live setting of a name, with its index in the table.
fn live(name: &str) -> Option<(usize, &'static Setting)> {
    SETTINGS.iter().enumerate().find(|(_, setting)| setting.live && setting.name == name)
}

impl Changed {
    /// A change of one setting.
    ///
    /// # Panics
    /// If no live setting has this name.
    pub fn new(name: &str, value: impl Into<SettingValue>) -> Self {
        let (index, _) = live(name).unwrap_or_else(|| panic!("{name} is not a live setting"));
        Self(BTreeMap::from([(index, value.into())]))
    }

    /// Returns true if nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings with their values, in the order of the table.
    pub fn values(&self) -> impl Iterator<Item = (&'static Setting, &SettingValue)> {
        self.0.iter().map(|(&index, value)| (&SETTINGS[index], value))
    }

    /// Returns the changed value of a setting, if it changed.
    pub fn get(&self, name: &str) -> Option<&SettingValue> {
        self.values().find(|(setting, _)| setting.name == name).map(|(_, value)| value)
    }

    /// Applies the changes to `config`; an error names a value of the wrong type. Ranges are not checked.
    pub fn apply(&self, config: &mut TrainConfig) -> Result<(), String> {
        self.values().try_for_each(|(setting, value)| setting.set(config, value.clone()).map_err(|problem| format!("{}: {problem}", setting.name)))
    }
}

impl Serialize for Changed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // No live setting is an optional path.
        to.collect_map(self.values().map(|(setting, value)| (setting.name, value.in_toml())))
    }
}

impl<'de> Deserialize<'de> for Changed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Changed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("settings that were changed")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Changed, A::Error> {
                let mut changed = Changed::default();
                while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
                    // Unknown fields, which a later version may have, are skipped.
                    let Some((index, setting)) = live(&name).filter(|_| !value.is_null()) else { continue };
                    let value = setting.read_json(&value).ok_or_else(|| A::Error::custom(format!("{name} cannot be {value}")))?;
                    changed.0.insert(index, value);
                }
                Ok(changed)
            }
        }

        from.deserialize_map(Fields)
    }
}

/// A line of `changes.jsonl`.
#[derive(Serialize, Deserialize)]
struct ChangeRecord {
    step: u64,
    #[serde(flatten)]
    what: Changed,
}

/// All changes of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(BTreeMap<u64, Changed>);

impl Changes {
    /// Parses the lines of a file; an error names the line.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut changes = Self::default();
        for (n, line) in text.lines().enumerate() {
            let ChangeRecord { step, what } = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", n + 1))?;
            changes.add(step, what);
        }
        Ok(changes)
    }

    /// Formats the lines of a file.
    pub fn text(&self) -> String {
        let line = |(&step, what): (&u64, &Changed)| serde_json::to_string(&ChangeRecord { step, what: what.clone() }).expect("changes are plain data") + "\n";
        self.0.iter().map(line).collect()
    }

    /// Adds a change that applies from `step` on. It replaces changes of the same settings at later steps,
    /// which remain after a rollback.
    pub fn add(&mut self, step: u64, what: Changed) {
        for (_, later) in self.0.range_mut(step..) {
            later.0.retain(|index, _| !what.0.contains_key(index));
        }
        self.0.entry(step).or_default().0.extend(what.0);
        self.0.retain(|_, what| !what.is_empty());
    }

    /// Returns the changes that apply from `step` or an earlier step on.
    pub fn until(&self, step: u64) -> Self {
        Self(self.0.range(..=step).map(|(&step, what)| (step, what.clone())).collect())
    }

    /// Returns true if `others` has all of these changes.
    pub fn is_part_of(&self, others: &Self) -> bool {
        self.0.iter().all(|(step, what)| others.0.get(step) == Some(what))
    }

    /// Returns the change at `step`.
    pub fn at(&self, step: u64) -> Option<&Changed> {
        self.0.get(&step)
    }

    /// Every change.
    pub fn all(&self) -> impl Iterator<Item = &Changed> {
        self.0.values()
    }

    /// Returns the settings at `step` of a run that was started with `config`.
    ///
    /// # Panics
    /// If a value has not the type of its setting; `Trainer` checks changes when it reads or receives them.
    pub fn over(&self, config: &TrainConfig, step: u64) -> TrainConfig {
        let mut now = config.clone();
        for (_, what) in self.0.range(..=step) {
            what.apply(&mut now).expect("changes are checked before they are applied");
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::settings::tests::other;

    fn rate(lr: f64) -> Changed {
        Changed::new("lr", lr)
    }

    fn prompt(text: &str) -> Changed {
        Changed::new("sample_prompt", text.to_string())
    }

    #[test]
    fn the_live_settings_of_the_table_can_change() {
        let config = TrainConfig::default();
        let mut changes = Changes::default();
        for setting in SETTINGS.iter().filter(|setting| setting.live) {
            changes.add(5, Changed::new(setting.name, other(setting)));
            assert_eq!(setting.get(&changes.over(&config, 5)), other(setting), "{}", setting.name);
            assert!(changes.over(&config, 4) == config, "{}", setting.name);
        }
        assert_eq!(Changes::read(&changes.text()), Ok(changes.clone()));
        let live = || SETTINGS.iter().filter(|setting| setting.live).map(|setting| setting.name);
        assert!(changes.at(5).unwrap().values().map(|(setting, _)| setting.name).eq(live()) && live().count() > 1);
        let fixed = SETTINGS.iter().find(|setting| !setting.live).unwrap().name;
        assert_eq!(Changes::read(&format!("{{\"step\":5,\"{fixed}\":1}}")), Ok(Changes::default()));
        assert!(std::panic::catch_unwind(|| Changed::new(fixed, 1.0)).is_err());
    }

    #[test]
    fn a_change_applies_from_its_step_until_the_next() {
        let config = TrainConfig::default();
        let rates = |changes: &Changes, steps: [u64; 4]| steps.map(|step| changes.over(&config, step).lr);
        let mut changes = Changes::default();
        changes.add(9, rate(0.3));
        changes.add(5, rate(0.1));
        changes.add(5, prompt("a \"b\"\nc"));
        changes.add(9, prompt("d"));
        // The change at 5 was added after that at 9, and replaces it.
        assert_eq!(rates(&changes, [4, 5, 8, 9]), [config.lr, 0.1, 0.1, 0.1]);
        changes.add(9, rate(0.2));
        assert_eq!(rates(&changes, [4, 8, 9, 10]), [config.lr, 0.1, 0.2, 0.2]);
        assert_eq!([4, 8, 9].map(|step| changes.over(&config, step).sample_prompt), [&*config.sample_prompt, "a \"b\"\nc", "d"]);
        assert_eq!(changes.text(), "{\"step\":5,\"lr\":0.1,\"sample_prompt\":\"a \\\"b\\\"\\nc\"}\n{\"step\":9,\"lr\":0.2,\"sample_prompt\":\"d\"}\n");
        assert_eq!(Changes::read(&changes.text()), Ok(changes));
        assert_eq!(Changes::read("{\"step\": 1, \"lr\": 2, \"sample_prompt\": null, \"new\": []}"), Changes::read("{\"step\":1,\"lr\":2.0}"));
        assert!(Changes::read("{\"step\": 1, \"lr\": 2}\n{").unwrap_err().starts_with("line 2"));
        let error = Changes::read("{\"step\": 1, \"lr\": \"fast\"}").unwrap_err();
        assert!(error.starts_with("line 1: lr cannot be \"fast\""), "{error}");
    }
}
