//! Python's values, as templates see them.

use super::ast::Name;
use super::jinja_error::{ErrorKind, JinjaError, Result};
use super::meter::Meter;
use std::any::Any;
use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::rc::Rc;
use std::sync::Arc;

/// The deepest nesting of containers; Python's limit is somewhat higher.
const MAX_DEPTH: u16 = 200;

/// A text; `safe` if it needs no escaping, like Python's `Markup`.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    pub(super) safe: bool,
}

/// An undefined value, with the reason.
#[derive(Debug)]
pub(super) struct Missing(pub(super) String);

/// A list or the items of a tuple.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) items: Vec<Value>,
    depth: u16,
    /// True for a group of `groupby`, whose items have names.
    pub(super) group: bool,
}

/// A mapping in insertion order.
#[derive(Debug)]
pub(super) struct Dict {
    pub(super) entries: Vec<(Value, Value)>,
    index: HashMap<DictKey, usize>,
    depth: u16,
}

/// The part of a mapping in a view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DictView {
    /// Its keys.
    Keys,
    /// Its values.
    Values,
    /// Pairs of both.
    Items,
}

/// A range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) start: i128,
    pub(super) stop: i128,
    pub(super) step: i128,
}

impl Range {
    /// The number of items.
    pub(super) fn len(&self) -> i128 {
        let span = if self.step > 0 { self.stop - self.start } else { self.start - self.stop };
        if span <= 0 { 0 } else { (span - 1) / self.step.abs() + 1 }
    }

    pub(super) fn at(&self, index: i128) -> Value {
        Value::Int(self.start + index * self.step)
    }

    pub(super) fn contains(&self, value: i128) -> bool {
        let Some(offset) = value.checked_sub(self.start) else { return false };
        offset.wrapping_rem(self.step) == 0 && offset.checked_div(self.step).is_some_and(|index| (0..self.len()).contains(&index))
    }
}

/// An object, as far as this module must know it; `object` has its kinds.
pub(super) trait AnyObject: Any + Debug {
    /// Python's name of the type.
    fn type_name(&self) -> &'static str;
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// An undefined value.
    Undefined(Rc<Missing>),
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A text.
    Str(Text),
    /// A text's bytes.
    Bytes(Rc<[u8]>),
    /// A list.
    List(Rc<Items>),
    /// A tuple.
    Tuple(Rc<Items>),
    /// A mapping.
    Dict(Rc<Dict>),
    /// A mapping's keys, values or items.
    View(Rc<Dict>, DictView),
    /// A range.
    Range(Range),
    /// A shared object: callable, iterable or assignable.
    Object(Rc<dyn AnyObject>),
}

/// A hashable key of a mapping: equal numbers are one key, whatever their type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum DictKey {
    /// An undefined value.
    Undefined,
    /// `None`.
    None,
    /// An integer, a bool, or an integral float.
    Int(i128),
    /// The bits of another float.
    Float(u64),
    /// A text.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<DictKey>),
    /// A range.
    Range(i128, i128, i128),
    /// The address of another value.
    Address(usize),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(Text { text: text.into(), safe: false })
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(Text { text: text.into(), safe: false })
    }
}

impl From<&Name> for Value {
    fn from(text: &Name) -> Self {
        Value::Str(Text { text: text.clone(), safe: false })
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::Int(value as i128)
    }
}

impl Value {
    /// A text, safe or not.
    pub(super) fn text(text: impl Into<Arc<str>>, safe: bool) -> Self {
        Value::Str(Text { text: text.into(), safe })
    }

    /// An undefined value, with the reason.
    pub(super) fn missing(why: impl Into<String>) -> Self {
        Value::Undefined(Rc::new(Missing(why.into())))
    }

    pub(super) fn list(items: Vec<Value>, meter: &Meter) -> Result<Self> {
        Ok(Value::List(Rc::new(Items::new(items, false, meter)?)))
    }

    pub(super) fn tuple(items: Vec<Value>, meter: &Meter) -> Result<Self> {
        Ok(Value::Tuple(Rc::new(Items::new(items, false, meter)?)))
    }

    pub(super) fn group(items: Vec<Value>, meter: &Meter) -> Result<Self> {
        Ok(Value::Tuple(Rc::new(Items::new(items, true, meter)?)))
    }

    pub(super) fn dict(pairs: impl IntoIterator<Item = (Value, Value)>, meter: &Meter) -> Result<Self> {
        Ok(Value::Dict(Rc::new(Dict::new(pairs, meter)?)))
    }

    /// The depth of nested containers.
    fn depth(&self) -> u16 {
        match self {
            Value::List(items) | Value::Tuple(items) => items.depth,
            Value::Dict(dict) | Value::View(dict, _) => dict.depth,
            _ => 0,
        }
    }

