//! A packed snapshot of weights on a machine: the file that `signet pack` writes, in memory. Signs are the machine's
//! sign words, so latent weights are not read back.

use super::chat_format::ChatFormat;
use super::file_formats::packed::{PackedMetadata, PackedTensors, write};
use super::model_error::ModelError;
use super::model_error::write_error;
use super::weights::{BinaryGroup, Weights};
use crate::data::Tokenizer;
use crate::graph::{Machine, TensorLocation};
use std::collections::HashMap;
use std::path::Path;

/// The path of a snapshot in messages.
const SNAPSHOT: &str = "the snapshot";

/// Weights on a machine.
struct OnMachine<'a> {
    machine: &'a mut Machine,
    weights: &'a Weights,
    signs: HashMap<&'a str, TensorLocation>,
}

impl PackedTensors for OnMachine<'_> {
    async fn signs(&mut self, layer: &str, _: usize, _: usize) -> Result<Vec<u32>, ModelError> {
        Ok(self.machine.read(&self.signs[layer]).await?)
    }

    async fn floats(&mut self, name: &str, _: usize, _: usize) -> Result<Vec<f32>, ModelError> {
        Ok(self.machine.read_f32(&self.weights.location(name).expect("named")).await?)
    }

    fn path(&self) -> &Path {
        Path::new(SNAPSHOT)
    }
}

/// Writes the current `weights` as a packed file and returns its bytes. An error if a value overflows f16, as when
/// training has diverged.
pub async fn snapshot(machine: &mut Machine, weights: &Weights, tokenizer: &Tokenizer, chat: &ChatFormat) -> Result<Vec<u8>, ModelError> {
    let source_metadata = PackedMetadata { config: &weights.config, linears: weights.linears, tokenizer: Some(tokenizer), chat };
    let signs = weights.binary.iter().flat_map(BinaryGroup::layers).collect();
    let mut bytes = Vec::new();
    write(&source_metadata, &mut OnMachine { machine, weights, signs }, &mut bytes).await.map_err(|error| write_error(Path::new(SNAPSHOT), error))?;
    Ok(bytes)
}
