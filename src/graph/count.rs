//! A machine that only counts memory: the code that sets up a run reports how much memory it needs
//! before any is reserved. Pure.

use super::fuse::{Fusion, fuse};
use super::ids::MemoryId;
use super::op::{Launch, Specs};
use super::plan::{Overlap, Plan, Pool, check_overlaps};
use super::shape::Spec;
use super::tape::{ShapedOp, Tape};
use super::work::Work;
use std::collections::BTreeMap;

/// A counter of the words that a machine would reserve.
#[derive(Clone, Debug)]
pub struct Counter {
    max_words: usize,
    fusions: &'static [Fusion],
    memory: Vec<usize>,
    pool: Pool,
    kept: u64,
    largest: usize,
    preferred: &'static [&'static str],
    choices: BTreeMap<String, (ShapedOp, usize)>,
}

/// A dispatch that a GPU would run.
#[derive(Clone, Debug)]
pub struct CountedLaunch {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Its work.
    pub work: Work,
    /// Workgroups in each dimension.
    pub groups: [u32; 3],
}

/// The memory and the dispatches of a tape.
#[derive(Clone, Debug)]
pub struct CountedProgram {
    /// Words in its slots.
    pub slot_words: u64,
    /// The dispatches of a run, none of them split.
    pub launches: Vec<CountedLaunch>,
}

impl Counter {
    /// A counter for a machine with tensors of at most `max_words` words and these fusions.
    pub fn new(max_words: usize, fusions: &'static [Fusion]) -> Self {
        Self { max_words, fusions, memory: Vec::new(), pool: Pool::default(), kept: 0, largest: 0, choices: BTreeMap::new(), preferred: &[] }
    }

    /// Counts the dispatches of variants of these names where there are any, else of portable ones.
    pub fn preferring(self, variants: &'static [&'static str]) -> Self {
        Self { preferred: variants, ..self }
    }

    /// Most words of an allocation.
    pub fn max_words(&self) -> usize {
        self.max_words
    }

    /// Words of the largest operand of all tapes, which a device must bind.
    pub fn largest_operand(&self) -> usize {
        self.largest
    }

    /// The sequences that it fuses.
    pub fn fusions(&self) -> &'static [Fusion] {
        self.fusions
    }

    /// Counts `words` words that outlive every tape.
    pub fn allocate(&mut self, words: usize) -> MemoryId {
        self.memory.push(words);
        MemoryId(self.memory.len() - 1)
    }

    /// Words reserved.
    pub fn memory_words(&self) -> u64 {
        self.memory.iter().map(|&words| words as u64).sum()
    }

    /// Words of a memory.
    pub fn words_of(&self, MemoryId(memory): MemoryId) -> usize {
        self.memory[memory]
    }

    /// Words in the slots of all programs.
    pub fn slot_words(&self) -> u64 {
        self.pool.words() + self.kept
    }

    /// Returns the operations of all tapes with several variants at their shapes, with the number of occurrences of each.
    pub fn choices(&self) -> &BTreeMap<String, (ShapedOp, usize)> {
        &self.choices
    }

    /// Plans a tape.
    pub fn compile(&mut self, tape: &Tape) -> Result<CountedProgram, Overlap> {
        check_overlaps(tape)?;
        let tape = fuse(tape, self.fusions, |variants| !variants.is_empty());
        let plan = Plan::new(&tape);
        self.pool.assign(&plan);
        self.kept += plan.kept_words();
        for (key, (choice, times)) in tape.choices() {
            self.choices.entry(key).or_insert((choice, 0)).1 += times;
        }
        let largest = tape.nodes.iter().flat_map(|node| node.inputs.iter().chain(&node.updates).chain(&node.outputs)).map(|&id| tape.spec(id).words()).max();
        self.largest = self.largest.max(largest.unwrap_or(0));
        let mut launches = Vec::new();
        for node in &tape.nodes {
            let (inputs, updates) = tape.specs_of(node);
            let outputs: Vec<Spec> = node.outputs.iter().map(|&id| tape.spec(id)).collect();
            let specs = Specs { inputs: &inputs, updates: &updates };
            let mut variants = node.op.variants(specs);
            let chosen = variants.iter().position(|variant| self.preferred.contains(&variant.name)).unwrap_or(0);
            let launched = |launch: Launch| CountedLaunch { kernel: launch.kernel, work: Work::of(&launch, specs, &outputs), groups: launch.groups };
            launches.extend(variants.swap_remove(chosen).launches.into_iter().map(launched));
        }
        Ok(CountedProgram { slot_words: plan.words(), launches })
    }
}
