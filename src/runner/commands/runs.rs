//! The runs of a folder: list, describe, read metrics, rename, move to the trash and restore.

use crate::platform::{self, Lock};
use crate::runner::kind::is_damaged_run;
use crate::runner::protocol::RunInfo;
use crate::runner::{Event, Stop, settings};
use crate::train::{self, Metrics, MetricsPosition, RunDir, RunError};
use anyhow::{Context, Result, bail};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the trash, in the folder of the runs.
const TRASH: &str = ".trash";

/// Emits the runs in a folder, most recently modified first.
pub(super) fn list(folder: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let names = match platform::list(folder) {
        Ok(names) => Some(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot list the runs in {}", folder.display())),
    };
    let found = names.is_some();
    let names = names.unwrap_or_default().into_iter().filter(|name| !name.starts_with('.'));
    let mut runs: Vec<RunInfo> = names.filter_map(|name| info(&folder.join(&name), name)).collect();
    runs.sort_by(|a, b| b.modified.total_cmp(&a.modified).then_with(|| a.name.cmp(&b.name)));
    let trashed = platform::list(&folder.join(TRASH)).map_or(0, |names| names.len());
    emit(Event::Runs { folder: folder.to_path_buf(), found, runs, trashed, now: platform::now() });
    Ok(())
}

/// Emits the summary of a run.
pub(super) fn describe(path: PathBuf, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let run = info(&path, name).map(Box::new);
    emit(Event::Run { path, run });
    Ok(())
}

/// Returns the summary of a run; none if it is not a run, or was deleted meanwhile.
fn info(path: &Path, name: String) -> Option<RunInfo> {
    if !is_damaged_run(path) {
        return None;
    }
    let mut problems = Vec::new();
    let config = settings(&path.join("run.toml")).map_err(|error| problems.push(format!("{error:#}"))).ok();
    let (last, held) = train::read_last(path).map_err(|error| problems.push(error.to_string())).unwrap_or_default();
    let training = Lock::is_held(&path.join(".lock")).map_err(|error| problems.push(format!("{}: {error}", path.join(".lock").display()))).unwrap_or_default();
    let checkpoints = train::checkpoints(path).map_err(|error| problems.push(error.to_string())).unwrap_or_default();
    let modified = ["metrics.jsonl", "run.toml"].iter().find_map(|file| platform::modified(&path.join(file)).ok());
    // If it was moved or deleted while it was read, the problems are not the run's.
    is_damaged_run(path).then(|| RunInfo {
        name,
        path: path.to_path_buf(),
        modified: modified.unwrap_or_default(),
        training,
        config: config.map(Box::new),
        last: last.map(|metrics| Box::new(Metrics { flips: Vec::new(), ..metrics })),
        held_out: held.and_then(|metrics| Some((metrics.step, metrics.held_out?))),
        checkpoints,
        problem: (!problems.is_empty()).then(|| problems.join("; ")),
    })
}

/// Emits the metrics of a run from `from` on, in at most `pieces` chunks (0 for all).
pub(super) fn follow(path: &Path, mut from: MetricsPosition, pieces: usize, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    for n in 1.. {
        let piece = train::read_metrics_chunk(path, from)?;
        from = piece.until;
        emit(Event::RunMetrics {
            path: path.to_path_buf(),
            until: from,
            restarted: piece.restarted,
            more: piece.more,
            metrics: piece.metrics,
            broken: piece.broken,
        });
        if !piece.more || n == pieces || stop.is_requested() {
            break;
        }
    }
    Ok(())
}

/// Renames a run.
pub(super) fn rename(path: &Path, name: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    train::check_name(name)?;
    let lock = lock_run(path, "renamed")?;
    let to = path.with_file_name(name);
    move_run(path, &to, lock, "Choose another name")?;
    emit(Event::Renamed { from: path.to_path_buf(), to });
    Ok(())
}

/// Moves a run to the trash of its folder.
pub(super) fn trash(path: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let lock = lock_run(path, "moved to the trash")?;
    let name = path.file_name().context("a run has a name")?.to_string_lossy().into_owned();
    let trash = path.with_file_name(TRASH);
    platform::make_dir(&trash).with_context(|| format!("cannot create the trash {}", trash.display()))?;
    let names = [name.clone()].into_iter().chain((2..10_000).map(|n| format!("{name} ({n})")));
    let to = names.map(|name| trash.join(name)).find(|to| !platform::exists(to)).with_context(|| format!("{}: the trash is full", trash.display()))?;
    move_run(path, &to, lock, "Empty the trash")?;
    emit(Event::Trashed { from: path.to_path_buf(), to });
    Ok(())
}

/// Moves a run from its path `from` in the trash to `to`.
pub(super) fn restore(from: &Path, to: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    if from.parent().and_then(Path::file_name).is_none_or(|folder| folder != TRASH) {
        bail!("cannot restore {}: not in the trash", from.display());
    }
    if !platform::exists(from) {
        bail!("cannot restore {}: no longer in the trash", from.display());
    }
    let lock = lock_run(from, "restored")?;
    move_run(from, to, lock, "Rename that run, then restore this one")?;
    emit(Event::Restored { from: from.to_path_buf(), to: to.to_path_buf() });
    Ok(())
}

/// Deletes the runs in a folder's trash.
pub(super) fn empty_trash(folder: &Path, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let trash = folder.join(TRASH);
    let names = match platform::list(&trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.with_context(|| format!("cannot read the trash {}", trash.display()))?,
    };
    let mut runs = 0;
    for path in names.into_iter().map(|name| trash.join(name)) {
        if is_damaged_run(&path) {
            drop(lock_run(&path, "deleted")?);
        }
        platform::remove_dir(&path).with_context(|| format!("cannot delete {}", path.display()))?;
        runs += 1;
    }
    emit(Event::TrashEmptied { folder: folder.to_path_buf(), runs });
    Ok(())
}

/// Locks a run; an error if a process is training it. `what` is the intended change, for the error.
fn lock_run(path: &Path, what: &str) -> Result<Lock> {
    if !platform::exists(path) {
        bail!(RunError::Gone(path.to_path_buf()));
    }
    if !is_damaged_run(path) {
        bail!("{}: not a run, so it cannot be {what}", path.display());
    }
    match RunDir::lock(path) {
        Err(RunError::InUse(_)) => bail!("{}: the run is being trained, so it cannot be {what}. Stop the training first", path.display()),
        lock => Ok(lock?),
    }
}

fn move_run(from: &Path, to: &Path, lock: Lock, otherwise: &str) -> Result<()> {
    platform::rename_dir(from, to, Some(lock)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!("cannot move the run to {}: the path exists. {otherwise}", to.display()),
        _ => anyhow::anyhow!("cannot move {} to {}: {error}", from.display(), to.display()),
    })
}
