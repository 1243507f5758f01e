//! Sweeps: grids of runs in a TOML file. `[base]` has settings as in a `run.toml`, and `[grid]` a list of values
//! for each varied setting; every combination is a run. Several `[[grid]]` follow each other. Pure.

use super::run_dir::check_name;
use super::train_config::TrainConfig;
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// Most runs of a sweep: more are probably a mistake.
const MAX_RUNS: usize = 4096;

/// A run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name, from the varied settings and their values.
    pub name: String,
    /// Its settings.
    pub config: TrainConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    base: TrainConfig,
    grid: Value,
}

/// Parses the runs of a sweep, in order. An error names the key, or the run and its invalid setting.
pub fn members(text: &str) -> Result<Vec<Member>, String> {
    let File { base, grid } = toml::from_str(text).map_err(|error| error.to_string())?;
    let base = Table::try_from(&base).expect("settings are plain data");
    let grids = match grid {
        Value::Table(grid) => vec![grid],
        Value::Array(grids) => {
            grids.into_iter().map(|grid| if let Value::Table(grid) = grid { Ok(grid) } else { Err(no_table(&grid)) }).collect::<Result<_, _>>()?
        }
        other => return Err(no_table(&other)),
    };
    let mut members = Vec::new();
    for grid in &grids {
        add(&base, grid, &mut members)?;
    }
    let mut names = BTreeSet::new();
    match members.iter().find(|member: &&Member| !names.insert(member.name.to_lowercase())) {
        Some(Member { name, .. }) => Err(format!("grid: two runs have the name {name}; list each combination once")),
        None => Ok(members),
    }
}

fn no_table(value: &Value) -> String {
    format!("grid = {value}: must be a table with a list for each varied setting, as in seed = [1, 2, 3]")
}

/// Adds every combination of a grid.
fn add(base: &Table, grid: &Table, members: &mut Vec<Member>) -> Result<(), String> {
    let mut lists = Vec::new();
    collect_lists("", grid, base, &mut lists)?;
    if lists.is_empty() {
        return Err("grid: nothing is varied; add a list for a setting, as in seed = [1, 2, 3]".into());
    }
    let runs = lists.iter().try_fold(1usize, |runs, (_, values)| runs.checked_mul(values.len())).filter(|runs| runs + members.len() <= MAX_RUNS);
    let runs = runs.ok_or_else(|| format!("grid: these lists have more than {MAX_RUNS} combinations; shorten one"))?;
    for n in 0..runs {
        let (mut table, mut parts, mut later) = (base.clone(), Vec::new(), runs);
        for (key, values) in &lists {
            later /= values.len();
            let value = &values[n / later % values.len()];
            set(&mut table, key, value.clone());
            parts.push(format!("{key}-{}", plain(value)));
        }
        let name = parts.join("_");
        check_name(&name).map_err(|error| error.to_string())?;
        let config: TrainConfig = table.try_into().map_err(|error| format!("{name}: {error}"))?;
        config.check().map_err(|error| format!("{name}: {error}"))?;
        members.push(Member { name, config });
    }
    Ok(())
}

/// Collects the lists of a grid by the full names of their settings; checks each value alone.
fn collect_lists(prefix: &str, grid: &Table, base: &Table, lists: &mut Vec<(String, Vec<Value>)>) -> Result<(), String> {
    for (key, value) in grid {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => collect_lists(&format!("{key}."), inner, base, lists)?,
            Value::Array(values) if values.is_empty() => return Err(format!("grid.{key}: the list is empty; add values, or remove it")),
            Value::Array(values) => {
                for value in values {
                    let mut table = base.clone();
                    set(&mut table, &key, value.clone());
                    table.try_into::<TrainConfig>().map_err(|error| format!("grid.{key} = {value}: {}", error.message()))?;
                }
                lists.push((key, values.clone()));
            }
            value => return Err(format!("grid.{key} = {value}: must be a list of values, as in {key} = [{value}]")),
        }
    }
    Ok(())
}

/// Sets a setting by its name, which may have two parts.
fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((outer, inner)) => {
            let outer = table.entry(outer).or_insert_with(|| Value::Table(Table::new()));
            match outer {
                Value::Table(table) => set(table, inner, value),
                other => *other = Value::Table(Table::from_iter([(inner.to_string(), value)])),
            }
        }
        None => _ = table.insert(key.into(), value),
    }
}

