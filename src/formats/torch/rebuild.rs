//! Rebuilds tensors from a pickle: its calls, its storages, and the resulting dict.

use super::globals::Global;
use super::pickle::{PickleResult, PickleValue, PickledStorage, PickledTensor, Unpickler};
use super::quoted;
use crate::formats::element_type;
use std::collections::HashMap;
use std::rc::Rc;

/// The most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;

/// An entry of a state dict.
pub(super) enum StateDictEntry<'a> {
    Tensor(Rc<PickledTensor<'a>>),
    /// Another value, by kind.
    Other(&'static str),
}

/// A state dict in its order; a later entry with the same name replaces an earlier one.
pub(super) type StateDict<'a> = Vec<(&'a str, StateDictEntry<'a>)>;

/// Reads a state dict from a pickle.
pub(super) fn state_dict(pickle: &[u8]) -> Result<StateDict<'_>, String> {
    let (machine, top) = Unpickler::read(pickle)?;
    machine.state_dict(top)
}

impl<'a> Unpickler<'a> {
    /// The entries of a dict with text keys; fails if none is a tensor.
    pub(super) fn state_dict(&self, top: u32) -> Result<StateDict<'a>, String> {
        let PickleValue::Dict(entries) = self.value(top) else { return Err(format!("it holds {}, not a state dict", self.value(top).kind())) };
        let mut positions = HashMap::with_capacity(entries.len() / 2);
        let mut dict: StateDict<'a> = Vec::new();
        for entry in entries.chunks_exact(2) {
            let PickleValue::Text(name) = self.value(entry[0]) else { continue };
            let found = match self.value(entry[1]) {
                PickleValue::Tensor(tensor) => StateDictEntry::Tensor(tensor.clone()),
                other => StateDictEntry::Other(other.kind()),
            };
            match positions.insert(*name, dict.len()) {
                Some(before) => {
                    positions.insert(name, before);
                    dict[before].1 = found;
                }
                None => dict.push((name, found)),
            }
        }
        if dict.iter().any(|(_, entry)| matches!(entry, StateDictEntry::Tensor(_))) {
            return Ok(dict);
        }
        Err(match dict.iter().find(|(_, entry)| matches!(entry, StateDictEntry::Other("a dict"))) {
            Some((name, _)) => {
                format!("{} is a dict: this is a training checkpoint, not a state dict. Save that part alone with torch.save", quoted(name))
            }
            None => "it has no tensors. Save a state dict: torch.save(model.state_dict(), FILE)".into(),
        })
    }

    /// Reads the persistent id of a storage: ("storage", class, key, device, elements), and before PyTorch 1.6 a sixth
    /// item: None, or a view of it (key, first element, elements).
    pub(super) fn storage(&mut self) -> PickleResult {
        let id = self.pop()?;
        let (&[kind, class, key, _, elements], view) = match self.items(id, "a persistent id")? {
            [id @ .., view] if id.len() == 5 => (<&[u32; 5]>::try_from(id).expect("five"), self.view(*view)?),
            id => (<&[u32; 5]>::try_from(id).map_err(|_| "a persistent id is not that of a storage")?, None),
        };
        let (element_type, untyped) = match self.value(class) {
            PickleValue::Global(Global::Storage(element_type)) => (*element_type, false),
            PickleValue::Global(Global::Untyped) => (element_type::U8, true),
            other => return Err(format!("the class of a storage is {}", other.kind())),
        };
        let (PickleValue::Text("storage"), PickleValue::Text(key)) = (self.value(kind), self.value(key)) else {
            return Err("a persistent id is not that of a storage".into());
        };
        let key: &'a str = key;
        let elements = self.count(elements, "a storage's length")?;
        let (first, count) = view.unwrap_or((0, elements));
        let size = element_type.bytes() as u64;
        let bytes = |elements: u64| elements.checked_mul(size).ok_or("a storage is larger than any file");
        if first.checked_add(count).is_none_or(|end| end > elements) {
            return Err(format!("a view of a storage of {elements} elements has {count} elements from {first} on"));
        }
        let storage = PickledStorage { element_type, key, from: bytes(first)?, length: bytes(count)?, untyped };
        bytes(elements)?;
        self.storages.insert(key, element_type);
        self.push(PickleValue::Storage(Box::new(storage)))
    }

    /// The first element of a view of a storage, and its length.
    fn view(&self, view: u32) -> Result<Option<(u64, u64)>, String> {
        match self.value(view) {
            PickleValue::None => Ok(None),
            _ => match *self.items(view, "a view of a storage")? {
                [_, first, count] => Ok(Some((self.count(first, "a view's offset")?, self.count(count, "a view's length")?))),
                _ => Err("a view of a storage has no length".into()),
            },
        }
    }

    /// Runs an allowed call.
    pub(super) fn call(&mut self) -> PickleResult {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let PickleValue::Global(callee) = *self.value(callee) else { return Err(format!("it would call {}", self.value(callee).kind())) };
        let arguments = self.items(arguments, "what it calls with")?;
        let made = match (callee, arguments) {
            // A tensor with attributes: function, class, arguments and attributes.
            (Global::FromType, &[callee, _, arguments, _]) => match *self.value(callee) {
                PickleValue::Global(callee) => self.made(callee, self.items(arguments, "what it calls with")?)?,
                ref other => return Err(format!("it would call {}", other.kind())),
            },
            // Python 2 pickles an OrderedDict as the class and a list of pairs.
            (Global::Dict, &[pairs]) => PickleValue::Dict(self.pairs(pairs)?),
            _ => self.made(callee, arguments)?,
        };
        self.push(made)
    }

    /// Moves the pairs out of a list, so that a pickle cannot reuse one list for many dicts.
    fn pairs(&mut self, list: u32) -> Result<Vec<u32>, String> {
        let used = PickleValue::Other("a list that became a dict");
        let pairs = match std::mem::replace(&mut self.values[list as usize], used) {
            PickleValue::List(pairs) | PickleValue::Tuple(pairs) => pairs,
            other => return Err(format!("it would make a dict of {}", other.kind())),
        };
        let mut entries = Vec::with_capacity(2 * pairs.len());
        for pair in pairs {
            match self.value(pair) {
                PickleValue::List(pair) | PickleValue::Tuple(pair) if pair.len() == 2 => entries.extend_from_slice(pair),
                other => return Err(format!("it would make a dict of a list with {} in it", other.kind())),
            }
        }
        Ok(entries)
    }

    fn made(&self, callee: Global, arguments: &[u32]) -> Result<PickleValue<'a>, String> {
        match (callee, arguments) {
            (Global::Dict, []) => Ok(PickleValue::Dict(Vec::new())),
            (Global::Rebuild(1), &[storage, offset, shape, strides]) => self.rebuild(storage, offset, shape, strides, None, None),
            (Global::Rebuild(2), &[storage, offset, shape, strides, _, _, ref metadata @ ..]) => {
                self.rebuild(storage, offset, shape, strides, None, metadata.first())
            }
            (Global::Rebuild(3), &[storage, offset, shape, strides, _, _, element_type, ref metadata @ ..]) => {
                self.rebuild(storage, offset, shape, strides, Some(element_type), metadata.first())
            }
            // A parameter becomes its tensor.
            (Global::Parameter, &[tensor, ..]) => match self.value(tensor) {
                PickleValue::Tensor(tensor) => Ok(PickleValue::Tensor(tensor.clone())),
                PickleValue::Other(what) => Ok(PickleValue::Other(what)),
                other => Err(format!("a parameter is {}, not a tensor", other.kind())),
            },
            (Global::Other(what), _) => Ok(PickleValue::Other(what)),
            (callee, arguments) => Err(format!("it would call {callee:?} with {} arguments", arguments.len())),
        }
    }

    fn rebuild(
        &self, storage: u32, offset: u32, shape: u32, strides: u32, element_type: Option<u32>, metadata: Option<&u32>,
    ) -> Result<PickleValue<'a>, String> {
        let PickleValue::Storage(storage) = self.value(storage) else { return Err(format!("a tensor has {} as its storage", self.value(storage).kind())) };
        let (shape, strides) = (self.items(shape, "a shape")?, self.items(strides, "a tensor's strides")?);
        if shape.len() != strides.len() {
            return Err(format!("a tensor has {} dimensions and {} strides", shape.len(), strides.len()));
        }
        if shape.len() > MAX_DIMENSIONS {
            return Ok(PickleValue::Other("a tensor of more than eight dimensions"));
        }
        let element_type = match element_type.map(|element_type| self.value(element_type)) {
            None => storage.element_type,
            Some(PickleValue::Global(Global::ElementType(element_type))) => *element_type,
            Some(other) => return Err(format!("the type of a tensor is {}", other.kind())),
        };
        let tensor = PickledTensor {
            storage: **storage,
            element_type,
            offset: self.count(offset, "a tensor's offset")?,
            shape: shape.iter().map(|side| Ok(self.count(*side, "a side of a tensor")? as usize)).collect::<Result<_, String>>()?,
            strides: strides.iter().map(|stride| self.count(*stride, "a stride")).collect::<Result<_, String>>()?,
            negative: metadata.is_some_and(|metadata| self.is_set(*metadata, "neg")),
        };
        Ok(PickleValue::Tensor(Rc::new(tensor)))
    }

    /// Returns true if a dict has a flag that is set; the last one with the name counts.
    fn is_set(&self, dict: u32, flag: &str) -> bool {
        let PickleValue::Dict(entries) = self.value(dict) else { return false };
        let named = entries.chunks_exact(2).rfind(|entry| matches!(self.value(entry[0]), PickleValue::Text(name) if *name == flag));
        named.is_some_and(|entry| !matches!(self.value(entry[1]), PickleValue::Whole(0) | PickleValue::None))
    }
}
