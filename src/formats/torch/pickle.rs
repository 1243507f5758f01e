//! The pickle in a PyTorch file, read without running what it asks for. A pickle is a program for a small
//! machine with a stack; this one knows only what a state dict needs, and every other name that a pickle
//! would import is refused. Nothing is followed deeper than one level, so nothing can recurse; memory is
//! bounded by the pickle's length and by [`MOST`]. Opcodes: Python's `pickletools`, protocols 2 to 5.

use crate::formats::safetensors::Dtype;
use std::collections::HashSet;
use std::rc::Rc;

/// The longest pickle that is read, in bytes, and most values it may make: a state dict needs some twenty
/// for each tensor.
pub(super) const LONGEST: u64 = 16 << 20;
const MOST: usize = 1 << 20;
/// Most dimensions of a tensor.
const SIDES: usize = 8;

/// A tensor of a state dict, and where it lies in its storage.
#[derive(Debug, PartialEq)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    /// The first of the storage's elements that is the tensor's.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// How many elements lie between neighbours along each dimension.
    pub(super) strides: Vec<i64>,
}

/// Elements of one type in a row, which tensors share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    /// What it is called in the archive.
    pub(super) key: &'a str,
    pub(super) elements: u64,
}

/// What a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Global {
    Dict,
    Rebuild,
    Parameter,
    Storage(Dtype),
}

/// A value. Others hold its place in [`Machine::values`].
enum Value<'a> {
    /// A number with a fraction, bytes: nothing that a tensor needs.
    Other,
    None,
    Whole(i64),
    Text(&'a str),
    Tuple(Vec<u32>),
    List,
    /// Names and values, one after the other.
    Dict(Vec<u32>),
    Global(Global),
    Storage(Box<Storage<'a>>),
    Tensor(Rc<Tensor<'a>>),
}

impl Value<'_> {
    fn what(&self) -> &'static str {
        match self {
            Value::Other => "a value of another kind",
            Value::None => "None",
            Value::Whole(_) => "a number",
            Value::Text(_) => "a text",
            Value::Tuple(_) => "a tuple",
            Value::List => "a list",
            Value::Dict(_) => "a dict",
            Value::Global(_) => "a class",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
        }
    }
}

/// The tensors of a state dict by name, in its order; what is wrong with the pickle otherwise.
pub(super) fn state_dict(pickle: &[u8]) -> Result<Vec<(&str, Rc<Tensor<'_>>)>, String> {
    let mut machine = Machine { rest: pickle, length: pickle.len(), values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    let top = machine.run().map_err(|problem| format!("its pickle, at byte {}: {problem}", pickle.len() - machine.rest.len()))?;
    let Value::Dict(entries) = machine.value(top) else { return Err(format!("it holds {}, not a state dict", machine.value(top).what())) };
    let mut names = HashSet::with_capacity(entries.len() / 2);
    let named = entries.as_chunks().0.iter().map(|&[name, value]| match (machine.value(name), machine.value(value)) {
        (Value::Text(name), _) if !names.insert(*name) => Err(format!("it has two tensors called {}", brief(name))),
        (Value::Text(name), Value::Tensor(tensor)) => Ok((*name, tensor.clone())),
        (Value::Text(name), Value::Dict(_)) => {
            Err(format!("{} is a dict: this is a checkpoint of a training, not a state dict. Save that part alone with torch.save", brief(name)))
        }
        (Value::Text(name), other) => Err(format!("{} is {}, not a tensor", brief(name), other.what())),
        (other, _) => Err(format!("a tensor's name is {}, not a text", other.what())),
    });
    named.collect()
}

/// A text that a message can show.
fn brief(text: &str) -> String {
    let short: String = text.chars().take(100).collect();
    format!("{short:?}")
}

/// The machine that a pickle is a program for.
struct Machine<'a> {
    rest: &'a [u8],
    length: usize,
    values: Vec<Value<'a>>,
    stack: Vec<u32>,
    /// Heights of the stack that the pickle marked.
    marks: Vec<u32>,
    memo: Vec<u32>,
}

