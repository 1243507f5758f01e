//! Interprets the pickle of a PyTorch file without running code. A pickle is a program for a small stack machine; this
//! one builds tensors, and records other values only by kind. It allows the names of `torch.load(weights_only=True)`.
//! Values are not traversed deeper than one level, so nothing recurses; memory is bounded by the pickle's length and
//! [`MAX_VALUES`].
//! Opcodes: Python's `pickletools`, protocols 2 to 5.

use super::globals::{Global, global};
use crate::formats::element_type::ElementType;
use std::collections::HashMap;
use std::rc::Rc;

/// The longest pickle, in bytes, and the most values that it may create: a state dict needs about twenty per tensor.
pub(super) const MAX_PICKLE: u64 = 16 << 20;
const MAX_VALUES: usize = 1 << 20;

/// A tensor of a state dict, as a view of a storage.
#[derive(Debug, PartialEq)]
pub(super) struct PickledTensor<'a> {
    pub(super) storage: PickledStorage<'a>,
    pub(super) element_type: ElementType,
    /// Its first element in the storage.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// The stride of each dimension, in elements.
    pub(super) strides: Vec<u64>,
    /// True if the stored elements are negated.
    pub(super) negative: bool,
}

/// A sequence of elements that tensors share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PickledStorage<'a> {
    pub(super) element_type: ElementType,
    /// The name of its data in the file.
    pub(super) key: &'a str,
    /// Its first byte there, and its length in bytes.
    pub(super) from: u64,
    pub(super) length: u64,
    /// True if its class does not determine the element type.
    pub(super) untyped: bool,
}

/// A value. References are indices into [`Unpickler::values`].
pub(super) enum PickleValue<'a> {
    /// A value of a kind that is not needed.
    Other(&'static str),
    None,
    Whole(i64),
    Text(&'a str),
    Tuple(Vec<u32>),
    List(Vec<u32>),
    /// Alternating keys and values.
    Dict(Vec<u32>),
    Global(Global),
    Storage(Box<PickledStorage<'a>>),
    Tensor(Rc<PickledTensor<'a>>),
}

impl PickleValue<'_> {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            PickleValue::Other(what) => what,
            PickleValue::None => "None",
            PickleValue::Whole(_) => "a number",
            PickleValue::Text(_) => "a text",
            PickleValue::Tuple(_) => "a tuple",
            PickleValue::List(_) => "a list",
            PickleValue::Dict(_) => "a dict",
            PickleValue::Global(_) => "a class",
            PickleValue::Storage(_) => "a storage",
            PickleValue::Tensor(_) => "a tensor",
        }
    }
}

/// The stack machine of a pickle.
pub(super) struct Unpickler<'a> {
    rest: &'a [u8],
    length: usize,
    pub(super) values: Vec<PickleValue<'a>>,
    stack: Vec<u32>,
    /// Stack heights at the marks.
    marks: Vec<u32>,
    memo: Vec<u32>,
    /// The type of each storage by key.
    pub(super) storages: HashMap<&'a str, ElementType>,
}

pub(super) type PickleResult = Result<(), String>;

