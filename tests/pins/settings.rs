//! docs/settings.md, written from the table of settings.

use super::compare_file;
use signet::runner::{PathKind, SETTINGS, Setting, SettingGroup, SettingKind, SettingValue};
use std::fmt::Write;

const HEAD: &str = "# Settings

<!-- Written from src/train/settings/settings_table.rs by `UPDATE_PINS=1 cargo test pins`. -->

A run is described by its settings. `signet train` takes each as an option, `--config FILE` and a sweep's `[base]` and `[grid]` take them by their names in TOML (`lr = 1e-3`; `guard.window = 64`, or `window = 64` under `[guard]`), and the app's form shows them by their labels. A run keeps all of its settings in `runs/NAME/run.toml`; a resume refuses others.
";

/// A whole number of a range: large powers of two as such.
fn whole(value: u64) -> String {
    match value {
        0..=65_535 => value.to_string(),
        value if value == i64::MAX as u64 => "2^63 − 1".into(),
        value if value.is_power_of_two() => format!("2^{}", value.ilog2()),
        value => value.to_string(),
    }
}

fn path(kind: PathKind) -> &'static str {
    match kind {
        PathKind::File => "the path of a file",
        PathKind::Folder => "the path of a folder",
        PathKind::FileOrFolder => "the path of a file or folder",
    }
}

/// The values that a setting can have.
fn values(setting: &Setting) -> String {
    let words = |words: &[(&str, &str)]| words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match setting.kind {
        SettingKind::Flag => "`true`, `false`".into(),
        SettingKind::Whole(least, most) => format!("whole number, {} to {}", whole(least), whole(most)),
        SettingKind::Real(least, most) => format!("number, {} to {}", SettingValue::Real(least), SettingValue::Real(most)),
        SettingKind::PowerOfTwo(most) => format!("power of two, 2^-{most} to 2^{most}"),
        SettingKind::Text => "text".into(),
        SettingKind::Choice(choices) => words(choices),
        SettingKind::Named(choices, kind) => format!("{}, or {}", words(choices), path(kind)),
        SettingKind::Path(_, kind) => format!("{}; none without a line", path(kind)),
        SettingKind::Paths => "list of paths and patterns".into(),
    }
}

/// The option of a setting as it is given.
fn option(setting: &Setting) -> String {
    let opposite = if setting.inverted { " (the opposite)" } else { "" };
    format!("`--{}`{opposite}", setting.option())
}

fn default(setting: &Setting) -> String {
    match setting.default().to_string() {
        text if text.is_empty() => "empty".into(),
        _ if matches!(setting.kind, SettingKind::Path(..)) => "no line".into(),
        text => format!("`{}`", text.replace('|', "\\|")),
    }
}

/// A group's settings, and the meanings of their words.
fn section(group: SettingGroup, to: &mut String) {
    writeln!(to, "\n## {}\n\n| setting | in the form | option | value | default | what it does |\n| --- | --- | --- | --- | --- | --- |", group.title())
        .unwrap();
    for setting in group.settings() {
        let Setting { name, label, help, .. } = setting;
        let (option, values, default) = (option(setting), values(setting), default(setting));
        writeln!(to, "| `{name}` | {label} | {option} | {values} | {default} | {help} |").unwrap();
    }
    let mut gap = "\n";
    for setting in group.settings() {
        let (SettingKind::Choice(words) | SettingKind::Named(words, _)) = setting.kind else { continue };
        let words: Vec<String> = words.iter().map(|(word, meaning)| format!("`{word}` ({meaning})")).collect();
        writeln!(to, "{gap}- `{}`: {}", setting.name, words.join(", ")).unwrap();
        gap = "";
    }
}

#[test]
fn settings_page() {
    let mut page = HEAD.to_string();
    SettingGroup::ALL.into_iter().for_each(|group| section(group, &mut page));
    let live: Vec<String> = SETTINGS.iter().filter(|setting| setting.live).map(|setting| format!("`{}`", setting.name)).collect();
    let text = "can be changed from the app while a run trains. `changes.jsonl` keeps the changes, and a resume replays them (docs/formats.md).";
    writeln!(page, "\n## Changes while a run trains\n\n{} {text}", live.join(" and ")).unwrap();
    let text = "A run that was begun before a setting existed has no line for it. It keeps the value that it was trained with, whatever the default is \
                today. A new run takes today's default for what a file does not name, unless the file is the `run.toml` of a run.";
    writeln!(page, "\n## Runs of earlier versions\n\n{text}\n\n| setting | without a line in `run.toml` |\n| --- | --- |").unwrap();
    for setting in SETTINGS {
        if let Some(before) = setting.before {
            writeln!(page, "| `{}` | `{before}` |", setting.name).unwrap();
        }
    }
    for setting in SETTINGS {
        assert!(page.matches(&format!("\n| `{}` | {} |", setting.name, setting.label)).count() == 1, "{} is not in the page", setting.name);
    }
    compare_file("docs/settings.md", &page);
}
