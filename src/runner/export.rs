//! What runs have recorded, as one file: curves as SVG or PNG, or every step as CSV.

use super::{Event, Stop, model};
use crate::model::LlamaConfig;
use crate::platform;
use crate::train::{self, Curves, Place, csv};
use anyhow::{Context, Result, bail};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `out` from `runs`, or leaves what is there as it is; its ending says what is written.
pub(super) fn export(runs: &[PathBuf], out: &Path, replace: bool, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    if runs.is_empty() {
        bail!("no run was named; choose one or more");
    }
    if !replace && platform::exists(out) {
        bail!("{}: there is a file of this name already; replace it, or choose another name", out.display());
    }
    let runs: Vec<(String, &Path)> = names(runs).into_iter().zip(runs.iter().map(PathBuf::as_path)).collect();
    let ending = out.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "csv" => table(&runs, out, stop, emit)?,
        "svg" | "png" => {
            let curves = curves(&runs, stop, emit)?;
            let drawn = if ending == "svg" { train::svg(&curves).map(String::into_bytes) } else { train::png(&curves) };
            let bytes = drawn.map_err(|problem| anyhow::anyhow!("the curves could not be drawn: {problem}"))?;
            platform::write_atomic(out, &bytes).with_context(|| format!("{}: it cannot be written", out.display()))?;
        }
        _ => bail!("{}: the name's ending says what is written: .svg or .png for curves, .csv for every step", out.display()),
    }
    emit(Event::Exported { out: out.to_path_buf(), runs: runs.len() });
    Ok(())
}

/// What the runs are called: by the names of their directories, or by their paths where those are not enough.
fn names(runs: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let alone = |path: &PathBuf| runs.iter().filter(|other| name(other) == name(path)).count() == 1;
    runs.iter().map(|path| if alone(path) { name(path) } else { path.display().to_string() }).collect()
}

fn curves(runs: &[(String, &Path)], stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Vec<Curves>> {
    let mut all = Vec::new();
    for (name, path) in runs {
        let mut curves = Curves::new(name, &sizes(path));
        tell(&curves.read_on(path, &|| stop.asked())?, emit);
        if stop.asked() {
            bail!("stopped; nothing was written");
        }
        if curves.is_empty() {
            emit(Event::Note { text: format!("{}: no step has been recorded yet", path.display()) });
        }
        all.push(curves);
    }
    if all.iter().all(Curves::is_empty) {
        bail!("no step has been recorded yet; there is nothing to draw");
    }
    Ok(all)
}

/// Names the first line that could not be read, and says how many there were.
fn tell(broken: &[String], emit: &mut dyn FnMut(Event)) {
    if let [first, rest @ ..] = broken {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more lines", rest.len()) };
        emit(Event::Note { text: format!("left out: {first}{more}") });
    }
}

/// The weights in each of a run's binarized matrices; empty where its model is not known.
fn sizes(run: &Path) -> Vec<usize> {
    let checkpoint = || {
        let step = train::checkpoints(run).ok()?.pop()?;
        model::config(&train::checkpoint(run, step).join("config.json")).ok()
    };
    let preset = || {
        let config = super::settings(&run.join("run.toml")).ok()?;
        // The vocabulary does not matter to the matrices.
        LlamaConfig::preset(&config.model, 4096).ok()
    };
    let config: Option<LlamaConfig> = checkpoint().or_else(preset);
    config.map_or(Vec::new(), |config| config.linears().iter().map(|(_, out, width)| out * width).collect())
}

/// Every step of every run as a row.
fn table(runs: &[(String, &Path)], out: &Path, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut matrices = 0;
    for (_, path) in runs {
        let first = train::read_piece(path, Place::default())?;
        matrices = matrices.max(first.metrics.iter().map(|metrics| metrics.flips.len()).max().unwrap_or(0));
    }
    let mut broken = Vec::new();
    let mut write = |file: &mut dyn Write| {
        file.write_all(csv::header(matrices).as_bytes())?;
        for (name, path) in runs {
            rows(file, (name, path), matrices, stop, &mut broken)?;
        }
        Ok(())
    };
    let written = platform::stream_atomic(out, &mut write);
    tell(&broken, emit);
    written.with_context(|| format!("{}: it cannot be written", out.display()))
}

fn rows(file: &mut dyn Write, (name, path): (&str, &Path), matrices: usize, stop: &Stop, broken: &mut Vec<String>) -> io::Result<()> {
    let mut place = Place::default();
    loop {
        let piece = train::read_piece(path, place).map_err(io::Error::other)?;
        if stop.asked() {
            return Err(io::Error::other("stopped; nothing was written"));
        }
        if piece.restarted {
            return Err(io::Error::other(format!("{}: the run was rolled back while it was read. Try again", path.display())));
        }
        for metrics in &piece.metrics {
            file.write_all(csv::row(name, metrics, matrices).as_bytes())?;
        }
        broken.extend(piece.broken);
        place = piece.until;
        if !piece.more {
            return Ok(());
        }
    }
}