type Done = Result<(), String>;

impl<'a> Machine<'a> {
    /// Runs to the end; gives the value that is the pickle's.
    fn run(&mut self) -> Result<u32, String> {
        loop {
            let opcode = self.number(1)? as u8;
            match opcode {
                b'.' => return self.pop(),
                b'\x80' if self.number(1)? > 5 => return Err("it is of a later protocol than 5".into()),
                b'\x80' => {}
                b'\x95' => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len() as u32),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.marked()?),
                b'2' => self.stack.push(self.top()?),
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b']' => self.push(Value::List)?,
                b')' => self.push(Value::Tuple(Vec::new()))?,
                b't' => {
                    let items = self.marked()?;
                    self.push(Value::Tuple(items))?;
                }
                b'\x85'..=b'\x87' => self.tuple(usize::from(opcode) - 0x84)?,
                b'N' => self.push(Value::None)?,
                b'\x88' | b'\x89' => self.push(Value::Whole(i64::from(opcode == b'\x88')))?,
                b'J' => self.whole(|machine| Ok(machine.number(4)? as u32 as i32 as i64))?,
                b'K' => self.whole(|machine| Ok(machine.number(1)? as i64))?,
                b'M' => self.whole(|machine| Ok(machine.number(2)? as i64))?,
                b'\x8a' => self.whole(Self::long)?,
                b'G' => self.skip(8)?,
                b'C' => self.sized(1, Self::skip)?,
                b'B' => self.sized(4, Self::skip)?,
                b'X' | b'T' => self.sized(4, Self::text)?,
                b'\x8c' | b'U' => self.sized(1, Self::text)?,
                b'\x8d' => self.sized(8, Self::text)?,
                b'q' => self.remember(1)?,
                b'r' => self.remember(4)?,
                b'\x94' => self.put(self.memo.len())?,
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                b'c' => self.global_by_lines()?,
                b'\x93' => self.global_by_texts()?,
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                b'b' => self.state()?,
                b's' => self.insert(1)?,
                b'u' => self.insert_all()?,
                b'a' => self.append(1)?,
                b'e' => self.append_all()?,
                _ => return Err(format!("it has opcode {opcode:#04x}, which no state dict needs")),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of so many bytes, little-endian.
    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A signed number of up to eight bytes, in as many as it needs.
    fn long(&mut self) -> Result<i64, String> {
        let bytes = self.number(1)? as u32;
        match bytes {
            0 => Ok(0),
            1..=8 => Ok((self.number(bytes as usize)? << (64 - 8 * bytes)) as i64 >> (64 - 8 * bytes)),
            _ => Err(format!("it has a number of {bytes} bytes")),
        }
    }

    fn whole(&mut self, read: fn(&mut Self) -> Result<i64, String>) -> Done {
        let number = read(self)?;
        self.push(Value::Whole(number))
    }

    /// What `read` makes of bytes whose count comes first, in `bytes` bytes.
    fn sized(&mut self, bytes: usize, read: fn(&mut Self, usize) -> Done) -> Done {
        let count = usize::try_from(self.number(bytes)?).map_err(|_| "it ends too early")?;
        read(self, count)
    }

    fn skip(&mut self, count: usize) -> Done {
        self.take(count)?;
        self.push(Value::Other)
    }

    fn text(&mut self, count: usize) -> Done {
        let text = std::str::from_utf8(self.take(count)?).map_err(|_| "a text is no UTF-8")?;
        self.push(Value::Text(text))
    }

    fn value(&self, at: u32) -> &Value<'a> {
        &self.values[at as usize]
    }

    fn push(&mut self, value: Value<'a>) -> Done {
        if self.values.len() == MOST {
            return Err(format!("it makes more than {MOST} values"));
        }
        self.stack.push(self.values.len() as u32);
        self.values.push(value);
        Ok(())
    }

