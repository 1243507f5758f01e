//! Exports runs to one file: curves as SVG or PNG, metrics of each step as CSV, all files as a zip, or the packed model.

use super::pack;
use crate::model::ModelConfig;
use crate::platform;
use crate::runner::{Event, Stop, model_loader, settings};
use crate::train::{self, Axis, CurveGroup, Curves, MetricsPosition, csv};
use anyhow::{Context, Result, bail};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The file to write exists, and replacing it was not requested.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: the file exists. Replace it, or choose another name", .0.display())]
pub(crate) struct FileExists(pub(in crate::runner) PathBuf);

/// Writes `out` in the format of its extension. On an error, an existing file is unchanged.
pub(super) fn export(runs: &[PathBuf], out: &Path, replace: bool, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    if runs.is_empty() {
        bail!("cannot export: no run is selected. Select one or more");
    }
    if !replace && platform::exists(out) {
        bail!(FileExists(out.into()));
    }
    for problem in runs.iter().filter_map(|run| train::verify_metrics(run)) {
        emit(Event::Note { text: problem });
    }
    let runs: Vec<(String, &Path)> = names(runs).into_iter().zip(runs.iter().map(PathBuf::as_path)).collect();
    let ending = out.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "csv" => table(&runs, out, stop, emit)?,
        "svg" | "png" => {
            let curves = curves(&runs, Axis::Steps, stop, emit)?;
            draw(&curves.iter().map(CurveGroup::from).collect::<Vec<_>>(), out)?;
        }
        "zip" => archive(&runs, out, stop)?,
        "signet" => match &runs[..] {
            [(_, run)] => pack::pack(&run.display().to_string(), out, emit)?,
            _ => bail!("cannot write {}: a packed model is of one run. Select one", out.display()),
        },
        _ => bail!(
            "cannot write {}: unknown extension. Use .svg or .png for curves, .csv for each step, .zip for all files, .signet for the packed model",
            out.display()
        ),
    }
    emit(Event::Exported { out: out.to_path_buf(), runs: runs.len() });
    Ok(())
}

