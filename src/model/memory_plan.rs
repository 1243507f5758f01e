//! Memory use of a run by purpose, read from the machine after allocation, or from a machine that only counts.

use super::weights::{MemoryPart, Weights};
use crate::graph::{Machine, MemoryId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes by purpose. The parts add up to all allocated memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// Name and bytes of each part.
    pub parts: Vec<(String, u64)>,
    /// Bytes of activations of each program. Programs share this memory, since only one runs at a time.
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

    /// Adds a model's tensors, with `whose` as prefix of the part names.
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

    /// Adds the activations of all programs, and the rest of the machine's memory as one part.
    pub fn complete(mut self, machine: &Machine, programs: Vec<(String, u64)>) -> Self {
        let rest = machine.memory_bytes() - self.total();
        self.add("activations", machine.slot_bytes());
        self.add("tables, batches, reports", rest);
        self.programs = programs;
        self
    }
}

/// Total bytes of these allocations.
pub fn bytes_of(machine: &Machine, memories: impl IntoIterator<Item = MemoryId>) -> u64 {
    memories.into_iter().map(|memory| machine.bytes_of(memory)).sum()
}
