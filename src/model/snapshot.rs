//! A packed model of weights that are on a machine: the same file as `signet pack` writes, in memory.
//! Signs are the machine's own sign words, so that no latent weight is read.

use super::chat_format::ChatFormat;
use super::error::ModelError;
use super::error::write_error;
use super::files::packed::{PackedMetadata, PackedTensors, write};
use super::weights::{BinaryGroup, Weights};
use crate::data::Tokenizer;
use crate::graph::{Home, Machine};
use std::collections::HashMap;
use std::path::Path;

/// What messages call it.
const SNAPSHOT: &str = "the snapshot";

/// Weights on a machine.
struct OnMachine<'a> {
    machine: &'a mut Machine,
    weights: &'a Weights,
    signs: HashMap<&'a str, Home>,
}

impl PackedTensors for OnMachine<'_> {
    async fn signs(&mut self, layer: &str, _: usize, _: usize) -> Result<Vec<u32>, ModelError> {
        Ok(self.machine.read(&self.signs[layer]).await?)
    }

    async fn floats(&mut self, name: &str, _: usize, _: usize) -> Result<Vec<f32>, ModelError> {
        Ok(self.machine.read_f32(&self.weights.home(name).expect("named")).await?)
    }

    fn path(&self) -> &Path {
        Path::new(SNAPSHOT)
    }
}

/// The bytes of a packed file of `weights` as they are now. An error if a value is too large for f16,
/// as in a training that diverged.
pub async fn snapshot(machine: &mut Machine, weights: &Weights, tokenizer: &Tokenizer, chat: &ChatFormat) -> Result<Vec<u8>, ModelError> {
    let about = PackedMetadata { config: &weights.config, linears: weights.linears, tokenizer: Some(tokenizer), chat };
    let signs = weights.binary.iter().flat_map(BinaryGroup::layers).collect();
    let mut bytes = Vec::new();
    write(&about, &mut OnMachine { machine, weights, signs }, &mut bytes).await.map_err(|error| write_error(Path::new(SNAPSHOT), error))?;
    Ok(bytes)
}