    /// A text, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(&text.text),
            _ => None,
        }
    }

    pub(super) fn is_safe(&self) -> bool {
        matches!(self, Value::Str(text) if text.safe)
    }

    /// The integer, if it is one or a bool.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    /// Python's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(text) if text.safe => "Markup",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::View(_, DictView::Keys) => "dict_keys",
            Value::View(_, DictView::Values) => "dict_values",
            Value::View(_, DictView::Items) => "dict_items",
            Value::Range(_) => "range",
            Value::Object(object) => object.type_name(),
        }
    }

    /// Describes it in errors about missing attributes.
    pub(super) fn described(&self) -> String {
        match self {
            Value::None => "'None'".into(),
            other => format!("'{} object'", other.type_name()),
        }
    }

    /// The error of using an undefined value.
    pub(super) fn undefined_error(&self) -> JinjaError {
        let message = match self {
            Value::Undefined(missing) => missing.0.clone(),
            other => format!("{} is defined", other.described()),
        };
        JinjaError { kind: ErrorKind::Undefined, ..JinjaError::new(message) }
    }

    /// The error of a value that is undefined or of the wrong type.
    pub(super) fn mismatch(&self, expected: impl Display) -> JinjaError {
        if self.is_undefined() { self.undefined_error() } else { JinjaError::new(format!("{expected}, not '{}'", self.type_name())) }
    }

    /// Python's truth value.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.items.is_empty(),
            Value::Dict(dict) | Value::View(dict, _) => !dict.entries.is_empty(),
            Value::Range(range) => range.len() > 0,
            Value::Object(_) => true,
        }
    }

    /// Returns true if two are the same object.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::None, Value::None) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b && (-5..=256).contains(a),
            (Value::Str(a), Value::Str(b)) => Arc::ptr_eq(&a.text, &b.text) && a.safe == b.safe,
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b),
            (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
            (Value::Object(a), Value::Object(b)) => Rc::ptr_eq(a, b),
            (Value::Undefined(a), Value::Undefined(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Its key in a mapping.
    pub(super) fn key(&self, meter: &Meter) -> Result<DictKey> {
        meter.steps(1)?;
        Ok(match self {
            Value::Undefined(_) => DictKey::Undefined,
            Value::None => DictKey::None,
            Value::Bool(value) => DictKey::Int(i128::from(*value)),
            Value::Int(value) => DictKey::Int(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e38 => DictKey::Int(*value as i128),
            Value::Float(value) => DictKey::Float(value.to_bits()),
            Value::Str(text) => DictKey::Str(text.text.clone()),
            Value::Bytes(bytes) => DictKey::Bytes(bytes.to_vec()),
            Value::Tuple(items) => {
                meter.memory(items.items.len() * size_of::<DictKey>())?;
                DictKey::Tuple(items.items.iter().map(|item| item.key(meter)).collect::<Result<_>>()?)
            }
            Value::Range(range) => DictKey::Range(range.start, range.stop, range.step),
            Value::Object(object) => DictKey::Address(Rc::as_ptr(object) as *const u8 as usize),
            Value::View(dict, DictView::Values) => DictKey::Address(Rc::as_ptr(dict) as *const u8 as usize),
            Value::List(_) | Value::Dict(_) | Value::View(..) => return Err(JinjaError::new(format!("unhashable type: '{}'", self.type_name()))),
        })
    }
}

/// The depth of a container of these values.
fn depth_over<'a>(values: impl Iterator<Item = &'a Value>) -> Result<u16> {
    let depth = values.map(Value::depth).max().unwrap_or(0) + 1;
    if depth > MAX_DEPTH { Err(JinjaError::new("lists are nested too deeply")) } else { Ok(depth) }
}

impl Items {
    pub(super) fn new(items: Vec<Value>, group: bool, meter: &Meter) -> Result<Self> {
        meter.memory(size_of::<Self>() + items.len() * size_of::<Value>())?;
        meter.steps(items.len() / 4)?;
        Ok(Self { depth: depth_over(items.iter())?, items, group })
    }
}

impl Dict {
    pub(super) fn new(pairs: impl IntoIterator<Item = (Value, Value)>, meter: &Meter) -> Result<Self> {
        let (mut entries, mut index) = (Vec::<(Value, Value)>::new(), HashMap::<DictKey, usize>::new());
        meter.memory(size_of::<Self>())?;
        for (key, value) in pairs {
            meter.memory(3 * size_of::<Value>() + size_of::<DictKey>() + 16)?;
            match index.entry(key.key(meter)?) {
                std::collections::hash_map::Entry::Occupied(at) => entries[*at.get()].1 = value,
                std::collections::hash_map::Entry::Vacant(slot) => {
                    slot.insert(entries.len());
                    entries.push((key, value));
                }
            }
        }
        let depth = depth_over(entries.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Self { entries, index, depth })
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &DictKey) -> Option<&Value> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }
}
