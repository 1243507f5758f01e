//! Checkpoints: a model directory that loads anywhere, with the optimizer's moments and the state
//! that makes a resume exact. Written beside, synced and renamed: never half there.

use super::guard::Guard;
use super::step::Step;
use crate::formats::safetensors::{TensorFile, write_header};
use crate::formats::{FormatError, TensorSource};
use crate::graph::{Home, Machine, MachineError, Spec, Storage};
use crate::model::{ModelError, Weights, load};
use crate::platform::{self, Commit};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The format that this program writes.
const FORMAT: u32 = 1;

/// What a run must know to go on exactly where it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Format of the checkpoint; a newer one is refused.
    pub format: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// Batches taken from the data: more than the steps account for after a rollback.
    pub cursor: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The guard's memory, the loss scale included.
    pub guard: Guard,
    /// The norm threshold of the next step, where it was decided before the report of the last was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Step and held-out loss of the best checkpoint.
    pub best: Option<(u64, f64)>,
    /// The device that made it: on another, a resume is not exact to the bit.
    pub device: String,
    /// The teacher cache it learnt from, if it did: another would not be the same run.
    #[serde(default)]
    pub cache: Option<String>,
}

impl State {
    /// The state of a run that has not begun.
    pub fn new(guard: Guard, device: &str) -> Self {
        State { format: FORMAT, step: 0, cursor: 0, tokens: 0, seconds: 0.0, guard, threshold: None, best: None, device: device.into(), cache: None }
    }
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It could not be written.
    #[error("{}: the checkpoint could not be written ({error}). Earlier checkpoints are whole: make room and go on with --resume", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file of it cannot be understood.
    #[error(transparent)]
    File(#[from] FormatError),
    /// The machine's own.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its model does not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Made by a newer program.
    #[error("{}: made by a newer Signet (checkpoint format {found}; this one reads up to {FORMAT}). Update Signet", path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Writes a checkpoint into `path`; `files` are small texts that belong to it.
pub(super) async fn save(path: &Path, machine: &mut Machine, step: &Step, state: &State, files: &[(&str, String)]) -> Result<(), CheckpointError> {
    let weights = &step.student;
    let value = |name: &String| weights.trained(name).expect("trained").value;
    let moments: Vec<(String, Home)> =
        weights.moments().flat_map(|(name, [first, second])| [(format!("{name}.first"), first), (format!("{name}.second"), second)]).collect();
    let values: Vec<(String, Home)> = weights.names().iter().map(|name| (name.clone(), value(name))).collect();
    let state_text = serde_json::to_string_pretty(state).expect("state is plain data");
    let at = |error| CheckpointError::Write { path: path.to_path_buf(), error };
    let mut commit = Commit::begin(path).map_err(at)?;
    for (name, tensors) in [("model.safetensors", &values), ("optimizer.safetensors", &moments)] {
        let mut part = commit.part(name).map_err(at)?;
        part.write_all(&header(tensors).map_err(at)?).map_err(at)?;
        for (_, home) in tensors {
            for chunk in machine.read(home).await?.chunks(1 << 16) {
                let bytes: Vec<u8> = chunk.iter().flat_map(|word| word.to_le_bytes()).collect();
                part.write_all(&bytes).map_err(at)?;
            }
        }
        part.end().map_err(at)?;
    }
    for (name, text) in files.iter().map(|(name, text)| (*name, text)).chain([("state.json", &state_text)]) {
        let mut part = commit.part(name).map_err(at)?;
        part.write_all(text.as_bytes()).and_then(|()| part.end()).map_err(at)?;
    }
    commit.finish().map_err(at)
}

/// The header of a file that holds these tensors.
fn header(tensors: &[(String, Home)]) -> io::Result<Vec<u8>> {
    let info = |(name, home): &(String, Home)| match home.spec.storage {
        Storage::F32 => (name.clone(), Dtype::F32, shape(name, home)),
        // Codes as they are on the device.
        _ => (name.clone(), Dtype::U32, vec![home.spec.rows, home.spec.row_words()]),
    };
    let mut header = Vec::new();
    write_header(&mut header, &tensors.iter().map(info).collect::<Vec<_>>(), &BTreeMap::new())?;
    Ok(header)
}

/// The shape Hugging Face gives a tensor: norms are vectors, α and β rows.
fn shape(name: &str, home: &Home) -> Vec<usize> {
    if name.contains("norm.weight") { vec![home.spec.cols] } else { vec![home.spec.rows, home.spec.cols] }
}

/// Reads the state of the checkpoint in `path`.
pub fn read_state(path: &Path) -> Result<State, CheckpointError> {
    let file = path.join("state.json");
    let text = platform::read_text(&file).map_err(|error| FormatError::new(&file, error))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| FormatError::new(&file, error))?;
    let found = value["format"].as_u64().unwrap_or(0) as u32;
    if found > FORMAT {
        return Err(CheckpointError::Newer { path: path.to_path_buf(), found });
    }
    Ok(serde_json::from_value(value).map_err(|error| FormatError::new(&file, error))?)
}

/// Loads the checkpoint in `path`: parameters, signs and moments. Gradients are cleared.
pub(super) fn restore(path: &Path, machine: &mut Machine, weights: &Weights) -> Result<State, CheckpointError> {
    let state = read_state(path)?;
    let model = TensorFile::open(&path.join("model.safetensors"))?;
    load(machine, weights, &mut |name, rows, cols, band| model.band(name, rows, cols, band).map_err(CheckpointError::from))?;
    let optimizer = TensorFile::open(&path.join("optimizer.safetensors"))?;
    for (name, [first, second]) in weights.moments() {
        for (moment, home) in [("first", first), ("second", second)] {
            let (name, Spec { rows, cols, storage }) = (format!("{name}.{moment}"), home.spec);
            match storage {
                Storage::F32 => machine.write_f32(&home, &optimizer.floats(&name, rows, cols)?)?,
                _ => machine.write(&home, &optimizer.words(&name, rows, home.spec.row_words())?)?,
            }
        }
    }
    clear_gradients(machine, weights)?;
    Ok(state)
}

/// Sets every gradient to zero.
pub(super) fn clear_gradients(machine: &mut Machine, weights: &Weights) -> Result<(), MachineError> {
    for home in weights.gradients() {
        machine.write(&home, &vec![0; home.spec.words()])?;
    }
    Ok(())
}
