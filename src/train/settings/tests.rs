//! Tests that the table has a valid row for each field of the settings.

use super::*;
use std::collections::BTreeSet;

/// Returns settings with a value for each optional one.
fn full() -> TrainConfig {
    TrainConfig { teacher_cache: Some("c".into()), held_out: Some("h".into()), ..TrainConfig::default() }
}

/// Returns names and values as in TOML, with full names for those of inner tables.
fn flat(config: &TrainConfig) -> std::collections::BTreeMap<String, String> {
    let mut all = std::collections::BTreeMap::new();
    for (name, value) in toml::Table::try_from(config).unwrap() {
        match value {
            toml::Value::Table(inner) => all.extend(inner.into_iter().map(|(field, value)| (format!("{name}.{field}"), value.to_string()))),
            value => _ = all.insert(name, value.to_string()),
        }
    }
    all
}

/// Returns a value of a setting within its range that is not the default.
pub(in crate::train) fn other(setting: &Setting) -> SettingValue {
    match (setting.kind, setting.default()) {
        (_, SettingValue::Flag(value)) => SettingValue::Flag(!value),
        (_, SettingValue::Whole(value)) => SettingValue::Whole(value + 1),
        (_, SettingValue::Real(value)) => SettingValue::Real(value / 2.0),
        (SettingKind::Choice(words), SettingValue::Text(now)) => SettingValue::Text(words.iter().find(|(word, _)| *word != now).unwrap().0.into()),
        (_, SettingValue::Text(_)) => SettingValue::Text("other".into()),
        (_, SettingValue::Path(_)) => SettingValue::Path(Some("other".into())),
        (_, SettingValue::Paths(_)) => SettingValue::Paths(vec!["other".into()]),
    }
}

#[test]
fn every_field_of_the_settings_has_a_row() {
    let fields: BTreeSet<String> = flat(&full()).into_keys().collect();
    let rows: BTreeSet<String> = SETTINGS.iter().map(|setting| setting.name.to_string()).collect();
    let missing: Vec<&String> = fields.difference(&rows).collect();
    assert!(missing.is_empty(), "src/train/settings/settings_table.rs has no row for {missing:?}");
    assert_eq!(rows, fields);
    assert_eq!(rows.len(), SETTINGS.len(), "a setting has two rows");
}

#[test]
fn a_row_sets_the_field_of_its_name_and_no_other() {
    for setting in SETTINGS {
        let (mut config, value) = (TrainConfig::default(), other(setting));
        setting.set(&mut config, value.clone()).unwrap();
        assert_eq!(setting.get(&config), value, "{}", setting.name);
        let (before, after) = (flat(&TrainConfig::default()), flat(&config));
        let changed: Vec<&String> = after.iter().filter(|(name, value)| before.get(*name) != Some(*value)).map(|(name, _)| name).collect();
        assert_eq!(changed, [setting.name]);
        assert!(setting.set(&mut config, SettingValue::Paths(vec![])).is_err() || setting.kind == SettingKind::Paths, "{}", setting.name);
    }
}

#[test]
fn a_row_has_one_line_of_help_and_a_unique_position_and_option() {
    let mut seen = BTreeSet::new();
    for setting in SETTINGS {
        for text in [setting.label, setting.help, setting.option_help] {
            assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{}: {text:?}", setting.name);
        }
        assert!(seen.insert(setting.option()) && seen.insert(setting.label.into()), "{}: option or label is taken", setting.name);
        assert!(!setting.inverted || setting.kind == SettingKind::Flag, "{}", setting.name);
    }
    for group in SettingGroup::ALL {
        let positions: Vec<u8> = group.settings().map(|setting| setting.position).collect();
        assert!(!positions.is_empty() && positions.iter().copied().eq(1..=positions.len() as u8), "{group:?}: {positions:?}");
    }
    assert_eq!(SettingGroup::ALL.map(|group| group.settings().count()).iter().sum::<usize>(), SETTINGS.len());
}

#[test]
fn the_help_of_the_model_names_every_preset() {
    assert!(setting("model").unwrap().option_help.starts_with(&format!("Model size: {}, or ", crate::model::PRESETS.join(", "))));
}

#[test]
fn formatted_values_parse_to_the_same_value() {
    for setting in SETTINGS {
        for value in [setting.default(), other(setting)] {
            assert_eq!(setting.parse(&value.to_string()), Ok(value), "{}", setting.name);
        }
        if let Some(before) = setting.before {
            let value = setting.parse(before).unwrap();
            assert_eq!(value.to_string(), before);
            setting.set(&mut TrainConfig::default(), value).unwrap();
        }
    }
}

#[test]
fn a_choice_lists_exactly_the_names_of_its_enum() {
    let mut choices = 0;
    for setting in SETTINGS {
        let SettingKind::Choice(words) = setting.kind else { continue };
        let error = setting.set(&mut TrainConfig::default(), SettingValue::Text("?".into())).unwrap_err();
        // unknown variant `?`, expected one of `a`, `b`
        let known: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(words.iter().map(|(word, _)| *word).collect::<BTreeSet<_>>(), known, "{}", setting.name);
        choices += 1;
    }
    assert!(choices > 5);
}

#[test]
fn defaults_are_in_range_and_bounds_are_inclusive() {
    for setting in SETTINGS {
        let check = |value: SettingValue| {
            let mut config = TrainConfig::default();
            setting.set(&mut config, value).unwrap();
            setting.check(&config).map_err(|error| error.name)
        };
        assert_eq!(check(setting.default()), Ok(()), "{}", setting.name);
        let (good, bad): (Vec<SettingValue>, Vec<SettingValue>) = match setting.kind {
            SettingKind::Whole(min, max) => {
                ([min, max].map(SettingValue::Whole).into(), [min.checked_sub(1), max.checked_add(1)].into_iter().flatten().map(SettingValue::Whole).collect())
            }
            SettingKind::Real(min, max) => {
                ([min, max].map(SettingValue::Real).into(), [min.next_down(), max.next_up(), f64::NAN].map(SettingValue::Real).into())
            }
            SettingKind::PowerOfTwo(max) => {
                let powers = |exponents: [i32; 2]| exponents.map(|exponent| SettingValue::Real(2f64.powi(exponent)));
                let max = i32::from(max);
                (powers([-max, max]).into(), [&powers([-max - 1, max + 1])[..], &[SettingValue::Real(3.0), SettingValue::Real(f64::NAN)]].concat())
            }
            _ => continue,
        };
        good.into_iter().for_each(|value| assert_eq!(check(value), Ok(()), "{}", setting.name));
        bad.into_iter().for_each(|value| assert_eq!(check(value.clone()), Err(setting.name), "{} = {value}", setting.name));
    }
}
