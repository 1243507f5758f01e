//! `run.toml`: the settings of a run as TOML, with a first line that announces a checksum and a last line with it. Pure.

use super::settings::{SETTINGS, SettingValue};
use super::train_config::TrainConfig;
use crate::formats::Digest;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// The first line. It distinguishes a truncated file from one of an earlier version, which has no checksum.
const FIRST: &str = "# The settings of this run. The last line is a checksum of those above it.\n";
/// The beginning of the last line.
const LAST: &str = "# checksum ";

/// Returns the text of the file.
pub(super) fn text(config: &TrainConfig) -> String {
    let lines = format!("{FIRST}{}", toml::to_string(config).expect("settings are plain data"));
    format!("{lines}{LAST}{}\n", Digest::of(lines.as_bytes()))
}

/// Returns true if a text announces a checksum.
pub(super) fn has_checksum(text: &str) -> bool {
    text.starts_with(FIRST)
}

/// Verifies a text by its checksum; the error says what is wrong.
pub(super) fn verify(text: &str) -> Result<(), String> {
    if let Some((lines, last)) = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n'))
        && let Some(digest) = last.strip_prefix(LAST)
    {
        let lines = &text[..lines.len() + 1];
        let same = digest.parse() == Ok(Digest::of(lines.as_bytes()));
        return if same { Ok(()) } else { Err("it was changed or is damaged: its checksum does not match".into()) };
    }
    if has_checksum(text) {
        return Err("it was truncated or is damaged: its last line is not a checksum".into());
    }
    let table: Table = text.parse().map_err(|error| format!("{error}"))?;
    match SETTINGS.iter().find(|setting| setting.before.is_none() && !has(&table, setting.name)) {
        Some(setting) if table.is_empty() => Err(format!("it is empty; {} and all other settings are missing", setting.name)),
        Some(setting) => Err(format!("it is incomplete: {} is missing", setting.name)),
        None => Ok(()),
    }
}

/// Parses the settings of a run. Settings that did not exist yet when the run was started are absent, and get the value
/// with which it was trained instead of today's default.
pub(super) fn read(text: &str) -> Result<TrainConfig, String> {
    let table: Table = text.parse().map_err(|error| format!("{error}"))?;
    // From the text if possible, so that errors name the line.
    let read = toml::from_str(text).or_else(|error| with_plain_paths(&table).ok_or(error)?.try_into());
    let mut config: TrainConfig = read.map_err(|error| error.to_string())?;
    for setting in SETTINGS.iter().filter(|setting| !has(&table, setting.name)) {
        if let Some(before) = setting.before {
            setting.parse(before).and_then(|before| setting.set(&mut config, before)).map_err(|problem| format!("{}: {problem}", setting.name))?;
        }
    }
    Ok(config)
}

fn has(table: &Table, name: &str) -> bool {
    match name.split_once('.') {
        Some((outer, inner)) => table.get(outer).is_some_and(|outer| outer.get(inner).is_some()),
        None => table.contains_key(name),
    }
}

/// Returns the settings of a text of the first versions, which wrote paths as tables; none if it has no such tables.
fn with_plain_paths(table: &Table) -> Option<Table> {
    let mut table = table.clone();
    let mut found = false;
    for (name, key) in [("teacher", "path"), ("tokenizer", "path"), ("init", "model")] {
        if let Some(path) = table.get(name).and_then(|value| value.get(key)).cloned() {
            table.insert(name.into(), path);
            found = true;
        }
    }
    found.then_some(table)
}

/// Returns the settings by name; those of the guard begin with `guard.`.
fn flat(table: &Table) -> BTreeMap<String, &Value> {
    let mut flat = BTreeMap::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => flat.extend(inner.iter().map(|(field, value)| (format!("{name}.{field}"), value))),
            value => drop(flat.insert(name.clone(), value)),
        }
    }
    flat
}

/// Describes the settings in which two configurations differ, with both values; empty if none do.
pub(super) fn changes(then: &TrainConfig, now: &TrainConfig) -> String {
    let show = |value: SettingValue| value.in_toml().map_or("none".to_string(), |value| value.to_string());
    let differs = SETTINGS.iter().filter(|setting| setting.get(then) != setting.get(now));
    differs.map(|setting| format!("{} was {}, is {}", setting.name, show(setting.get(then)), show(setting.get(now)))).collect::<Vec<_>>().join("; ")
}

/// Describes the settings in which two tables differ, with both values; empty if none do.
pub(super) fn differences(then: &Table, now: &Table) -> String {
    let (then, now) = (flat(then), flat(now));
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let show = |value: Option<&&Value>| value.map_or("none".to_string(), |value| value.to_string());
    let differs = names.into_iter().filter(|name| then.get(*name) != now.get(*name));
    differs.map(|name| format!("{name} was {}, is {}", show(then.get(name)), show(now.get(name)))).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::settings::tests::other;

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let text = text(&TrainConfig::default());
        assert_eq!(verify(&text), Ok(()));
        assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), TrainConfig::default());
        for bit in 0..8 * text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let harmless = String::from_utf8(bytes).is_ok_and(|text| verify(&text).is_ok());
            assert!(!harmless, "bit {bit}");
        }
        (0..text.len()).for_each(|length| assert!(verify(&text[..length]).is_err(), "cut to {length}"));
    }

    #[test]
    fn a_file_of_an_earlier_version_needs_no_checksum_but_all_its_settings() {
        let old = toml::to_string(&TrainConfig::default()).unwrap();
        assert_eq!(verify(&old), Ok(()));
        assert!(verify("").unwrap_err().contains("empty"));
        let cut = old.find("rollbacks").unwrap();
        assert!(verify(&old.replace("clip = 1.0\n", "")).unwrap_err().contains("clip is missing"));
        (0..cut).for_each(|length| assert!(verify(&old[..length]).is_err(), "cut to {length}"));
    }

    #[test]
    fn a_change_of_any_setting_is_named_as_toml_has_it() {
        let then = TrainConfig::default();
        assert_eq!(changes(&then, &then), "");
        for setting in SETTINGS {
            let mut now = then.clone();
            setting.set(&mut now, other(setting)).unwrap();
            let tables = [&then, &now].map(|config| Table::try_from(config).unwrap());
            assert_eq!(changes(&then, &now), differences(&tables[0], &tables[1]), "{}", setting.name);
            assert!(changes(&then, &now).starts_with(&format!("{} was ", setting.name)));
        }
    }

    #[test]
    fn an_absent_setting_has_its_value_from_before_it_existed() {
        let text = toml::to_string(&TrainConfig::default()).unwrap();
        assert_eq!(read(&text), Ok(TrainConfig::default()));
        for setting in SETTINGS.iter().filter(|setting| setting.before.is_some()) {
            let line = |line: &&str| !line.starts_with(&format!("{} = ", setting.name));
            let lacking: Vec<&str> = text.lines().filter(line).collect();
            assert_eq!(verify(&lacking.join("\n")), Ok(()));
            let config = read(&lacking.join("\n")).unwrap();
            assert_eq!(Some(&*setting.get(&config).to_string()), setting.before, "{}", setting.name);
        }
        assert!(read(&text.replace("lr = 0.002", "lr = \"fast\"")).unwrap_err().contains("line"));
        assert!(read("[teacher]\nname = \"x\"\n").is_err());
    }
}
