//! Checkpoints: a model directory with the optimizer's moments and the state of the run, from which a run
//! resumes bit-exactly. Writes are atomic: to a temporary directory, which is synced and renamed.

use super::guard::Guard;
use super::record::RunRecord;
use super::step::Step;
use crate::formats::safetensors::{HeaderEntry, TensorFile, write_header};
use crate::formats::{Digest, Digester, FileSum, FileSums, FormatError, TensorSource, TensorSums, header_digest, parse_checksummed_json, to_checksummed_json};
use crate::graph::{Machine, MachineError, Spec, Storage, TensorLocation};
use crate::model::{ModelError, Role, Weights, load};
use crate::platform::{self, Commit};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The current checkpoint format.
const FORMAT: u32 = 1;

/// The state of a run, from which it resumes bit-exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Format of the checkpoint; newer ones are rejected.
    pub format: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// Batches read from the data. A rollback does not lower this: the run continues with new data.
    pub cursor: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Steps that changed the parameters, for AdamW's bias corrections. Absent in checkpoints of older
    /// versions: then counted from `metrics.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u64>,
    /// Seconds of training.
    pub seconds: f64,
    /// The state of the guard, which handles loss and gradient spikes; it includes the loss scale.
    pub guard: Guard,
    /// The guard's gradient-norm threshold for the next step, if the last step's report was read before the next step is
    /// launched, as for a checkpoint. It was computed before that report was read, so it is the same as in a run that launches
    /// the next step first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// True if a scheduled checkpoint was postponed because of a spike.
    #[serde(rename = "owed", default, skip_serializing_if = "std::ops::Not::not")]
    pub save_pending: bool,
    /// True if the checkpoint with this state is a scheduled one, to which a rollback may return. Absent in
    /// checkpoints of older versions: see [`TrainState::is_scheduled`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<bool>,
    /// Step and loss of the checkpoint with the lowest held-out loss.
    pub best: Option<(u64, f64)>,
    /// The device of the run. On another device, a resume is not bit-exact.
    pub device: String,
    /// The teacher cache that the run trains from, if any. A resume needs the same cache.
    #[serde(default)]
    pub cache: Option<String>,
}

impl TrainState {
    /// The state of a new run.
    pub fn new(guard: Guard, device: &str) -> Self {
        TrainState {
            format: FORMAT,
            step: 0,
            cursor: 0,
            tokens: 0,
            taken: Some(0),
            seconds: 0.0,
            guard,
            threshold: None,
            save_pending: false,
            scheduled: None,
            best: None,
            device: device.into(),
            cache: None,
        }
    }

    /// Returns true if a rollback may return to the checkpoint with this state. For a checkpoint of an older
    /// version, this is the case if its step is a multiple of `every` and there was no spike.
    pub fn is_scheduled(&self, every: u64) -> bool {
        self.scheduled.unwrap_or_else(|| every > 0 && self.step.is_multiple_of(every) && !self.guard.suspicious())
    }
}

/// The contents of a checkpoint's `state.json`.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The state of the run.
    pub state: TrainState,
    /// Checksums of the checkpoint's other files; none if an earlier version wrote it.
    pub sums: Option<FileSums>,
    /// The run's settings, changes and metrics at that step, to detect damage; none if an earlier version wrote it.
    pub run: Option<RunRecord>,
}

