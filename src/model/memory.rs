//! What a run takes of a machine's memory, part by part: read from the machine after its tensors
//! and programs were made there, or only counted.

use super::weights::{MemoryPart, Weights};
use crate::graph::{Machine, MemoryId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes by what they are for. They add up to everything that is reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// What, and how many bytes.
    pub parts: Vec<(String, u64)>,
    /// Bytes of activations each program needs; programs share them, since no two run at once.
    pub programs: Vec<(String, u64)>,
}

impl MemoryPlan {
    /// All bytes.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Adds a part, unless it is empty.
    pub fn add(&mut self, name: &str, bytes: u64) {
        if bytes > 0 {
            self.parts.push((name.into(), bytes));
        }
    }

    /// Adds what a model's tensors take, its parts named after `whose`.
    pub fn add_model(&mut self, machine: &Machine, whose: &str, weights: &Weights) {
        let mut bytes: BTreeMap<MemoryPart, u64> = BTreeMap::new();
        for (memory, part) in weights.memories() {
            *bytes.entry(part).or_default() += machine.bytes_of(memory);
        }
        for (part, bytes) in bytes {
            let name = match part {
                MemoryPart::Signs => "signs",
                MemoryPart::Latent => "latent weights",
                MemoryPart::Values => "full precision",
                MemoryPart::Gradients => "gradients",
                MemoryPart::Moments => "moments",
            };
            self.add(&format!("{whose}: {name}"), bytes);
        }
    }

    /// Adds the slots of all programs, and whatever of the machine's memory is in no part yet.
    pub fn complete(mut self, machine: &Machine, programs: Vec<(String, u64)>) -> Self {
        let rest = machine.memory_bytes() - self.total();
        self.add("activations", machine.slot_bytes());
        self.add("tables, batches, reports", rest);
        self.programs = programs;
        self
    }
}

/// Bytes of some memories of a machine.
pub fn bytes_of(machine: &Machine, memories: impl IntoIterator<Item = MemoryId>) -> u64 {
    memories.into_iter().map(|memory| machine.bytes_of(memory)).sum()
}