    fn top(&self) -> Result<u32, String> {
        self.stack.last().copied().filter(|_| self.stack.len() > self.floor()).ok_or_else(|| "its stack is empty".into())
    }

    fn pop(&mut self) -> Result<u32, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// What lies below the last mark is out of reach.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |mark| *mark as usize)
    }

    /// Everything down to the last mark, and the mark.
    fn marked(&mut self) -> Result<Vec<u32>, String> {
        let mark = self.marks.pop().ok_or("nothing is marked")?;
        Ok(self.stack.split_off(mark as usize))
    }

    fn tuple(&mut self, count: usize) -> Done {
        let first = self.stack.len().checked_sub(count).filter(|first| *first >= self.floor()).ok_or("its stack is empty")?;
        let items = self.stack.split_off(first);
        self.push(Value::Tuple(items))
    }

    fn remember(&mut self, bytes: usize) -> Done {
        let at = self.number(bytes)?;
        self.put(at as usize)
    }

    fn put(&mut self, at: usize) -> Done {
        // Picklers count: no pickle remembers more than it has bytes.
        if at >= self.length {
            return Err(format!("it remembers a value as number {at}"));
        }
        let top = self.top()?;
        self.memo.resize(self.memo.len().max(at + 1), u32::MAX);
        self.memo[at] = top;
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Done {
        let at = self.number(bytes)?;
        let found = self.memo.get(at as usize).copied().filter(|found| *found != u32::MAX);
        self.stack.push(found.ok_or_else(|| format!("it recalls value {at}, which it never remembered"))?);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or("it ends too early")?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "a name is no UTF-8".into())
    }

    fn global_by_lines(&mut self) -> Done {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Value::Global(global(module, name)?))
    }

    fn global_by_texts(&mut self) -> Done {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Value::Text(module), Value::Text(name)) = (self.value(module), self.value(name)) else { return Err("a name is no text".into()) };
        self.push(Value::Global(global(module, name)?))
    }

    /// Items of a tuple.
    fn items(&self, at: u32, what: &str) -> Result<&[u32], String> {
        match self.value(at) {
            Value::Tuple(items) => Ok(items),
            other => Err(format!("{what} is {}, not a tuple", other.what())),
        }
    }

    fn count(&self, at: u32, what: &str) -> Result<u64, String> {
        match self.value(at) {
            Value::Whole(number) if *number >= 0 => Ok(*number as u64),
            Value::Whole(number) => Err(format!("{what} is {number}")),
            other => Err(format!("{what} is {}, not a number", other.what())),
        }
    }

    /// The persistent id of a storage: ("storage", its class, its key, its device, its elements).
    fn storage(&mut self) -> Done {
        let id = self.pop()?;
        let storage = match *self.items(id, "a persistent id")? {
            [kind, class, key, _, elements] => match (self.value(kind), self.value(class), self.value(key)) {
                (Value::Text("storage"), Value::Global(Global::Storage(dtype)), Value::Text(key)) => {
                    Storage { dtype: *dtype, key, elements: self.count(elements, "a storage's length")? }
                }
                _ => return Err("a persistent id is not that of a storage".into()),
            },
            _ => return Err("a persistent id is not that of a storage".into()),
        };
        self.push(Value::Storage(Box::new(storage)))
    }

    /// Calls what a state dict calls.
    fn call(&mut self) -> Done {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Value::Global(callee) = *self.value(callee) else { return Err(format!("it would call {}", self.value(callee).what())) };
        match (callee, self.items(arguments, "what it calls with")?) {
            (Global::Dict, []) => self.push(Value::Dict(Vec::new())),
            (Global::Rebuild, &[storage, offset, shape, strides, _, _, ..]) => self.rebuild(storage, offset, shape, strides),
            // A parameter is its tensor.
            (Global::Parameter, &[tensor, _, _]) => match self.value(tensor) {
                Value::Tensor(tensor) => self.push(Value::Tensor(tensor.clone())),
                other => Err(format!("a parameter is {}, not a tensor", other.what())),
            },
            (callee, arguments) => Err(format!("it would call {callee:?} with {} arguments", arguments.len())),
        }
    }

    fn rebuild(&mut self, storage: u32, offset: u32, shape: u32, strides: u32) -> Done {
        let Value::Storage(storage) = self.value(storage) else { return Err(format!("a tensor lies in {}, not in a storage", self.value(storage).what())) };
        let (shape, strides) = (self.items(shape, "a shape")?, self.items(strides, "a tensor's strides")?);
        if shape.len() > SIDES || shape.len() != strides.len() {
            return Err(format!("a tensor has {} dimensions and {} strides", shape.len(), strides.len()));
        }
        let tensor = Tensor {
            storage: **storage,
            offset: self.count(offset, "a tensor's offset")?,
            shape: shape.iter().map(|side| Ok(self.count(*side, "a side of a tensor")? as usize)).collect::<Result<_, String>>()?,
            strides: strides.iter().map(|stride| Ok(self.count(*stride, "a stride")? as i64)).collect::<Result<_, String>>()?,
        };
        self.push(Value::Tensor(Rc::new(tensor)))
    }

    /// Takes the attributes of an object, which a state dict needs none of (`_metadata`).
    fn state(&mut self) -> Done {
        self.pop()?;
        let object = self.top()?;
        match self.value(object) {
            Value::Dict(_) => Ok(()),
            other => Err(format!("it would set attributes of {}", other.what())),
        }
    }

    /// Puts the topmost `pairs` names and values into the dict below them.
    fn insert(&mut self, pairs: usize) -> Done {
        let first = self.stack.len().checked_sub(2 * pairs).filter(|first| *first >= self.floor()).ok_or("its stack is empty")?;
        let items = self.stack.split_off(first);
        self.insert_items(&items)
    }

    fn insert_all(&mut self) -> Done {
        let items = self.marked()?;
        if items.len() % 2 == 1 { Err("a name has no value".into()) } else { self.insert_items(&items) }
    }

    fn insert_items(&mut self, items: &[u32]) -> Done {
        let top = self.top()? as usize;
        match &mut self.values[top] {
            Value::Dict(entries) => entries.extend_from_slice(items),
            other => return Err(format!("it would put names into {}", other.what())),
        }
        Ok(())
    }

    /// Puts the topmost `count` values into the list below them, of which nothing is kept.
    fn append(&mut self, count: usize) -> Done {
        for _ in 0..count {
            self.pop()?;
        }
        let top = self.top()?;
        match self.value(top) {
            Value::List => Ok(()),
            other => Err(format!("it would append to {}", other.what())),
        }
    }

    fn append_all(&mut self) -> Done {
        self.marked()?;
        self.append(0)
    }
}

