//! A model's tensors on a machine: allocation in arenas, with gradients and optimizer moments in training.

use super::config::ModelConfig;
use super::tensors::LayerGroup;
use crate::graph::{BufferKind, LOG_BLOCK, Machine, MachineError, MemoryId, Spec, Storage, Tape, TensorId, TensorLocation};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// The kind of the blocks' linear layers. Head and embedding are always dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linears {
    /// Full precision: a teacher, or a baseline.
    Dense,
    /// Signs with α and β.
    Binary,
}

/// The storage of AdamW's moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moments {
    /// As 32-bit floats.
    F32,
    /// In blocks of 8-bit codes, see [`Storage::SignedLog`].
    Q8,
}

impl Moments {
    /// Storage of the first and the second moment.
    fn storages(self) -> [Storage; 2] {
        match self {
            Moments::F32 => [Storage::F32; 2],
            Moments::Q8 => [Storage::SignedLog, Storage::UnsignedLog],
        }
    }

    /// Alignment of tensors in an arena, in words: a block of codes in Q8.
    fn align(self) -> usize {
        match self {
            Moments::F32 => ALIGN,
            Moments::Q8 => LOG_BLOCK,
        }
    }
}

/// The purpose for which weights are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Training: also allocates gradients, moments in this storage, and latent weights of binary layers.
    Training(Moments),
    /// Inference: matrices outside binary layers are in this storage.
    Inference(Storage),
}

/// The memory locations of a group of binarized linear layers.
#[derive(Clone, Debug)]
pub struct BinaryGroup {
    /// The layers.
    pub group: LayerGroup,
    /// Signs `(out, in)` of all layers, stacked.
    pub signs: TensorLocation,
    /// Transposed signs `(in, out)`; in training only.
    pub transposed: Option<TensorLocation>,
    /// Latent weights `(out, in)`; in training only.
    pub latent: Option<TensorLocation>,
}

impl BinaryGroup {
    /// The layers and their signs.
    pub fn layers(&self) -> impl Iterator<Item = (&str, TensorLocation)> {
        let mut first = 0;
        self.group.members.iter().map(move |(name, out)| {
            first += out;
            (name.as_str(), self.signs.rows(first - out, *out))
        })
    }
}

/// A trained parameter with its gradient and moments. All four have the same shape, except for Q8 moments of tensors
/// that AdamW updates by pages: these are one row for the tensor's whole group.
#[derive(Clone, Copy, Debug)]
pub struct TrainedTensor {
    /// The parameter.
    pub value: TensorLocation,
    /// The gradient, accumulated over micro-steps.
    pub gradient: TensorLocation,
    /// AdamW's first moment.
    pub first: TensorLocation,
    /// AdamW's second moment.
    pub second: TensorLocation,
}

/// The content of a memory allocation of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryPart {
    /// Signs of binarized layers, in training also transposed.
    Signs,
    /// Latent weights of binarized layers.
    Latent,
    /// All other parameters.
    Values,
    /// Gradients.
    Gradients,
    /// AdamW's moments.
    Moments,
}

/// A model's tensors on a machine.
#[derive(Debug)]
pub struct Weights {
    /// The model's configuration.
    pub config: ModelConfig,
    /// The kind of the linear layers.
    pub linears: Linears,
    /// Groups of binarized layers, in the model's order; empty if dense.
    pub binary: Vec<BinaryGroup>,
    /// All float tensors by the name in files (`NAME.weight`, `NAME.wscale`, `NAME.wbias`), and the stacked tensors of
    /// grouped layers by the group's name.
    locations: HashMap<String, TensorLocation>,
    /// In training: each named tensor with gradient and moments.
    trained: HashMap<String, TrainedTensor>,
    /// In training: pages of parameters that are not binarized.
    pages: Vec<TrainedTensor>,
    names: Vec<String>,
    /// In training: names of the tensors, or groups, that have separate moments.
    moments: Vec<String>,
    /// Maximum words of a tensor on a tape.
    max_words: usize,
    /// Tokens with a non-finite row in the embedding.
    unusable: Vec<u32>,
}

