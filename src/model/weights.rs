//! A model's tensors on a machine: which there are, where they live, and what trains them.

use super::config::LlamaConfig;
use super::tensors::Group;
use crate::graph::{Class, Home, LOG_BLOCK, Machine, MachineError, MemoryId, Spec, Storage, Tape, TensorId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// How the linear layers of the blocks are stored. The head and the embedding are `dense` always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linears {
    /// Full precision: a teacher, or a baseline.
    Dense,
    /// Signs with α and β.
    Binary,
}

/// How AdamW's moments are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moments {
    /// As 32-bit floats.
    F32,
    /// In blocks of 8-bit codes, see [`Storage::SignedLog`].
    Q8,
}

impl Moments {
    /// Storage of the first and of the second.
    fn storages(self) -> [Storage; 2] {
        match self {
            Moments::F32 => [Storage::F32; 2],
            Moments::Q8 => [Storage::SignedLog, Storage::UnsignedLog],
        }
    }

    /// Words that a tensor's place in an arena is a multiple of: with codes, a block of them.
    fn align(self) -> usize {
        match self {
            Moments::F32 => ALIGN,
            Moments::Q8 => LOG_BLOCK,
        }
    }
}

/// What a set of weights is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Gradients, moments (stored so) and (if binary) latent weights are kept too.
    Training(Moments),
    /// Forward only; matrices outside binary linears are stored so.
    Inference(Storage),
}

/// The homes of a group of binarized linear layers.
#[derive(Clone, Debug)]
pub struct BinaryGroup {
    /// Its layers.
    pub group: Group,
    /// `(out, in)`, all layers one below the other.
    pub signs: Home,
    /// `(in, out)`; in training only.
    pub transposed: Option<Home>,
    /// The latent weight `(out, in)`; in training only.
    pub latent: Option<Home>,
}

impl BinaryGroup {
    /// The layers, and the signs of each.
    pub fn layers(&self) -> impl Iterator<Item = (&str, Home)> {
        let mut first = 0;
        self.group.members.iter().map(move |(name, out)| {
            first += out;
            (name.as_str(), self.signs.rows(first - out, *out))
        })
    }
}

/// One tensor that training changes, with what belongs to it. All four have one shape; but moments in
/// codes that lie in whole pages are one row, that of the tensor's whole group.
#[derive(Clone, Copy, Debug)]
pub struct TrainedTensor {
    /// The parameter.
    pub value: Home,
    /// Its gradient, added up over micro-steps.
    pub gradient: Home,
    /// AdamW's first moment.
    pub first: Home,
    /// AdamW's second moment.
    pub second: Home,
}

/// What a memory of a model holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryPart {
    /// Signs of binarized layers, in training both ways.
    Signs,
    /// The latent weights behind them.
    Latent,
    /// Everything else that is a parameter.
    Values,
    /// Gradients.
    Gradients,
    /// AdamW's moments.
    Moments,
}

/// A model's tensors on a machine.
#[derive(Debug)]
pub struct Weights {
    /// The model's shape.
    pub config: LlamaConfig,
    /// How its linear layers are stored.
    pub linears: Linears,
    /// Groups of binarized layers, in the model's order; empty if dense.
    pub binary: Vec<BinaryGroup>,
    /// Every tensor, under the names of files (`NAME.weight`, `NAME.wscale`, `NAME.wbias`) and, where
    /// layers are grouped, also under the group's, of which theirs are rows.
    homes: HashMap<String, Home>,
    /// In training: what belongs to each named tensor.
    trained: HashMap<String, TrainedTensor>,
    /// In training: whole pages of parameters that need no packing.
    pages: Vec<TrainedTensor>,
    names: Vec<String>,
    /// In training: the tensors, or groups of them, whose moments can be told apart.
    moments: Vec<String>,
    /// The most words that a tensor on a tape may have.
    max_words: usize,
    /// Tokens whose rows of the embedding are not finite.
    unusable: Vec<u32>,
}

impl TrainedTensor {
    /// Whether its moments have the rows of its value.
    fn has_rows(&self) -> bool {
        self.first.spec.rows == self.value.spec.rows
    }

    /// Rows `first..first + rows` of what has rows.
    fn rows(&self, first: usize, rows: usize) -> Self {
        let [value, gradient] = [self.value, self.gradient].map(|home| home.rows(first, rows));
        let [first, second] = [self.first, self.second].map(|home| if self.has_rows() { home.rows(first, rows) } else { home });
        Self { value, gradient, first, second }
    }
}

/// Tensors that lie one below the other as one matrix.
struct StackedTensors {
    name: String,
    cols: usize,
    /// Name and rows of each.
    members: Vec<(String, usize)>,
}