/// Formats a value as part of a run's name.
fn plain(value: &Value) -> String {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "/\\<>:\"|?*".contains(c);
    match value {
        Value::String(text) => text.replace(forbidden, "-").trim_matches(['-', '.']).to_string(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join("+"),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Divergence;
    use crate::train::settings::tests::other;
    use crate::train::{Loss, SETTINGS};

    #[test]
    fn every_combination_is_a_run_with_its_own_name() {
        let text =
            "[base]\nsteps = 60\n\n[[grid]]\nseed = [1, 2]\nloss = [\"ad\", \"mix\"]\n\n[[grid]]\ndivergence = [\"js\"]\nguard.window = [64]\nlr = [1e-3, 1]\n";
        let members = members(text).unwrap();
        let names: Vec<&str> = members.iter().map(|member| &member.name[..]).collect();
        let first = ["loss-ad_seed-1", "loss-ad_seed-2", "loss-mix_seed-1", "loss-mix_seed-2"];
        let second = ["divergence-js_guard.window-64_lr-0.001", "divergence-js_guard.window-64_lr-1"];
        assert_eq!(names, [&first[..], &second].concat());
        let config = &members[3].config;
        assert_eq!((config.steps, config.loss, config.seed, config.divergence), (60, Loss::Mix, 2, Divergence::Forward));
        let config = &members[5].config;
        assert_eq!((config.lr, config.guard.window, config.divergence, config.steps), (1.0, 64, Divergence::Js, 60));
        let paths = super::members("[grid]\ndata = [[\"a/b c.txt\", \"d\"], []]\n").unwrap();
        assert_eq!((&paths[0].name[..], paths[0].config.data.len(), &paths[1].name[..]), ("data-a-b-c.txt+d", 2, "data-"));
    }

    #[test]
    fn every_setting_can_be_varied() {
        for setting in SETTINGS {
            let values: Vec<String> = [setting.default(), other(setting)].iter().filter_map(|value| Some(value.in_toml()?.to_string())).collect();
            let values = values.join(", ");
            // Some are rejected in combination with the defaults; the error then names the setting.
            match super::members(&format!("[base]\nteacher_cache = \"c\"\n\n[grid]\n{} = [{values}]\n", setting.name)) {
                Ok(members) => assert!(members.iter().all(|member| member.name.starts_with(&format!("{}-", setting.name))), "{}", setting.name),
                Err(error) => assert!(error.contains(&format!("{}-", setting.name)) && error.contains("setting "), "{error}"),
            }
        }
    }

    #[test]
    fn errors_name_the_key_or_run() {
        let bad = [
            ("", "grid"),
            ("[grid]\n", "nothing is varied"),
            ("grid = 3\n", "grid = 3"),
            ("grid = [3]\n", "grid = 3"),
            ("[base]\nbach = 3\n[grid]\nseed = [1]\n", "bach"),
            ("[base]\nlr = \"fast\"\n[grid]\nseed = [1]\n", "line 2"),
            ("[bass]\n[grid]\nseed = [1]\n", "bass"),
            ("[grid]\nseed = []\n", "grid.seed"),
            ("[grid]\nseed = 1\n", "grid.seed = 1"),
            ("[grid]\nseed = [1, \"two\"]\n", "grid.seed = \"two\""),
            ("[grid]\nspeed = [1]\n", "grid.speed = 1: unknown field"),
            ("[grid]\nguard.speed = [1]\n", "grid.guard.speed = 1"),
            ("[grid]\nlr.x = [1]\n", "grid.lr.x = 1"),
            ("[grid]\nseed = [1, 1]\n", "seed-1"),
            ("[grid]\nlr = [0.1, -1.0]\n", "lr--1.0: setting lr"),
            ("[grid]\nloss = [\"ad\", \"ar\"]\ndivergence = [\"js\"]\n", "divergence-js_loss-ar: setting divergence"),
        ];
        for (text, word) in bad {
            let error = members(text).unwrap_err();
            assert!(error.contains(word), "{text:?}: {error}");
        }
        let list = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let many = ["seed", "steps", "batch", "seq", "warmup", "accumulate", "keep", "eval_every", "sample_every", "eval_batches"]
            .map(|key| format!("{key} = [{list}]\n"));
        assert!(members(&format!("[grid]\n{}", many.concat())).unwrap_err().contains("4096"));
    }
}