impl TrainedTensor {
    /// Returns true if the moments have the rows of the value.
    fn has_rows(&self) -> bool {
        self.first.spec.rows == self.value.spec.rows
    }

    /// Rows `first..first + rows` of each tensor that has rows.
    fn rows(&self, first: usize, rows: usize) -> Self {
        let [value, gradient] = [self.value, self.gradient].map(|location| location.rows(first, rows));
        let [first, second] = [self.first, self.second].map(|location| if self.has_rows() { location.rows(first, rows) } else { location });
        Self { value, gradient, first, second }
    }
}

/// Tensors that are stacked as one matrix.
struct StackedTensors {
    name: String,
    cols: usize,
    /// Name and rows of each.
    members: Vec<(String, usize)>,
}

impl StackedTensors {
    /// The tensors `NAME.part` of a group, with `rows` rows each or as many as the layer has outputs.
    fn of(group: &LayerGroup, part: &str, rows: Option<usize>) -> Self {
        let members = group.members.iter().map(|(name, out)| (format!("{name}.{part}"), rows.unwrap_or(*out))).collect();
        Self { name: format!("{}.{part}", group.name), cols: group.width, members }
    }

    fn spec(&self, storage: Storage) -> Spec {
        Spec { rows: self.members.iter().map(|(_, rows)| rows).sum(), cols: self.cols, storage }
    }

    /// Name, first row and rows of each.
    fn parts(&self) -> impl Iterator<Item = (&String, usize, usize)> {
        let mut first = 0;
        self.members.iter().map(move |(name, rows)| {
            first += rows;
            (name, first - rows, *rows)
        })
    }
}

/// Alignment of tensors in words: 256 bytes, the alignment of bindings.
const ALIGN: usize = 64;

/// Places tensors consecutively in pages, each no larger than a binding may be.
struct PageLayout {
    max_words: usize,
    align: usize,
    sizes: Vec<usize>,
}

impl PageLayout {
    fn assign(&mut self, words: usize) -> (usize, usize) {
        let room = words.next_multiple_of(self.align);
        match self.sizes.last_mut() {
            Some(size) if *size + room <= self.max_words => {
                let offset = *size;
                *size += room;
                (self.sizes.len() - 1, offset)
            }
            _ => {
                self.sizes.push(room);
                (self.sizes.len() - 1, 0)
            }
        }
    }
}

/// Tensors in pages of memory.
struct Arena {
    memories: Vec<MemoryId>,
    sizes: Vec<usize>,
    positions: Vec<(usize, usize)>,
}

impl Arena {
    fn new(machine: &mut Machine, specs: &[Spec], align: usize) -> Result<Self, MachineError> {
        let mut pages = PageLayout { max_words: machine.max_words().min(PAGE_WORDS), align, sizes: Vec::new() };
        let positions = specs.iter().map(|spec| pages.assign(spec.words())).collect();
        let class = specs.first().map_or(BufferKind::Real, |spec| BufferKind::of(spec.storage));
        let memories = pages.sizes.iter().map(|&words| machine.allocate(class, words)).collect::<Result<_, _>>()?;
        Ok(Self { memories, sizes: pages.sizes, positions })
    }

    /// Allocates memory with the same layout, each page one row in `storage`: for gradients and moments.
    fn same_layout(&self, machine: &mut Machine, storage: Storage) -> Result<Vec<MemoryId>, MachineError> {
        self.sizes.iter().map(|&words| machine.allocate(BufferKind::of(storage), storage.row_words(words))).collect()
    }