impl StackedTensors {
    /// The tensors `NAME.part` of a group: of so many rows each, or of as many as the layer has outputs.
    fn of(group: &Group, part: &str, rows: Option<usize>) -> Self {
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

/// Tensors start at multiples of this many words: 256 bytes, as bindings must.
const ALIGN: usize = 64;

/// Lays tensors end to end in buffers no larger than a binding may be.
struct PageLayout {
    max_words: usize,
    align: usize,
    sizes: Vec<usize>,
}

impl PageLayout {
    fn place(&mut self, words: usize) -> (usize, usize) {
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

/// A group of tensors laid out in pages, and those pages' memory.
struct Arena {
    memories: Vec<MemoryId>,
    sizes: Vec<usize>,
    places: Vec<(usize, usize)>,
}

impl Arena {
    fn new(machine: &mut Machine, specs: &[Spec], align: usize) -> Result<Self, MachineError> {
        let mut pages = PageLayout { max_words: machine.most_words().min(PAGE_WORDS), align, sizes: Vec::new() };
        let places = specs.iter().map(|spec| pages.place(spec.words())).collect();
        let class = specs.first().map_or(Class::Real, |spec| Class::of(spec.storage));
        let memories = pages.sizes.iter().map(|&words| machine.allocate(class, words)).collect::<Result<_, _>>()?;
        Ok(Self { memories, sizes: pages.sizes, places })
    }

    /// Memory of the same layout, each page one row in `storage`: for gradients and moments.
    fn same_layout(&self, machine: &mut Machine, storage: Storage) -> Result<Vec<MemoryId>, MachineError> {
        self.sizes.iter().map(|&words| machine.allocate(Class::of(storage), storage.row_words(words))).collect()
    }

    /// Memory for a moment of these tensors, and the home of each. Those that AdamW walks by whole pages
    /// are parts of the pages' rows; the others have their own rows.
    fn moment(&self, machine: &mut Machine, specs: &[Spec], storage: Storage, by_page: bool) -> Result<(Vec<MemoryId>, Vec<Home>), MachineError> {
        let own: Vec<Spec> = specs.iter().map(|spec| Spec { storage, ..*spec }).collect();
        if storage != Storage::F32 && !by_page {
            let arena = Arena::new(machine, &own, ALIGN)?;
            let homes = (0..own.len()).map(|n| arena.home(&arena.memories, n, own[n])).collect();
            return Ok((arena.memories, homes));
        }
        let memories = self.same_layout(machine, storage)?;
        let home = |(&(page, offset), own): (&(usize, usize), &Spec)| {
            let spec = if storage == Storage::F32 { *own } else { Spec { rows: 1, cols: own.elements(), storage } };
            Home { memory: memories[page], offset: storage.row_words(offset), spec }
        };
        let homes = self.places.iter().zip(&own).map(home).collect();
        Ok((memories, homes))
    }

    fn home(&self, memories: &[MemoryId], n: usize, spec: Spec) -> Home {
        let (page, offset) = self.places[n];
        Home { memory: memories[page], offset, spec }
    }
}

/// An arena page may not grow past this, so that one dispatch over it stays short.
const PAGE_WORDS: usize = 32 << 20;
/// Parts of a page are multiples of so many alignments, so that in codes they begin where bindings may.
const PART_ALIGN: usize = 64;

impl Weights {
    /// Reserves memory for a model. Contents are zero.
    pub fn allocate(machine: &mut Machine, config: &LlamaConfig, linears: Linears, purpose: Purpose) -> Result<Self, MachineError> {
        let mut weights = Weights {
            config: config.clone(),
            linears,
            binary: Vec::new(),
            homes: HashMap::new(),
            trained: HashMap::new(),
            pages: Vec::new(),
            names: Vec::new(),
            moments: Vec::new(),
            max_words: machine.most_words(),
            unusable: Vec::new(),
        };
        let mut plain: Vec<StackedTensors> =
            config.others().into_iter().map(|(name, rows, cols)| StackedTensors { members: vec![(name.clone(), rows)], name, cols }).collect();
        match linears {
            Linears::Dense => plain.extend(config.groups().iter().map(|group| StackedTensors::of(group, "weight", None))),
            Linears::Binary => {
                let scales = |group: &Group| ["wscale", "wbias"].map(|part| StackedTensors::of(group, part, Some(1)));
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
            let home = arena.home(&arena.memories, n, specs[n]);
            self.homes.insert(block.name.clone(), home);
            for (name, first, rows) in block.parts() {
                self.homes.insert(name.clone(), home.rows(first, rows));
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
            let home = |memories: &[MemoryId]| arena.home(memories, n, specs[n]);
            let trained = TrainedTensor { value: home(&arena.memories), gradient: home(&gradients), first: first[n], second: second[n] };
            self.insert_trained(block.name.clone(), trained);
            for (name, first, rows) in block.parts() {
                self.insert_trained(name.clone(), trained.rows(first, rows));
                self.names.push(name.clone());
            }
            let names = if trained.has_rows() { block.members.iter().map(|(name, _)| name.clone()).collect() } else { vec![block.name.clone()] };
            self.moments.extend(names);
        }
        // A tensor larger than a page has one to itself, which is walked in several parts.
        let align = PART_ALIGN * moments.align();
        let part = machine.most_words().min(PAGE_WORDS) / align * align;
        for (page, &words) in arena.sizes.iter().enumerate().filter(|_| whole_pages) {
            for offset in (0..words).step_by(part) {
                let cols = part.min(words - offset);
                let home = |memories: &[MemoryId], storage: Storage| Home {
                    memory: memories[page],
                    offset: storage.row_words(offset),
                    spec: Spec { rows: 1, cols, storage },
                };
                let [value, gradient] = [&arena.memories, &gradients].map(|memories| home(memories, Storage::F32));
                self.pages.push(TrainedTensor { value, gradient, first: home(&firsts, of_first), second: home(&seconds, of_second) });
            }
        }
        Ok(())
    }

    fn insert_trained(&mut self, name: String, trained: TrainedTensor) {
        self.homes.insert(name.clone(), trained.value);
        self.trained.insert(name, trained);
    }

    /// Signs of every group of binarized layers, and in training their transposes and latent weights.
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
                signs: signs.home(&signs.memories, n, specs[n]),
                transposed: transposed.as_ref().map(|arena| arena.home(&arena.memories, n, transposed_specs[n])),
                latent: self.homes.get(&format!("{}.weight", group.name)).copied(),
                group,
            });
        }
        Ok(())
    }

    /// Where a named tensor lives.
    pub fn home(&self, name: &str) -> Option<Home> {
        self.homes.get(name).copied()
    }

    /// Every float tensor by the name that files give it, in a fixed order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Gradient and moments of a named tensor, if it is being trained.
    pub fn trained(&self, name: &str) -> Option<TrainedTensor> {
        self.trained.get(name).copied()
    }

    /// Name and homes of both moments of every tensor that is trained, in a fixed order; of a group's
    /// tensors together where their codes share blocks.
    pub fn moments(&self) -> impl Iterator<Item = (&str, [Home; 2])> {
        self.moments.iter().map(|name| (name.as_str(), [self.trained[name].first, self.trained[name].second]))
    }

    /// Whole pages of parameters, gradients and moments that AdamW can walk without packing signs.
    pub fn pages(&self) -> &[TrainedTensor] {
        &self.pages
    }

    /// Every range of gradients, each once: pages, then latent weights.
    pub fn gradients(&self) -> Vec<Home> {
        let latent = self.binary.iter().filter_map(|binary| self.trained(&format!("{}.weight", binary.group.name)));
        self.pages.iter().copied().chain(latent).map(|trained| trained.gradient).collect()
    }

    /// Every memory of the model, and what it holds.
    pub fn memories(&self) -> BTreeMap<MemoryId, MemoryPart> {
        let mut memories = BTreeMap::new();
        memories.extend(self.homes.values().map(|home| (home.memory, MemoryPart::Values)));
        for layer in &self.binary {
            memories.insert(layer.signs.memory, MemoryPart::Signs);
            memories.extend(layer.transposed.map(|home| (home.memory, MemoryPart::Signs)));
            memories.extend(layer.latent.map(|home| (home.memory, MemoryPart::Latent)));
        }
        for trained in self.trained.values() {
            memories.insert(trained.gradient.memory, MemoryPart::Gradients);
            memories.extend([trained.first, trained.second].map(|home| (home.memory, MemoryPart::Moments)));
        }
        memories
    }

    /// A named tensor on a tape: a parameter if it is being trained, a constant otherwise.
    pub fn tensor(&self, tape: &mut Tape, name: &str) -> TensorId {
        match self.trained.get(name) {
            Some(trained) => tape.parameter(trained.value, trained.gradient),
            None => tape.lasting(*self.homes.get(name).unwrap_or_else(|| panic!("the model has no tensor {name}"))),
        }
    }

    /// As [`Weights::tensor`], in as many blocks of rows as it takes for each to be bound.
    pub fn tensors(&self, tape: &mut Tape, name: &str) -> Vec<TensorId> {
        let whole = self.homes.get(name).unwrap_or_else(|| panic!("the model has no tensor {name}")).spec;
        // Blocks begin where bindings may. A single row too large is left to the machine to refuse.
        let rows = match self.max_words / whole.row_words() / ALIGN * ALIGN {
            0 => whole.rows,
            rows => rows,
        };
        if whole.words() <= self.max_words || rows >= whole.rows {
            return vec![self.tensor(tape, name)];
        }
        let block = |first: usize| {
            let part = |home: Home| home.rows(first, rows.min(whole.rows - first));
            match self.trained.get(name) {
                Some(trained) => tape.parameter(part(trained.value), part(trained.gradient)),
                None => tape.lasting(part(self.homes[name])),
            }
        };
        (0..whole.rows).step_by(rows).map(block).collect()
    }

    /// Tokens whose rows of the embedding are not finite: no text may have them.
    pub fn unusable(&self) -> &[u32] {
        &self.unusable
    }

    /// Sets the tokens that no text may have, in ascending order.
    pub(super) fn set_unusable(&mut self, tokens: Vec<u32>) {
        self.unusable = tokens;
    }

    /// The name of the head's tensor: the embedding's if they are tied.
    pub fn head(&self) -> &'static str {
        let architecture = self.config.architecture();
        if self.config.tie_word_embeddings { architecture.embedding() } else { architecture.head() }
    }
}