impl<'a> Unpickler<'a> {
    /// Runs the first pickle of some bytes; returns also the result's index.
    pub(super) fn read(pickle: &'a [u8]) -> Result<(Self, u32), String> {
        let (values, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut machine = Self { rest: pickle, length: pickle.len(), values, stack, marks, memo, storages: HashMap::new() };
        let top = machine.run().map_err(|problem| format!("its pickle, at byte {}: {problem}", pickle.len() - machine.rest.len()))?;
        Ok((machine, top))
    }

    /// The bytes after the pickle.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Runs to the end; returns the result's index.
    fn run(&mut self) -> Result<u32, String> {
        loop {
            let opcode = self.number(1)? as u8;
            match opcode {
                b'.' => return self.pop(),
                b'\x80' if self.number(1)? > 5 => return Err("its protocol is later than 5".into()),
                b'\x80' => {}
                b'\x95' => drop(self.next_bytes(8)?),
                b'(' => self.marks.push(self.stack.len() as u32),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => self.stack.push(self.top()?),
                b'}' => self.push(PickleValue::Dict(Vec::new()))?,
                b']' => self.push(PickleValue::List(Vec::new()))?,
                b'\x8f' => self.push(PickleValue::Other("a set"))?,
                b'\x90' => drop(self.pop_mark()?),
                b'\x91' => {
                    self.pop_mark()?;
                    self.push(PickleValue::Other("a set"))?;
                }
                b')' => self.push(PickleValue::Tuple(Vec::new()))?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(PickleValue::Tuple(items))?;
                }
                b'\x85'..=b'\x87' => self.tuple(usize::from(opcode) - 0x84)?,
                b'N' => self.push(PickleValue::None)?,
                b'\x88' | b'\x89' => self.push(PickleValue::Whole(i64::from(opcode == b'\x88')))?,
                b'J' => self.whole(|machine| Ok(machine.number(4)? as u32 as i32 as i64))?,
                b'K' => self.whole(|machine| Ok(machine.number(1)? as i64))?,
                b'M' => self.whole(|machine| Ok(machine.number(2)? as i64))?,
                b'\x8a' => self.long()?,
                b'\x8b' => self.sized(4, Self::skip_integer)?,
                b'G' => {
                    self.next_bytes(8)?;
                    self.push(PickleValue::Other("a fraction"))?;
                }
                b'C' => self.sized(1, Self::bytes)?,
                b'B' => self.sized(4, Self::bytes)?,
                b'\x8e' | b'\x96' => self.sized(8, Self::bytes)?,
                b'X' | b'T' => self.sized(4, Self::text)?,
                b'\x8c' | b'U' => self.sized(1, Self::text)?,
                b'\x8d' => self.sized(8, Self::text)?,
                b'q' => self.memoize(1)?,
                b'r' => self.memoize(4)?,
                b'\x94' => self.put(self.memo.len())?,
                b'h' => self.load_memo(1)?,
                b'j' => self.load_memo(4)?,
                b'c' => self.global_by_lines()?,
                b'\x93' => self.global_by_texts()?,
                b'Q' => self.storage()?,
                b'R' | b'\x81' => self.call()?,
                b'b' => self.state()?,
                b's' => self.insert(1)?,
                b'u' => self.insert_all()?,
                b'a' => self.append_one()?,
                b'e' => self.append_all()?,
                _ => return Err(format!("it has opcode {opcode:#04x}, which no state dict needs")),
            }
        }
    }

    fn next_bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads an unsigned number of `bytes` bytes, little-endian.
    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.next_bytes(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads a signed number with a length of up to eight bytes.
    fn long(&mut self) -> PickleResult {
        let bytes = self.number(1)? as u32;
        match bytes {
            0 => self.push(PickleValue::Whole(0)),
            1..=8 => self.whole(|machine| Ok((machine.number(bytes as usize)? << (64 - 8 * bytes)) as i64 >> (64 - 8 * bytes))),
            _ => self.skip_integer(bytes as usize),
        }
    }

    fn whole(&mut self, read: impl FnOnce(&mut Self) -> Result<i64, String>) -> PickleResult {
        let number = read(self)?;
        self.push(PickleValue::Whole(number))
    }

    /// Reads a count of `bytes` bytes, and passes it to `read`.
    fn sized(&mut self, bytes: usize, read: fn(&mut Self, usize) -> PickleResult) -> PickleResult {
        let count = usize::try_from(self.number(bytes)?).map_err(|_| "it ends too early")?;
        read(self, count)
    }

    /// Skips an integer of more than eight bytes.
    fn skip_integer(&mut self, count: usize) -> PickleResult {
        self.next_bytes(count)?;
        self.push(PickleValue::Other("a huge number"))
    }

    fn bytes(&mut self, count: usize) -> PickleResult {
        self.next_bytes(count)?;
        self.push(PickleValue::Other("bytes"))
    }

    fn text(&mut self, count: usize) -> PickleResult {
        // Python's texts may have unpaired surrogates, and those of Python 2 are bytes.
        let text = std::str::from_utf8(self.next_bytes(count)?);
        self.push(text.map_or(PickleValue::Other("a text that is not UTF-8"), PickleValue::Text))
    }

    pub(super) fn value(&self, at: u32) -> &PickleValue<'a> {
        &self.values[at as usize]
    }

    pub(super) fn push(&mut self, value: PickleValue<'a>) -> PickleResult {
        if self.values.len() == MAX_VALUES {
            return Err(format!("it creates more than {MAX_VALUES} values"));
        }
        self.stack.push(self.values.len() as u32);
        self.values.push(value);
        Ok(())
    }

    fn top(&self) -> Result<u32, String> {
        self.stack.last().copied().filter(|_| self.stack.len() > self.floor()).ok_or_else(|| "its stack is empty".into())
    }