    /// Allocates a moment for these tensors. With `by_page`, for tensors that AdamW updates by pages, they are parts of the
    /// pages' single rows; else each has its own rows.
    fn moment(&self, machine: &mut Machine, specs: &[Spec], storage: Storage, by_page: bool) -> Result<(Vec<MemoryId>, Vec<TensorLocation>), MachineError> {
        let own: Vec<Spec> = specs.iter().map(|spec| Spec { storage, ..*spec }).collect();
        if storage != Storage::F32 && !by_page {
            let arena = Arena::new(machine, &own, ALIGN)?;
            let locations = (0..own.len()).map(|n| arena.location(&arena.memories, n, own[n])).collect();
            return Ok((arena.memories, locations));
        }
        let memories = self.same_layout(machine, storage)?;
        let location = |(&(page, offset), own): (&(usize, usize), &Spec)| {
            let spec = if storage == Storage::F32 { *own } else { Spec { rows: 1, cols: own.elements(), storage } };
            TensorLocation { memory: memories[page], offset: storage.row_words(offset), spec }
        };
        let locations = self.positions.iter().zip(&own).map(location).collect();
        Ok((memories, locations))
    }

    fn location(&self, memories: &[MemoryId], n: usize, spec: Spec) -> TensorLocation {
        let (page, offset) = self.positions[n];
        TensorLocation { memory: memories[page], offset, spec }
    }
}

/// Maximum words of a page, so that one dispatch over it stays short.
const PAGE_WORDS: usize = 32 << 20;
/// Parts of a page are multiples of this many alignments, so that their Q8 codes are aligned for bindings.
const PART_ALIGN: usize = 64;

impl Weights {
    /// Allocates memory for a model, filled with zeros.
    pub fn allocate(machine: &mut Machine, config: &ModelConfig, linears: Linears, purpose: Purpose) -> Result<Self, MachineError> {
        let mut weights = Weights {
            config: config.clone(),
            linears,
            binary: Vec::new(),
            locations: HashMap::new(),
            trained: HashMap::new(),
            pages: Vec::new(),
            names: Vec::new(),
            moments: Vec::new(),
            max_words: machine.max_words(),
            unusable: Vec::new(),
        };
        let mut plain: Vec<StackedTensors> =
            config.others().into_iter().map(|(name, rows, cols)| StackedTensors { members: vec![(name.clone(), rows)], name, cols }).collect();
        match linears {
            Linears::Dense => plain.extend(config.groups().iter().map(|group| StackedTensors::of(group, "weight", None))),
            Linears::Binary => {
                let scales = |group: &LayerGroup| ["wscale", "wbias"].map(|part| StackedTensors::of(group, part, Some(1)));
                plain.extend(config.groups().iter().flat_map(scales));
                weights.allocate_binary(machine, purpose)?;
            }
        }
        match purpose {
            Purpose::Training(moments) => weights.allocate_trained(machine, &plain, moments, true)?,
            Purpose::Inference(storage) => {
                let (rows, matrices): (Vec<_>, Vec<_>) = plain.into_iter().partition(|block| block.members.iter().all(|(_, rows)| *rows == 1));
                weights.allocate_arena(machine, &rows, Storage::F32)?;
                weights.allocate_arena(machine, &matrices, storage)?;
            }
        }
        Ok(weights)
    }

    fn allocate_arena(&mut self, machine: &mut Machine, blocks: &[StackedTensors], storage: Storage) -> Result<(), MachineError> {
        let specs: Vec<Spec> = blocks.iter().map(|block| block.spec(storage)).collect();
        let arena = Arena::new(machine, &specs, ALIGN)?;
        for (n, block) in blocks.iter().enumerate() {
            let location = arena.location(&arena.memories, n, specs[n]);
            self.locations.insert(block.name.clone(), location);
            for (name, first, rows) in block.parts() {
                self.locations.insert(name.clone(), location.rows(first, rows));
                self.names.push(name.clone());
            }
        }
        Ok(())
    }

