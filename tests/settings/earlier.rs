//! Run directories of every earlier version that changed settings: a setting that their `run.toml` lacks has the value that it
//! had before it existed. In `earlier/`, `run.toml` as the commit of its name wrote it, with other values than the defaults.

use crate::train::Scratch;
use signet::runner::{Command, Event, Runner, SETTINGS, SettingValue, Stop, TrainConfig, settings, settings_over};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A setting, and its value in a run that was begun before it existed.
type Lacks = (&'static str, &'static str);

const STORAGE: Lacks = ("teacher_storage", "f32");
const MOMENTS: Lacks = ("moments", "f32");
const RECOMPUTE: Lacks = ("recompute", "off");
const PRECISION: Lacks = ("precision", "f32");
const CACHE: [Lacks; 2] = [("teacher_cache", "none"), ("eval_teacher", "false")];
const DIVERGENCE: Lacks = ("divergence", "forward");
const TEXT: [Lacks; 4] = [("field", "auto"), ("held_out_share", "0.02"), ("held_out", "none"), ("shuffle", "0")];

/// The files, and the settings that each lacks.
fn earlier() -> Vec<(&'static str, Vec<Lacks>)> {
    let all = |some: &[Lacks], more: &[&[Lacks]]| [some, &more.concat()].concat();
    let late: &[&[Lacks]] = &[&[DIVERGENCE], &TEXT];
    let first = all(&[STORAGE, MOMENTS, RECOMPUTE, PRECISION], &[&CACHE, &[DIVERGENCE], &TEXT]);
    vec![
        ("dedc836-none", all(&[("teacher", "none")], &[&first])),
        ("dedc836-paths", first.clone()),
        ("19ede56", first),
        ("c80a508", all(&[STORAGE, MOMENTS, PRECISION], &[&CACHE, &[DIVERGENCE], &TEXT])),
        ("6adceba", all(&[STORAGE, MOMENTS], &[&CACHE, &[DIVERGENCE], &TEXT])),
        ("96ddcbf", all(&[MOMENTS, RECOMPUTE, PRECISION], &[&CACHE, &[DIVERGENCE], &TEXT])),
        ("21c57e3", all(&[RECOMPUTE, PRECISION], &[&CACHE, &[DIVERGENCE], &TEXT])),
        ("b549429", all(&[PRECISION], &[&CACHE, &[DIVERGENCE], &TEXT])),
        ("3127ecd", all(&CACHE, late)),
        ("f26a819", all(&[STORAGE, MOMENTS, RECOMPUTE, PRECISION], late)),
        ("49f7b03", all(&[STORAGE, MOMENTS, PRECISION], late)),
        ("50de807", all(&[STORAGE, MOMENTS], late)),
        ("fa9a541", all(&[], late)),
        ("488f6e1", TEXT.to_vec()),
        ("8a76973", vec![DIVERGENCE]),
        ("a7ce91e", vec![]),
    ]
}

fn file(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/settings/earlier")).join(name).with_extension("toml")
}

/// The value of a setting as a file has it; the first versions wrote paths as tables of one line.
fn written(table: &toml::Table, name: &str) -> Option<String> {
    let found = name.split_once('.').map_or_else(|| table.get(name), |(outer, inner)| table.get(outer)?.get(inner))?;
    Some(match found {
        toml::Value::Table(path) => path.values().next()?.as_str()?.to_string(),
        toml::Value::Array(texts) => texts.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(" "),
        toml::Value::Float(number) => SettingValue::Real(*number).to_string(),
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// The settings of the run in a directory, as it is described.
fn described(path: &Path) -> Option<TrainConfig> {
    let mut found = None;
    let told = &mut |event| {
        let Event::Run { run: Some(run), .. } = event else { return };
        assert_eq!(run.problem, None, "a setting that is newer than this file needs `.before(…)` in src/train/settings/settings_table.rs");
        found = run.config;
    };
    Runner::new(Stop::default()).run(Command::DescribeRun { path: path.into() }, told).unwrap();
    found.map(|config| *config)
}

#[test]
fn a_run_of_an_earlier_version_has_the_settings_that_it_was_trained_with() {
    let scratch = Scratch::new("earlier");
    for (name, lacks) in earlier() {
        let text = std::fs::read_to_string(file(name)).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let run = scratch.path(name);
        std::fs::create_dir_all(run.join("checkpoints")).unwrap();
        std::fs::write(run.join("run.toml"), &text).unwrap();
        let config = described(&run).unwrap_or_else(|| panic!("{name} is no run"));
        assert_eq!(settings(&run.join("run.toml")).unwrap(), config, "{name}");
        for setting in SETTINGS {
            let lacking = lacks.iter().find(|(lacking, _)| *lacking == setting.name).map(|(_, value)| value.to_string());
            let now = setting.get(&config).to_string();
            match (written(&table, setting.name), lacking) {
                (Some(value), None) => assert_eq!(now, value, "{name}: {}", setting.name),
                (None, Some(value)) => assert_eq!(now, value, "{name}, which lacks {}", setting.name),
                // A setting that is newer than all of the files.
                (None, None) => assert_eq!(Some(&*now), setting.before, "{name}, which lacks {}", setting.name),
                (Some(_), Some(_)) => panic!("{name} does not lack {}", setting.name),
            }
        }
    }
    let files: BTreeSet<PathBuf> = std::fs::read_dir(file("x").parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, earlier().iter().map(|(name, _)| file(name)).collect());
}

#[test]
fn a_new_run_uses_current_defaults_for_missing_settings() {
    let path = file("19ede56");
    for config in [settings(&path), settings_over(&TrainConfig::default(), &path)] {
        let config = config.unwrap();
        let lacks = earlier().into_iter().find(|(name, _)| *name == "19ede56").unwrap().1;
        for (name, _) in lacks {
            let setting = signet::runner::setting(name).unwrap();
            assert_eq!(setting.get(&config), setting.default(), "{name}");
        }
        assert_eq!(config.steps, 500);
    }
}

#[test]
fn all_readers_of_run_toml_agree() {
    let scratch = Scratch::new("earlier-same");
    std::fs::create_dir_all(scratch.path("checkpoints")).unwrap();
    let path = scratch.path("run.toml");
    for (name, _) in earlier() {
        std::fs::copy(file(name), &path).unwrap();
        let over = settings_over(&TrainConfig { seed: 9, ..TrainConfig::default() }, &path).unwrap();
        assert_eq!(settings(&path).unwrap(), over, "{name}");
    }
}

#[test]
fn a_missing_line_that_every_version_wrote_is_named() {
    let scratch = Scratch::new("earlier-cut");
    std::fs::create_dir_all(scratch.path("checkpoints")).unwrap();
    let path = scratch.path("run.toml");
    let text = std::fs::read_to_string(file("19ede56")).unwrap();
    for line in ["lr = 0.001\n", "norm_z = 9.0\n"] {
        std::fs::write(&path, text.replace(line, "")).unwrap();
        let error = format!("{:#}", settings(&path).unwrap_err());
        let name = if line.starts_with("lr") { "lr" } else { "guard.norm_z" };
        assert!(error.contains(&format!("{name} is missing")), "{error}");
    }
}
