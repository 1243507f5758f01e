//! Compares runs: results on held-out text, their spread over seeds, and their curves in one picture.

mod columns;
mod groups;

use super::export;
use crate::ops::{Divergence, Term};
use crate::platform;
use crate::runner::kind::is_run;
use crate::runner::protocol::{CompareReport, CompareRequest, ComparedGroup, ComparedRun};
use crate::runner::{Event, Stop, settings};
use crate::train::{self, Average, CurveGroup, Metrics, MetricsPosition, QUANTITIES, TrainConfig, quantity};
use anyhow::{Context, Result, bail};
pub use columns::CompareColumn;
use columns::{BEST, ColumnValues};
use groups::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

impl CompareReport {
    /// Returns the columns of the groups' averages, in order.
    pub fn columns(&self) -> Vec<CompareColumn> {
        columns::columns(BEST_BY.into_iter().find(|term| term.name() == self.best_by).unwrap_or(Term::Ar))
    }
}

/// Loss terms that can select the best step; the first that all runs have is used.
const BEST_BY: [Term; 2] = [Term::KL, Term::Ar];

/// Reads the runs, emits the comparison, and draws the curves if requested.
pub(super) fn compare(request: &CompareRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    if let Some(out) = &request.out
        && !["svg", "png"].iter().any(|ending| out.extension().is_some_and(|given| given.eq_ignore_ascii_case(ending)))
    {
        bail!("cannot draw {}: the extension must be .svg or .png", out.display());
    }
    let paths = expand_runs(&request.runs)?;
    let named = export::names(&paths);
    let mut runs = Vec::new();
    for (n, (name, path)) in named.iter().zip(&paths).enumerate() {
        runs.push(RunResults::new(name, path, stop)?);
        emit(Event::Progress { done: n + 1, of: paths.len(), note: name.clone() });
    }
    let settings: Vec<Settings> = runs.iter().map(|run| run.settings.clone()).collect();
    let groups = groups::groups(&settings);
    let heads: Vec<&Settings> = groups.iter().map(|group| &settings[group[0]]).collect();
    let mut names = groups::names(&heads);
    if let [only] = &mut names[..] {
        *only = if let [run] = &runs[..] { run.of.name.clone() } else { format!("all {} runs", runs.len()) };
    }
    let report = report(&runs, &groups, &names);
    emit(Event::Compared(Box::new(report)));
    let Some(out) = &request.out else { return Ok(()) };
    let each: Vec<(String, &Path)> = named.into_iter().zip(paths.iter().map(PathBuf::as_path)).collect();
    let curves = export::curves(&each, request.axis, stop, emit)?;
    let drawn = groups.iter().zip(names).map(|(group, name)| CurveGroup { name, runs: group.iter().map(|&run| &curves[run]).collect() });
    export::draw(&drawn.collect::<Vec<_>>(), out)?;
    emit(Event::Exported { out: out.clone(), runs: each.len() });
    Ok(())
}

/// Returns the runs that paths name: a run itself, or all runs in a folder.
fn expand_runs(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    // A run without run.toml is reported when its settings are read.
    let mut runs: Vec<PathBuf> = Vec::new();
    for path in paths {
        if is_run(path) {
            runs.push(path.clone());
            continue;
        }
        if !platform::is_dir(path) {
            bail!("cannot compare {}: no such directory", path.display());
        }
        let mut names = platform::list(path).with_context(|| format!("cannot read {}", path.display()))?;
        names.sort();
        let inside: Vec<PathBuf> = names.iter().map(|name| path.join(name)).filter(|path| is_run(path)).collect();
        if inside.is_empty() {
            bail!("cannot compare {}: not a run (no run.toml), and contains none", path.display());
        }
        runs.extend(inside);
    }
    for n in 1..runs.len() {
        if runs[..n].contains(&runs[n]) {
            bail!("cannot compare {} with itself: it is listed twice", runs[n].display());
        }
    }
    Ok(runs)
}

/// The results of a run, with its settings.
struct RunResults {
    of: ComparedRun,
    config: TrainConfig,
    settings: Settings,
    /// The compared values, by quantity.
    values: ColumnValues,
    /// Steps and values of the lowest held-out loss, for each term of [`BEST_BY`].
    lowest: [Option<(u64, f64)>; BEST_BY.len()],
    /// Damage found in `metrics.jsonl`.
    damage: Option<String>,
}

