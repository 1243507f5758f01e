//! Verifies what Signet wrote, and models as far as their own structure goes.

use crate::data::{Store, TeacherCache};
use crate::model::{ModelFile, WEIGHTS};
use crate::platform;
use crate::runner::hub_models::COMPANION_FILES;
use crate::runner::kind::{Kind, kind_of};
use crate::runner::{Event, Stop};
use crate::train::{self, Outcome, Verifying};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Something that can be verified.
enum Target {
    /// A single thing.
    One(Kind),
    /// A directory of several.
    Folder(Vec<PathBuf>),
}

/// Files of a run, a checkpoint or a cache. Alone, none of them can be verified.
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

/// Reports each file, and counts the outcomes.
struct Checker<'a> {
    stop: &'a Stop,
    emit: &'a mut dyn FnMut(Event),
    whole: usize,
    unverified: usize,
    damaged: usize,
}

/// Verifies a path; `repair` first puts back the files of a run that its checkpoints keep.
pub(super) fn check(path: &Path, repair: bool, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (path, target) = match whole(path) {
        Some((dir, kind)) => {
            emit(Event::Note { text: format!("{} is a part of {}, which is checked as a whole", path.display(), dir.display()) });
            (dir, Target::One(kind))
        }
        None => (path.to_path_buf(), target(path)?),
    };
    match (repair, &target) {
        (false, _) => {}
        (true, Target::One(Kind::Run)) => {
            for path in train::repair(&path)? {
                emit(Event::Note { text: format!("{}: put back from the newest checkpoint; what was there is beside it, as .damaged", path.display()) });
            }
        }
        (true, _) => bail!("--repair: {} is not a run; only a run has files that can be put back", path.display()),
    }
    let mut checker = Checker { stop, emit, whole: 0, unverified: 0, damaged: 0 };
    checker.check(&path, target)?;
    let Checker { whole, unverified, damaged, .. } = checker;
    if stop.asked() {
        bail!("stopped before all was verified");
    }
    emit(Event::CheckEnded { whole, unverified, damaged });
    Ok(())
}

/// The run, checkpoint, cache or model directory that a file is a part of.
fn whole(path: &Path) -> Option<(PathBuf, Kind)> {
    let name = path.file_name()?.to_str()?;
    let is_shard = name.starts_with("model-") && name.ends_with(".safetensors");
    if !platform::is_file(path) || !(is_shard || PARTS.contains(&name) || COMPANION_FILES.contains(&name) || WEIGHTS.contains(&name)) {
        return None;
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some((dir.into(), kind_of(dir)?))
}

/// The kind of thing that a path is verified as.
fn target(path: &Path) -> Result<Target> {
    if let Some(kind) = kind_of(path) {
        return Ok(Target::One(kind));
    }
    if !platform::is_dir(path) {
        bail!("cannot check {}: no such file or directory", path.display());
    }
    let names = platform::list(path)?.into_iter().filter(|name| !name.starts_with('.'));
    let mut inside: Vec<PathBuf> = names.map(|name| path.join(name)).filter(|path| platform::is_dir(path) && kind_of(path).is_some()).collect();
    inside.sort();
    if inside.is_empty() {
        bail!("cannot check {}: it is not a run, a model or a cache, and there is none in it", path.display());
    }
    Ok(Target::Folder(inside))
}

impl Checker<'_> {
    fn check(&mut self, path: &Path, target: Target) -> Result<()> {
        match target {
            Target::Folder(paths) => paths.iter().filter_map(|path| Some((path, kind_of(path)?))).try_for_each(|(path, kind)| self.check_one(path, kind)),
            Target::One(kind) => self.check_one(path, kind),
        }
    }

    fn check_one(&mut self, path: &Path, kind: Kind) -> Result<()> {
        match kind {
            Kind::Run => train::verify_run(path, &mut |verifying| self.advance(verifying))?,
            Kind::Checkpoint => train::verify_checkpoint(path, &mut |verifying| self.advance(verifying)),
            Kind::Store => {
                let megabytes = |bytes: u64| (bytes >> 20) as usize;
                let verified = Store::verify(path, &mut |done, of| self.go_on(megabytes(done), megabytes(of), "MB of token ids read"));
                self.report(path.into(), outcome(verified));
            }
            Kind::TeacherCache => self.teacher_cache(path),
            Kind::Model => {
                let verified = ModelFile::open(path).map_err(|error| error.to_string()).and_then(|file| {
                    file.verify(&mut |done, of| self.go_on(done, of, "tensors read")).map_err(|error| error.to_string())?;
                    Ok(file.has_sums())
                });
                self.report(path.into(), outcome(verified));
            }
        }
        Ok(())
    }

    fn teacher_cache(&mut self, path: &Path) {
        let verified = TeacherCache::verify(path, &mut |done, of| self.go_on(done, of, "windows read"));
        if let Ok(verified) = &verified
            && verified.missing > 0
        {
            (self.emit)(Event::Note { text: format!("{}: {} windows are not made yet", path.display(), verified.missing) });
        }
        let outcome = match outcome(verified.map(|verified| verified.unverified == 0)) {
            Outcome::Damaged { problem } => {
                Outcome::Damaged { problem: format!("{problem}. If its header is damaged, delete the directory and make it again") }
            }
            outcome => outcome,
        };
        self.report(path.into(), outcome);
    }

    fn advance(&mut self, verifying: Verifying) -> bool {
        match verifying {
            Verifying::Reading { done, of } => self.go_on(done, of, "tensors read"),
            Verifying::File { path, outcome } => self.report(path, outcome),
        }
    }

    fn go_on(&mut self, done: usize, of: usize, note: &str) -> bool {
        (self.emit)(Event::Progress { done, of, note: note.into() });
        !self.stop.asked()
    }

    /// Reports the outcome for a file; nothing if it was not read to its end. Returns false to stop.
    fn report(&mut self, path: PathBuf, outcome: Outcome) -> bool {
        if self.stop.asked() {
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

/// The outcome of a verification that returns whether there are checksums.
fn outcome(verified: Result<bool, impl std::fmt::Display>) -> Outcome {
    match verified {
        Ok(false) => Outcome::NoChecksum,
        verified => Outcome::of(verified.map(drop)),
    }
}
