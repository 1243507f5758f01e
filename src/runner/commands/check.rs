//! Verifies the checksums of files that Signet wrote, and the structure of other models.

use crate::data::{TeacherCache, TokenStore};
use crate::model::{ModelFile, WEIGHTS};
use crate::platform;
use crate::runner::hub_models::COMPANION_FILES;
use crate::runner::kind::{ArtifactKind, kind_of};
use crate::runner::{Event, Stop};
use crate::train::{self, Outcome, Verifying};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// A path to verify.
enum CheckTarget {
    /// A single run, checkpoint, model or cache.
    One(ArtifactKind),
    /// A directory that contains several of these.
    Folder(Vec<PathBuf>),
}

/// Files of a run, a checkpoint or a cache, which cannot be verified alone.
const PARTS: [&str; 15] = [
    "run.toml",
    "variants.json",
    "changes.jsonl",
    "metrics.jsonl",
    "log.txt",
    "samples.txt",
    "curves.svg",
    "state.json",
    "optimizer.safetensors",
    "config.json",
    "teacher.safetensors",
    "ids",
    "documents",
    "checksums",
    "about.json",
];

/// Verifies files, emits each outcome, and counts them.
struct Checker<'a> {
    stop: &'a Stop,
    emit: &'a mut dyn FnMut(Event),
    whole: usize,
    unverified: usize,
    damaged: usize,
}

/// Verifies a path. `repair` first restores damaged files of a run from its newest checkpoint.
pub(super) fn check(path: &Path, repair: bool, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (path, target) = match owner(path) {
        Some((dir, kind)) => {
            emit(Event::Note { text: format!("{} is part of {}, which is checked as a whole", path.display(), dir.display()) });
            (dir, CheckTarget::One(kind))
        }
        None => (path.to_path_buf(), target(path)?),
    };
    match (repair, &target) {
        (false, _) => {}
        (true, CheckTarget::One(ArtifactKind::Run)) => {
            for path in train::repair(&path)? {
                emit(Event::Note { text: format!("{}: restored from the newest checkpoint; the damaged file was renamed to .damaged", path.display()) });
            }
        }
        (true, _) => bail!("cannot repair {}: not a run", path.display()),
    }
    let mut checker = Checker { stop, emit, whole: 0, unverified: 0, damaged: 0 };
    checker.check(&path, target)?;
    let Checker { whole, unverified, damaged, .. } = checker;
    if stop.is_requested() {
        bail!("check stopped before all files were verified");
    }
    emit(Event::CheckEnded { whole, unverified, damaged });
    Ok(())
}

/// Returns the run, checkpoint, cache or model directory that a file belongs to, with its kind.
fn owner(path: &Path) -> Option<(PathBuf, ArtifactKind)> {
    let name = path.file_name()?.to_str()?;
    let is_shard = name.starts_with("model-") && name.ends_with(".safetensors");
    if !platform::is_file(path) || !(is_shard || PARTS.contains(&name) || COMPANION_FILES.contains(&name) || WEIGHTS.contains(&name)) {
        return None;
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some((dir.into(), kind_of(dir)?))
}

/// Returns the target that a path is verified as.
fn target(path: &Path) -> Result<CheckTarget> {
    if let Some(kind) = kind_of(path) {
        return Ok(CheckTarget::One(kind));
    }
    if !platform::is_dir(path) {
        bail!("cannot check {}: no such file or directory", path.display());
    }
    let names = platform::list(path)?.into_iter().filter(|name| !name.starts_with('.'));
    let mut inside: Vec<PathBuf> = names.map(|name| path.join(name)).filter(|path| platform::is_dir(path) && kind_of(path).is_some()).collect();
    inside.sort();
    if inside.is_empty() {
        bail!("cannot check {}: not a run, model or cache, and contains none", path.display());
    }
    Ok(CheckTarget::Folder(inside))
}

impl Checker<'_> {
    fn check(&mut self, path: &Path, target: CheckTarget) -> Result<()> {
        match target {
            CheckTarget::Folder(paths) => paths.iter().filter_map(|path| Some((path, kind_of(path)?))).try_for_each(|(path, kind)| self.check_one(path, kind)),
            CheckTarget::One(kind) => self.check_one(path, kind),
        }
    }

    fn check_one(&mut self, path: &Path, kind: ArtifactKind) -> Result<()> {
        match kind {
            ArtifactKind::Run => train::verify_run(path, &mut |verifying| self.advance(verifying))?,
            ArtifactKind::Checkpoint => train::verify_checkpoint(path, &mut |verifying| self.advance(verifying)),
            ArtifactKind::Store => {
                let megabytes = |bytes: u64| (bytes >> 20) as usize;
                let verified = TokenStore::verify(path, &mut |done, of| self.report_progress(megabytes(done), megabytes(of), "MB of token ids read"));
                self.report(path.into(), outcome(verified));
            }
            ArtifactKind::TeacherCache => self.teacher_cache(path),
            ArtifactKind::Model => {
                let verified = ModelFile::open(path).map_err(|error| error.to_string()).and_then(|file| {
                    file.verify(&mut |done, of| self.report_progress(done, of, "tensors read")).map_err(|error| error.to_string())?;
                    Ok(file.has_sums())
                });
                self.report(path.into(), outcome(verified));
            }
        }
        Ok(())
    }

    fn teacher_cache(&mut self, path: &Path) {
        let verified = TeacherCache::verify(path, &mut |done, of| self.report_progress(done, of, "windows read"));
        if let Ok(verified) = &verified
            && verified.missing > 0
        {
            (self.emit)(Event::Note { text: format!("{}: {} windows are missing", path.display(), verified.missing) });
        }
        let outcome = match outcome(verified.map(|verified| verified.unverified == 0)) {
            Outcome::Damaged { problem } => {
                Outcome::Damaged { problem: format!("{problem}. If its header is damaged, delete the directory and create the cache again") }
            }
            outcome => outcome,
        };
        self.report(path.into(), outcome);
    }

    /// Handles an event of the verification; returns false to stop.
    fn advance(&mut self, verifying: Verifying) -> bool {
        match verifying {
            Verifying::Reading { done, of } => self.report_progress(done, of, "tensors read"),
            Verifying::File { path, outcome } => self.report(path, outcome),
        }
    }

    /// Emits progress; returns false to stop.
    fn report_progress(&mut self, done: usize, of: usize, note: &str) -> bool {
        (self.emit)(Event::Progress { done, of, note: note.into() });
        !self.stop.is_requested()
    }

    /// Counts and emits the outcome of a file, unless the verification was stopped. Returns false to stop.
    fn report(&mut self, path: PathBuf, outcome: Outcome) -> bool {
        if self.stop.is_requested() {
            return false;
        }
        match outcome {
            Outcome::Whole => self.whole += 1,
            Outcome::NoChecksum | Outcome::Newer { .. } => self.unverified += 1,
            Outcome::Damaged { .. } => self.damaged += 1,
        }
        (self.emit)(Event::Checked { path, outcome });
        true
    }
}

/// Converts the result of a verification, true if there are checksums, to an outcome.
fn outcome(verified: Result<bool, impl std::fmt::Display>) -> Outcome {
    match verified {
        Ok(false) => Outcome::NoChecksum,
        verified => Outcome::of(verified.map(drop)),
    }
}