impl RunResults {
    fn new(name: &str, path: &Path, stop: &Stop) -> Result<Self> {
        let config = settings(&path.join("run.toml"))?;
        let mut settings = Settings::new();
        groups::flatten("", &toml::Table::try_from(&config).expect("settings are plain data"), &mut settings);
        // Settings changed during training make it another experiment.
        if let Ok(changes) = platform::read_text(&path.join("changes.jsonl"))
            && !changes.trim().is_empty()
        {
            settings.insert("changes".into(), changes.trim().replace('\n', "; "));
        }
        let (mut last, mut held_out, mut lowest, mut values) = (None, None, [None; BEST_BY.len()], ColumnValues::default());
        let mut position = MetricsPosition::default();
        loop {
            let chunk = train::read_metrics_chunk(path, position)?;
            if chunk.restarted {
                (last, held_out, lowest, values) = (None, None, [None; BEST_BY.len()], ColumnValues::default());
            }
            for metrics in chunk.metrics {
                if let Some(losses) = metrics.held_out {
                    held_out = Some((metrics.step, losses));
                    for (lowest, term) in lowest.iter_mut().zip(BEST_BY) {
                        let value = QUANTITIES[quantity(term.held_out())].drawn(&metrics);
                        if let Some(value) = value.filter(|value| lowest.is_none_or(|(_, least)| *value < least)) {
                            *lowest = Some((metrics.step, value));
                        }
                    }
                }
                values.add(&metrics);
                last = Some(Metrics { flips: Vec::new(), ..metrics });
            }
            position = chunk.until;
            if stop.is_requested() {
                bail!("comparison stopped at {}", path.display());
            }
            if !chunk.more {
                break;
            }
        }
        let Some(last) = last else { bail!("cannot compare {}: no step is recorded yet. Leave it out", path.display()) };
        let of = ComparedRun {
            name: name.into(),
            path: path.to_path_buf(),
            seed: config.seed,
            step: last.step,
            steps: config.steps,
            tokens: last.tokens,
            seconds: last.seconds,
            held_out,
            best: None,
            flips: values.of(const { quantity("flip_ratio") }),
        };
        Ok(Self { of, config, settings, values, lowest, damage: train::verify_metrics(path) })
    }

    fn has_teacher(&self) -> bool {
        self.lowest[0].is_some()
    }
}

fn report(runs: &[RunResults], groups: &[Vec<usize>], names: &[String]) -> CompareReport {
    let by = if runs.iter().all(RunResults::has_teacher) { 0 } else { 1 };
    let group = |(group, name): (&Vec<usize>, &String)| {
        let members = || group.iter().map(|&n| &runs[n]);
        // None if a run lacks the value: a mean over fewer runs would be over other seeds.
        let average = |value: &dyn Fn(&RunResults) -> Option<f64>| Average::of(&members().map(value).collect::<Option<Vec<_>>>()?);
        let compared = QUANTITIES.iter().enumerate().filter_map(|(index, row)| Some((index, row.compared?.name)));
        let quantities = compared.map(|(index, name)| (name, average(&|run| run.values.of(index))));
        let best = average(&|run| run.lowest[by].map(|(_, value)| value));
        ComparedGroup {
            name: name.clone(),
            runs: members().map(|run| ComparedRun { best: run.lowest[by], ..run.of.clone() }).collect(),
            averages: quantities.chain([(BEST, best)]).map(|(name, average)| (name.into(), average)).collect(),
        }
    };
    CompareReport { best_by: BEST_BY[by].name().into(), groups: groups.iter().zip(names).map(group).collect(), warnings: warnings(runs, groups, names) }
}

/// Returns reasons why the numbers of these runs may not be comparable.
fn warnings(runs: &[RunResults], groups: &[Vec<usize>], names: &[String]) -> Vec<String> {
    let mut warnings: Vec<String> = runs.iter().filter_map(|run| run.damage.clone()).collect();
    let mut differ = |what: &str, of: &dyn Fn(&RunResults) -> String| {
        let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (group, name) in groups.iter().zip(names) {
            values.entry(of(&runs[group[0]])).or_default().push(name);
        }
        if values.len() > 1 {
            let values: Vec<String> = values.iter().map(|(value, names)| format!("{value} ({})", names.join("; "))).collect();
            warnings.push(format!("{what}: {}", values.join("; ")));
        }
    };
    let text = |config: &TrainConfig| {
        let paths = || config.data.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" + ");
        let data = if config.data.is_empty() { "embedded".into() } else { format!("{} (field {}, shuffle {})", paths(), config.field, config.shuffle) };
        let part = config.held_out.as_ref().map_or_else(|| format!("{} of {data}", config.held_out_share), |path| path.display().to_string());
        let windows = config.batch as u64 * config.eval_batches as u64;
        format!("{part} in {windows} windows of {} tokens, tokenizer {}", config.seq, String::from(config.tokenizer.clone()))
    };
    differ("the held-out text differs, so held-out numbers cannot be compared", &|run| text(&run.config));
    differ("the teachers differ, so divergences from them cannot be compared", &|run| match (&run.config.teacher_cache, run.config.eval_teacher) {
        (Some(cache), false) => format!("cache {} at temperature {}", cache.display(), run.config.temperature),
        _ => format!("{} in {}", String::from(run.config.teacher.clone()), run.settings["teacher_storage"]),
    });
    for RunResults { of: run, config, .. } in runs {
        if run.step < run.steps {
            warnings.push(format!("{}: at step {} of {}", run.name, run.step, run.steps));
        }
        if run.held_out.is_none() {
            warnings.push(format!("{}: not evaluated on held-out text yet", run.name));
        }
        let old = run.held_out.is_some_and(|(_, losses)| {
            Divergence::ALL.iter().all(|&divergence| Term::Of(divergence).always() || losses.get(Term::Of(divergence)).is_none()) && losses.ad() > 0.0
        });
        if old && config.temperature != 1.0 {
            warnings.push(format!("{}: an older Signet measured its held-out text at temperature {}, not 1", run.name, config.temperature));
        }
    }
    for (group, name) in groups.iter().zip(names) {
        let mut seeds: Vec<u64> = group.iter().map(|&n| runs[n].of.seed).collect();
        seeds.sort_unstable();
        if let Some(pair) = seeds.windows(2).find(|pair| pair[0] == pair[1]) {
            warnings.push(format!("{name}: seed {} occurs twice, so the spread is not over seeds", pair[0]));
        }
    }
    warnings
}