/// What a pickle names, if a state dict needs it.
fn global(module: &str, name: &str) -> Result<Global, String> {
    let dtype = match name {
        "DoubleStorage" => Some(Dtype::F64),
        "FloatStorage" => Some(Dtype::F32),
        "HalfStorage" => Some(Dtype::F16),
        "BFloat16Storage" => Some(Dtype::BF16),
        "LongStorage" => Some(Dtype::I64),
        "IntStorage" => Some(Dtype::I32),
        "ShortStorage" => Some(Dtype::I16),
        "CharStorage" => Some(Dtype::I8),
        "ByteStorage" => Some(Dtype::U8),
        "BoolStorage" => Some(Dtype::BOOL),
        _ => None,
    };
    match (module, name, dtype) {
        ("collections", "OrderedDict", _) => Ok(Global::Dict),
        ("torch._utils", "_rebuild_tensor_v2", _) => Ok(Global::Rebuild),
        ("torch._utils", "_rebuild_parameter", _) => Ok(Global::Parameter),
        ("torch", _, Some(dtype)) => Ok(Global::Storage(dtype)),
        _ => {
            Err(format!("it would run {}, which no state dict needs. Signet runs nothing of a file; do not trust this one", brief(&format!("{module}.{name}"))))
        }
    }
}