    fn allocate_trained(&mut self, machine: &mut Machine, blocks: &[StackedTensors], moments: Moments, whole_pages: bool) -> Result<(), MachineError> {
        let specs: Vec<Spec> = blocks.iter().map(|block| block.spec(Storage::F32)).collect();
        let arena = Arena::new(machine, &specs, moments.align())?;
        let gradients = arena.same_layout(machine, Storage::F32)?;
        let [of_first, of_second] = moments.storages();
        let (firsts, first) = arena.moment(machine, &specs, of_first, whole_pages)?;
        let (seconds, second) = arena.moment(machine, &specs, of_second, whole_pages)?;
        for (n, block) in blocks.iter().enumerate() {
            let location = |memories: &[MemoryId]| arena.location(memories, n, specs[n]);
            let trained = TrainedTensor { value: location(&arena.memories), gradient: location(&gradients), first: first[n], second: second[n] };
            self.insert_trained(block.name.clone(), trained);
            for (name, first, rows) in block.parts() {
                self.insert_trained(name.clone(), trained.rows(first, rows));
                self.names.push(name.clone());
            }
            let names = if trained.has_rows() { block.members.iter().map(|(name, _)| name.clone()).collect() } else { vec![block.name.clone()] };
            self.moments.extend(names);
        }
        // A tensor larger than a page has its own page, which AdamW updates in several parts.
        let align = PART_ALIGN * moments.align();
        let part = machine.max_words().min(PAGE_WORDS) / align * align;
        for (page, &words) in arena.sizes.iter().enumerate().filter(|_| whole_pages) {
            for offset in (0..words).step_by(part) {
                let cols = part.min(words - offset);
                let location = |memories: &[MemoryId], storage: Storage| TensorLocation {
                    memory: memories[page],
                    offset: storage.row_words(offset),
                    spec: Spec { rows: 1, cols, storage },
                };
                let [value, gradient] = [&arena.memories, &gradients].map(|memories| location(memories, Storage::F32));
                self.pages.push(TrainedTensor { value, gradient, first: location(&firsts, of_first), second: location(&seconds, of_second) });
            }
        }
        Ok(())
    }

    fn insert_trained(&mut self, name: String, trained: TrainedTensor) {
        self.locations.insert(name.clone(), trained.value);
        self.trained.insert(name, trained);
    }

    /// Allocates the signs of binarized layers, and in training their transposes and latent weights.
    fn allocate_binary(&mut self, machine: &mut Machine, purpose: Purpose) -> Result<(), MachineError> {
        let groups = self.config.groups();
        let specs: Vec<Spec> = groups.iter().map(|group| Spec::signs(group.out(), group.width)).collect();
        let signs = Arena::new(machine, &specs, ALIGN)?;
        let moments = match purpose {
            Purpose::Training(moments) => Some(moments),
            Purpose::Inference(_) => None,
        };
        let transposed_specs: Vec<Spec> = groups.iter().map(|group| Spec::signs(group.width, group.out())).collect();
        let transposed = moments.map(|_| Arena::new(machine, &transposed_specs, ALIGN)).transpose()?;
        if let Some(moments) = moments {
            let latents: Vec<StackedTensors> = groups.iter().map(|group| StackedTensors::of(group, "weight", None)).collect();
            self.allocate_trained(machine, &latents, moments, false)?;
        }
        for (n, group) in groups.into_iter().enumerate() {
            self.binary.push(BinaryGroup {
                signs: signs.location(&signs.memories, n, specs[n]),
                transposed: transposed.as_ref().map(|arena| arena.location(&arena.memories, n, transposed_specs[n])),
                latent: self.locations.get(&format!("{}.weight", group.name)).copied(),
                group,
            });
        }
        Ok(())
    }

    /// The memory location of a named tensor.
    pub fn location(&self, name: &str) -> Option<TensorLocation> {
        self.locations.get(name).copied()
    }

    /// Names of all float tensors in files, in a fixed order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A named tensor with gradient and moments, if it is trained.
    pub fn trained(&self, name: &str) -> Option<TrainedTensor> {
        self.trained.get(name).copied()
    }

    /// Names and locations of both moments of all trained tensors, in a fixed order; one entry for a group whose Q8 codes
    /// share blocks.
    pub fn moments(&self) -> impl Iterator<Item = (&str, [TensorLocation; 2])> {
        self.moments.iter().map(|name| (name.as_str(), [self.trained[name].first, self.trained[name].second]))
    }

    /// Pages of parameters, gradients and moments that AdamW updates without packing signs.
    pub fn pages(&self) -> &[TrainedTensor] {
        &self.pages
    }