    pub(super) fn pop(&mut self) -> Result<u32, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The height below which values are not accessible: that of the last mark.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |mark| *mark as usize)
    }

    /// Pops everything down to the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<u32>, String> {
        let mark = self.marks.pop().ok_or("nothing is marked")?;
        Ok(self.stack.split_off(mark as usize))
    }

    fn tuple(&mut self, count: usize) -> PickleResult {
        let first = self.stack.len().checked_sub(count).filter(|first| *first >= self.floor()).ok_or("its stack is empty")?;
        let items = self.stack.split_off(first);
        self.push(PickleValue::Tuple(items))
    }

    fn memoize(&mut self, bytes: usize) -> PickleResult {
        let at = self.number(bytes)?;
        self.put(at as usize)
    }

    fn put(&mut self, at: usize) -> PickleResult {
        // Picklers number entries consecutively, so an index above the length is invalid.
        if at >= self.length {
            return Err(format!("it stores a value at memo index {at}"));
        }
        let top = self.top()?;
        self.memo.resize(self.memo.len().max(at + 1), u32::MAX);
        self.memo[at] = top;
        Ok(())
    }

    fn load_memo(&mut self, bytes: usize) -> PickleResult {
        let at = self.number(bytes)?;
        let found = self.memo.get(at as usize).copied().filter(|found| *found != u32::MAX);
        self.stack.push(found.ok_or_else(|| format!("it loads memo index {at}, which is empty"))?);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or("it ends too early")?;
        let line = self.next_bytes(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "a name is not UTF-8".into())
    }

    fn global_by_lines(&mut self) -> PickleResult {
        let (module, name) = (self.line()?, self.line()?);
        self.push(PickleValue::Global(global(module, name)?))
    }

    fn global_by_texts(&mut self) -> PickleResult {
        let (name, module) = (self.pop()?, self.pop()?);
        let (PickleValue::Text(module), PickleValue::Text(name)) = (self.value(module), self.value(name)) else { return Err("a name is not a text".into()) };
        self.push(PickleValue::Global(global(module, name)?))
    }

    /// The items of a tuple.
    pub(super) fn items(&self, at: u32, what: &str) -> Result<&[u32], String> {
        match self.value(at) {
            PickleValue::Tuple(items) => Ok(items),
            other => Err(format!("{what} is {}, not a tuple", other.kind())),
        }
    }

    pub(super) fn count(&self, at: u32, what: &str) -> Result<u64, String> {
        match self.value(at) {
            PickleValue::Whole(number) if *number >= 0 => Ok(*number as u64),
            PickleValue::Whole(number) => Err(format!("{what} is {number}")),
            other => Err(format!("{what} is {}, not a number", other.kind())),
        }
    }

    /// Drops the attributes of an object; a state dict has some that are not needed (`_metadata`).
    fn state(&mut self) -> PickleResult {
        self.pop()?;
        let object = self.top()?;
        match self.value(object) {
            PickleValue::Dict(_) => Ok(()),
            other => Err(format!("it would set attributes of {}", other.kind())),
        }
    }

    /// Inserts the topmost `pairs` keys and values into the dict below them.
    fn insert(&mut self, pairs: usize) -> PickleResult {
        let first = self.stack.len().checked_sub(2 * pairs).filter(|first| *first >= self.floor()).ok_or("its stack is empty")?;
        let items = self.stack.split_off(first);
        self.insert_items(&items)
    }

    fn insert_all(&mut self) -> PickleResult {
        let items = self.pop_mark()?;
        if items.len() % 2 == 1 { Err("a name has no value".into()) } else { self.insert_items(&items) }
    }

    fn insert_items(&mut self, items: &[u32]) -> PickleResult {
        let top = self.top()? as usize;
        match &mut self.values[top] {
            PickleValue::Dict(entries) => entries.extend_from_slice(items),
            other => return Err(format!("it would put names into {}", other.kind())),
        }
        Ok(())
    }

    /// Appends values to the list below them.
    fn append(&mut self, items: &[u32]) -> PickleResult {
        let top = self.top()? as usize;
        match &mut self.values[top] {
            PickleValue::List(list) => list.extend_from_slice(items),
            other => return Err(format!("it would append to {}", other.kind())),
        }
        Ok(())
    }

    fn append_one(&mut self) -> PickleResult {
        let item = self.pop()?;
        self.append(&[item])
    }

    fn append_all(&mut self) -> PickleResult {
        let items = self.pop_mark()?;
        self.append(&items)
    }
}