/// An error of writing or reading a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be written.
    #[error("cannot write the checkpoint {}: {error}. {}", path.display(), save_advice(error))]
    Write {
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// A file of it cannot be read.
    #[error(transparent)]
    File(#[from] FormatError),
    /// An error of the device.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its model does not match.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It was made by a newer version.
    #[error("{}: made by a newer Signet (checkpoint format {found}; this one reads up to {FORMAT}). Update Signet", path.display())]
    Newer {
        /// Its path.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Returns advice after a failed save.
fn save_advice(error: &io::Error) -> String {
    let advice = platform::space_advice(error).map_or(String::new(), |advice| format!("; {advice}, then resume the run"));
    format!("Earlier checkpoints are intact{advice}")
}

/// Writes a checkpoint to the directory `path`: the tensors, `files` (names and texts), and `state` and `run` in
/// `state.json`.
pub(super) async fn save(
    path: &Path, machine: &mut Machine, step: &Step, state: &TrainState, files: &[(&str, String)], run: &RunRecord,
) -> Result<(), CheckpointError> {
    let weights = &step.student;
    let value = |name: &String| weights.trained(name).expect("a trained tensor").value;
    let tensor = |name: &str, part: &str, location: TensorLocation| SavedTensor {
        name: format!("{name}{part}"),
        location,
        is_vector: weights.config.role(name) == Some(Role::Norm),
    };
    let moments: Vec<SavedTensor> =
        weights.moments().flat_map(|(name, [first, second])| [tensor(name, ".first", first), tensor(name, ".second", second)]).collect();
    let values: Vec<SavedTensor> = weights.names().iter().map(|name| tensor(name, "", value(name))).collect();
    let at = |error| CheckpointError::Write { path: path.to_path_buf(), error };
    let mut commit = Commit::begin(path).map_err(at)?;
    let mut sums = FileSums::default();
    for (name, tensors) in [("model.safetensors", &values), ("optimizer.safetensors", &moments)] {
        let mut part = commit.part(name).map_err(at)?;
        let infos: Vec<HeaderEntry> = tensors.iter().map(info).collect();
        write_header(&mut part, &infos, &BTreeMap::new()).map_err(at)?;
        let header = header_digest(infos.iter().map(|(name, dtype, shape)| (name.as_str(), *dtype, &shape[..])), []);
        let mut written = TensorSums { header, tensors: BTreeMap::new() };
        for SavedTensor { name, location, .. } in tensors {
            let mut digester = Digester::default();
            for chunk in machine.read(location).await?.chunks(1 << 16) {
                let bytes: Vec<u8> = chunk.iter().flat_map(|word| word.to_le_bytes()).collect();
                digester.update(&bytes);
                part.write_all(&bytes).map_err(at)?;
            }
            written.tensors.insert(name.clone(), digester.digest());
        }
        part.end().map_err(at)?;
        sums.0.insert(name.into(), FileSum::Tensors(written));
    }
    sums.0.extend(files.iter().map(|(name, text)| (name.to_string(), FileSum::Bytes(Digest::of(text.as_bytes())))));
    let mut value = serde_json::to_value(state).expect("state is plain data");
    value["checksums"] = serde_json::to_value(&sums).expect("checksums are plain data");
    value["run"] = serde_json::to_value(run).expect("a run record is plain data");
    for (name, text) in files.iter().map(|(name, text)| (*name, text)).chain([("state.json", &to_checksummed_json(value))]) {
        let mut part = commit.part(name).map_err(at)?;
        part.write_all(text.as_bytes()).and_then(|()| part.end()).map_err(at)?;
    }
    commit.finish().map_err(at)
}

/// A tensor to write to a checkpoint.
struct SavedTensor {
    name: String,
    location: TensorLocation,
    /// True if it is written with one dimension, as norms and their moments are. All others, also α and β, have two.
    is_vector: bool,
}

/// Returns name, type and shape of a tensor in a file.
fn info(SavedTensor { name, location: TensorLocation { spec, .. }, is_vector }: &SavedTensor) -> HeaderEntry {
    match spec.storage {
        Storage::F32 => (name.clone(), Dtype::F32, if *is_vector { vec![spec.cols] } else { vec![spec.rows, spec.cols] }),
        // Blocks of 8-bit codes are stored as on the device, in 32-bit words.
        _ => (name.clone(), Dtype::U32, vec![spec.rows, spec.row_words()]),
    }
}

impl Checkpoint {
    /// Reads `state.json` of the checkpoint in `path`.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let file = path.join("state.json");
        let text = platform::read_text(&file).map_err(|error| FormatError::new(&file, format!("cannot be read: {error}")))?;
        Self::parse(&file, &text)
    }

    /// Parses the text of a `state.json`. `file` is its path, for errors.
    pub fn parse(file: &Path, text: &str) -> Result<Self, CheckpointError> {
        let value = parse_checksummed_json(file, text)?;
        let found = value["format"].as_u64().unwrap_or(0) as u32;
        if found > FORMAT {
            return Err(CheckpointError::Newer { path: file.to_path_buf(), found });
        }
        let sums = FileSums::of_state(file, &value)?;
        let run = value.get("run").map(RunRecord::deserialize).transpose().map_err(|error| FormatError::new(file, format!("run: {error}")))?;
        let state = serde_json::from_value(value).map_err(|error| FormatError::new(file, error))?;
        Ok(Self { state, sums, run })
    }

    /// Opens a safetensors file of this checkpoint, which is in `path`.
    pub(super) fn tensors(&self, path: &Path, name: &str) -> Result<TensorFile, FormatError> {
        let file = TensorFile::open(&path.join(name))?;
        match self.sums.as_ref().and_then(|sums| sums.tensors(name)) {
            Some(sums) => file.with_sums(sums),
            None => Ok(file),
        }
    }
}

/// Loads the checkpoint in `path`: parameters, signs and moments. Gradients are cleared.
pub(super) fn restore(path: &Path, machine: &mut Machine, weights: &Weights) -> Result<Checkpoint, CheckpointError> {
    let checkpoint = Checkpoint::read(path)?;
    let model = checkpoint.tensors(path, "model.safetensors")?;
    load(machine, weights, &mut |name, rows, cols, range| model.read_rows(name, rows, cols, range).map_err(CheckpointError::from))?;
    let optimizer = checkpoint.tensors(path, "optimizer.safetensors")?;
    for (name, [first, second]) in weights.moments() {
        for (moment, location) in [("first", first), ("second", second)] {
            let (name, Spec { rows, cols, storage }) = (format!("{name}.{moment}"), location.spec);
            match storage {
                Storage::F32 => machine.write_f32(&location, &optimizer.floats(&name, rows, cols)?)?,
                _ => machine.write(&location, &optimizer.words(&name, rows, location.spec.row_words())?)?,
            }
        }
    }
    clear_gradients(machine, weights)?;
    Ok(checkpoint)
}

/// Sets every gradient to zero.
pub(super) fn clear_gradients(machine: &mut Machine, weights: &Weights) -> Result<(), MachineError> {
    for location in weights.gradients() {
        machine.write(&location, &vec![0; location.spec.words()])?;
    }
    Ok(())
}