    /// All ranges of gradients, each once: pages, then latent weights.
    pub fn gradients(&self) -> Vec<TensorLocation> {
        let latent = self.binary.iter().filter_map(|binary| self.trained(&format!("{}.weight", binary.group.name)));
        self.pages.iter().copied().chain(latent).map(|trained| trained.gradient).collect()
    }

    /// All memory allocations of the model and their contents.
    pub fn memories(&self) -> BTreeMap<MemoryId, MemoryPart> {
        let mut memories = BTreeMap::new();
        memories.extend(self.locations.values().map(|location| (location.memory, MemoryPart::Values)));
        for layer in &self.binary {
            memories.insert(layer.signs.memory, MemoryPart::Signs);
            memories.extend(layer.transposed.map(|location| (location.memory, MemoryPart::Signs)));
            memories.extend(layer.latent.map(|location| (location.memory, MemoryPart::Latent)));
        }
        for trained in self.trained.values() {
            memories.insert(trained.gradient.memory, MemoryPart::Gradients);
            memories.extend([trained.first, trained.second].map(|location| (location.memory, MemoryPart::Moments)));
        }
        memories
    }

    /// Puts a named tensor on a tape: as a parameter if it is trained, else as a constant.
    pub fn tensor(&self, tape: &mut Tape, name: &str) -> TensorId {
        match self.trained.get(name) {
            Some(trained) => tape.parameter(trained.value, trained.gradient),
            None => tape.persistent(*self.locations.get(name).unwrap_or_else(|| panic!("the model has no tensor {name}"))),
        }
    }

    /// Like [`Weights::tensor`], in as many blocks of rows as the binding limit requires.
    pub fn tensors(&self, tape: &mut Tape, name: &str) -> Vec<TensorId> {
        let whole = self.locations.get(name).unwrap_or_else(|| panic!("the model has no tensor {name}"));
        let block = |rows: Range<usize>| {
            let part = |location: TensorLocation| location.rows(rows.start, rows.len());
            match self.trained.get(name) {
                Some(trained) => tape.parameter(part(trained.value), part(trained.gradient)),
                None => tape.persistent(part(*whole)),
            }
        };
        self.row_blocks(whole.spec).map(block).collect()
    }

    /// The latent weight of a group in training, in as many blocks of rows as the binding limit requires: the first row of
    /// each, and the block with its signs.
    pub fn latent_blocks(&self, binary: &BinaryGroup) -> impl Iterator<Item = (usize, TrainedTensor, TensorLocation)> {
        let trained = self.trained(&format!("{}.weight", binary.group.name)).expect("a latent weight in training");
        let signs = binary.signs;
        self.row_blocks(trained.value.spec).map(move |rows| (rows.start, trained.rows(rows.start, rows.len()), signs.rows(rows.start, rows.len())))
    }

    /// Most words of a tensor on a tape.
    pub fn max_words(&self) -> usize {
        self.max_words
    }

    /// Returns the blocks of rows in which a tensor can be bound. They are aligned for bindings. A row that is too large
    /// alone is an error of the machine.
    fn row_blocks(&self, whole: Spec) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = match self.max_words / whole.row_words() / ALIGN * ALIGN {
            _ if whole.words() <= self.max_words => whole.rows,
            0 => whole.rows,
            rows => rows,
        };
        (0..whole.rows).step_by(rows).map(move |first| first..whole.rows.min(first + rows))
    }

    /// Tokens with a non-finite row in the embedding, which texts must not contain.
    pub fn unusable(&self) -> &[u32] {
        &self.unusable
    }

    /// Sets the tokens with a non-finite embedding, in ascending order.
    pub(super) fn set_unusable(&mut self, tokens: Vec<u32>) {
        self.unusable = tokens;
    }

    /// The name of the head's tensor: the embedding if they are tied.
    pub fn head(&self) -> &'static str {
        let architecture = self.config.architecture();
        if self.config.tie_word_embeddings { architecture.embedding() } else { architecture.head() }
    }
}