/// Draws groups of runs as an `.svg` or `.png`.
pub(super) fn draw(groups: &[CurveGroup<'_>], out: &Path) -> Result<()> {
    let png = out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    let drawn = if png { train::png(groups) } else { train::svg(groups).map(String::into_bytes) };
    let bytes = drawn.map_err(|problem| anyhow::anyhow!("cannot draw the curves: {problem}"))?;
    platform::write_atomic(out, &bytes).with_context(|| format!("cannot write {}", out.display()))
}

/// Returns names for runs: their directory names, or their paths where those are ambiguous.
pub(super) fn names(runs: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let alone = |path: &PathBuf| runs.iter().filter(|other| name(other) == name(path)).count() == 1;
    runs.iter().map(|path| if alone(path) { name(path) } else { path.display().to_string() }).collect()
}

/// Reads the curves of runs; an error if none has recorded a step.
pub(super) fn curves(runs: &[(String, &Path)], axis: Axis, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Vec<Curves>> {
    let mut all = Vec::new();
    for (name, path) in runs {
        let mut curves = Curves::new(name, &sizes(path), axis);
        note_broken_lines(&curves.read_new(path, &|| stop.is_requested())?, emit);
        if stop.is_requested() {
            bail!("export stopped; no file was written");
        }
        if curves.is_empty() {
            emit(Event::Note { text: format!("{}: no step is recorded yet", path.display()) });
        }
        all.push(curves);
    }
    if all.iter().all(Curves::is_empty) {
        bail!("cannot draw curves: no step is recorded yet");
    }
    Ok(all)
}

/// Emits a note on lines that could not be parsed: the first one, and the number of others.
fn note_broken_lines(broken: &[String], emit: &mut dyn FnMut(Event)) {
    if let [first, rest @ ..] = broken {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more lines", rest.len()) };
        emit(Event::Note { text: format!("left out: {first}{more}") });
    }
}

/// Returns the number of weights of each binarized matrix of a run; empty if its model is unknown.
fn sizes(run: &Path) -> Vec<usize> {
    let checkpoint = || {
        let step = train::checkpoints(run).ok()?.pop()?;
        model_loader::config(&train::checkpoint(run, step).join("config.json")).ok()
    };
    let preset = || {
        let config = settings(&run.join("run.toml")).ok()?;
        // The sizes do not depend on the vocabulary.
        ModelConfig::preset(&config.model, 4096).ok()
    };
    let config: Option<ModelConfig> = checkpoint().or_else(preset);
    config.map_or(Vec::new(), |config| config.linears().iter().map(|(_, out, width)| out * width).collect())
}

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// Writes all files of the runs to a zip, uncompressed, since weights do not compress.
fn archive(runs: &[(String, &Path)], out: &Path, stop: &Stop) -> Result<()> {
    let write = |file: &mut dyn Write| {
        let mut zip = ZipWriter::new_stream(file);
        for (n, (_, run)) in runs.iter().enumerate() {
            let name = run.file_name().unwrap_or_default().to_string_lossy();
            // Runs from different folders can have the same name.
            let twice = runs[..n].iter().any(|(_, other)| other.file_name() == run.file_name());
            add(&mut zip, run, &if twice { format!("{name}-{}", n + 1) } else { name.into_owned() }, stop)?;
        }
        zip.finish().map_err(io::Error::other)?;
        Ok(())
    };
    platform::stream_atomic(out, &mut |file| write(file)).with_context(|| format!("cannot write {}", out.display()))
}

/// Adds the file or directory at `path` as `name`, without hidden files (locks and temporary files).
fn add<W: Write>(zip: &mut ZipWriter<zip::write::StreamWriter<W>>, path: &Path, name: &str, stop: &Stop) -> io::Result<()> {
    if platform::is_dir(path) {
        for entry in platform::list(path)?.into_iter().filter(|entry| !entry.starts_with('.')) {
            add(zip, &path.join(&entry), &format!("{name}/{entry}"), stop)?;
        }
        return Ok(());
    }
    let (mut bytes, length) = platform::read_part(path, 0, CHUNK)?;
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(length > u64::from(u32::MAX));
    zip.start_file(name, options).map_err(io::Error::other)?;
    let mut at = 0;
    while !bytes.is_empty() {
        if stop.is_requested() {
            return Err(io::Error::other("export stopped; no file was written"));
        }
        zip.write_all(&bytes)?;
        at += bytes.len() as u64;
        bytes = platform::read_part(path, at, CHUNK)?.0;
    }
    Ok(())
}

/// Writes a CSV table with a row per step and run.
fn table(runs: &[(String, &Path)], out: &Path, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let mut matrices = 0;
    for (_, path) in runs {
        let first = train::read_metrics_chunk(path, MetricsPosition::default())?;
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
    let written = platform::stream_atomic(out, &mut |file| write(file));
    note_broken_lines(&broken, emit);
    written.with_context(|| format!("cannot write {}", out.display()))
}

fn rows(file: &mut dyn Write, (name, path): (&str, &Path), matrices: usize, stop: &Stop, broken: &mut Vec<String>) -> io::Result<()> {
    let mut position = MetricsPosition::default();
    loop {
        let chunk = train::read_metrics_chunk(path, position).map_err(io::Error::other)?;
        if stop.is_requested() {
            return Err(io::Error::other("export stopped; no file was written"));
        }
        if chunk.restarted {
            return Err(io::Error::other(format!("cannot read {}: the run was rolled back meanwhile. Try again", path.display())));
        }
        for metrics in &chunk.metrics {
            file.write_all(csv::row(name, metrics, matrices).as_bytes())?;
        }
        broken.extend(chunk.broken);
        position = chunk.until;
        if !chunk.more {
            return Ok(());
        }
    }
}
