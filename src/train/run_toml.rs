//! `run.toml`: the settings of a run as TOML, between a line that announces a checksum and the checksum. Pure.

use super::config::TrainConfig;
use crate::formats::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// The first line. With it, a text that was cut is told from one of an earlier version.
const FIRST: &str = "# The settings of this run. The last line is a checksum of those above it.\n";
/// The last line, up to the checksum.
const LAST: &str = "# checksum ";
/// Settings that the file of every version has.
const ALWAYS: [&str; 9] = ["model", "seed", "batch", "seq", "steps", "lr", "checkpoint_every", "keep", "guard"];

/// The text of the file.
pub(super) fn text(config: &TrainConfig) -> String {
    let lines = format!("{FIRST}{}", toml::to_string(config).expect("settings are plain data"));
    format!("{lines}{LAST}{}\n", Digest::of(lines.as_bytes()))
}

/// Returns true if a text announces a checksum.
pub(super) fn has_checksum(text: &str) -> bool {
    text.starts_with(FIRST)
}

/// Refuses a text that is not as it was written, saying what is wrong with it.
pub(super) fn verify(text: &str) -> Result<(), String> {
    if let Some((lines, last)) = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n'))
        && let Some(digest) = last.strip_prefix(LAST)
    {
        let lines = &text[..lines.len() + 1];
        let same = digest.parse() == Ok(Digest::of(lines.as_bytes()));
        return if same { Ok(()) } else { Err("it was changed, or is damaged: its checksum is another".into()) };
    }
    if has_checksum(text) {
        return Err("it was cut off, or is damaged: its last line is not a checksum".into());
    }
    let table: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    match ALWAYS.iter().find(|name| !table.contains_key(**name)) {
        Some(name) if table.is_empty() => Err(format!("it is empty; {name} and all other settings are missing")),
        Some(name) => Err(format!("it is not whole: {name} is missing")),
        None if table["guard"].get("rollbacks").is_none() => Err("it is not whole: guard.rollbacks is missing".into()),
        None => Ok(()),
    }
}

/// Settings by their names; those of the guard begin with `guard.`.
fn flat(table: &toml::Table) -> BTreeMap<String, &toml::Value> {
    let mut flat = BTreeMap::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => flat.extend(inner.iter().map(|(field, value)| (format!("{name}.{field}"), value))),
            value => drop(flat.insert(name.clone(), value)),
        }
    }
    flat
}

/// The settings in which two tables differ, with both values; empty if in none.
pub(super) fn differences(then: &toml::Table, now: &toml::Table) -> String {
    let (then, now) = (flat(then), flat(now));
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let show = |value: Option<&&toml::Value>| value.map_or("none".to_string(), |value| value.to_string());
    let differs = names.into_iter().filter(|name| then.get(*name) != now.get(*name));
    differs.map(|name| format!("{name} was {}, is {}", show(then.get(name)), show(now.get(name)))).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
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
        (0..old.find("rollbacks").unwrap()).for_each(|length| assert!(verify(&old[..length]).is_err(), "cut to {length}"));
    }
}
