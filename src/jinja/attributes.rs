//! Attributes of values, and calls of their methods: what Python has and the sandbox allows.

use super::arguments::Arguments;
use super::ast::Name;
use super::interpret::Interpreter;
use super::number::float_repr;
use super::object::Object;
use super::operators::{self, equal};
use super::text::{self, wants_int};
use super::value::{Value, View};
use super::{Error, Result, print};

/// An attribute that exists: a value, or one that the sandbox forbids.
enum Found {
    Value(Value),
    Unsafe,
}

const LIST: [&str; 3] = ["copy", "count", "index"];
/// Methods that would change a list or a mapping.
const LIST_CHANGES: [&str; 8] = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"];
const DICT: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const DICT_CHANGES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const INT: [&str; 5] = ["as_integer_ratio", "bit_count", "bit_length", "conjugate", "to_bytes"];
const FLOAT: [&str; 4] = ["as_integer_ratio", "conjugate", "hex", "is_integer"];

/// Names with two underscores that every object has.
const DUNDERS: [&str; 26] = [
    "class",
    "delattr",
    "dir",
    "doc",
    "eq",
    "format",
    "ge",
    "getattribute",
    "getstate",
    "gt",
    "hash",
    "init",
    "init_subclass",
    "le",
    "lt",
    "ne",
    "new",
    "reduce",
    "reduce_ex",
    "repr",
    "setattr",
    "sizeof",
    "str",
    "subclasshook",
    "module",
    "dict",
];
/// Those of containers and numbers.
const MORE_DUNDERS: [&str; 16] =
    ["len", "getitem", "iter", "contains", "add", "mul", "rmul", "mod", "rmod", "setitem", "delitem", "reversed", "getnewargs", "bool", "int", "call"];

fn is_dunder(value: &Value, name: &str) -> bool {
    let Some(inner) = name.strip_prefix("__").and_then(|name| name.strip_suffix("__")) else { return false };
    let plain = matches!(value, Value::None | Value::Undefined(_));
    DUNDERS.contains(&inner) || !plain && MORE_DUNDERS.contains(&inner) || matches!(value, Value::Object(_)) && inner == "globals"
}

impl Interpreter<'_> {
    /// `value.name`: the attribute, and in its absence the item.
    pub(super) fn attribute(&mut self, value: &Value, name: &Name) -> Result<Value> {
        match self.find_attribute(value, name)? {
            Some(Found::Value(found)) => Ok(found),
            Some(Found::Unsafe) => Ok(forbidden(value, name)),
            None => match operators::item(value, &name.into(), &self.meter)? {
                Some(item) => Ok(item),
                None => Ok(Value::missing(format!("{} has no attribute '{name}'", value.described()))),
            },
        }
    }

    /// `value[index]`: the item, and in its absence the attribute.
    pub(super) fn item(&mut self, value: &Value, index: &Value) -> Result<Value> {
        if let Some(item) = operators::item(value, index, &self.meter)? {
            return Ok(item);
        }
        let Value::Str(name) = index else {
            return Ok(Value::missing(format!("{} has no element {}", value.described(), super::print::repr(index, &self.meter)?)));
        };
        match self.find_attribute(value, &name.text)? {
            Some(Found::Value(found)) => Ok(found),
            Some(Found::Unsafe) => Ok(forbidden(value, &name.text)),
            None => Ok(Value::missing(format!("{} has no attribute '{}'", value.described(), name.text))),
        }
    }

    /// The attribute alone, as the filter `attr` has it.
    pub(super) fn attribute_only(&mut self, value: &Value, name: &Name) -> Result<Value> {
        Ok(match self.find_attribute(value, name)? {
            Some(Found::Value(found)) => found,
            Some(Found::Unsafe) => forbidden(value, name),
            None => Value::missing(format!("{} has no attribute '{name}'", value.described())),
        })
    }

    fn find_attribute(&mut self, value: &Value, name: &Name) -> Result<Option<Found>> {
        if let Value::Object(object) = value
            && let Object::Namespace(attributes) = &**object
        {
            let found = attributes.borrow().iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
            return Ok(found.map(Found::Value).or_else(|| (&**name == "__class__").then_some(Found::Unsafe)));
        }
        if is_dunder(value, name) {
            return Ok(Some(Found::Unsafe));
        }
        let is = |names: &[&str]| names.contains(&&**name);
        let method = match value {
            Value::Str(text) => is(&text::METHODS) || text.safe && is(&text::SAFE_METHODS),
            Value::Bytes(_) => is(&["decode", "hex"]),
            Value::List(_) if is(&LIST_CHANGES) => return Ok(Some(Found::Unsafe)),
            Value::List(_) => is(&LIST),
            Value::Tuple(items) if items.group && is(&["grouper", "list"]) => {
                return Ok(Some(Found::Value(items.items[usize::from(&**name == "list")].clone())));
            }
            Value::Tuple(_) => is(&["count", "index"]),
            Value::Dict(_) if is(&DICT_CHANGES) => return Ok(Some(Found::Unsafe)),
            Value::Dict(_) => is(&DICT),
            Value::View(dict, _) if is(&["mapping"]) => return Ok(Some(Found::Value(Value::Dict(dict.clone())))),
            Value::View(_, view) => *view != View::Values && is(&["isdisjoint"]),
            Value::Range(range) => match &**name {
                "start" => return Ok(Some(Found::Value(Value::Int(range.start)))),
                "stop" => return Ok(Some(Found::Value(Value::Int(range.stop)))),
                "step" => return Ok(Some(Found::Value(Value::Int(range.step)))),
                _ => is(&["count", "index"]),
            },
            Value::Bool(_) | Value::Int(_) => match &**name {
                "real" | "numerator" => return Ok(Some(Found::Value(Value::Int(value.as_int().unwrap_or(0))))),
                "imag" => return Ok(Some(Found::Value(Value::Int(0)))),
                "denominator" => return Ok(Some(Found::Value(Value::Int(1)))),
                _ => is(&INT),
            },
            Value::Float(_) => match &**name {
                "real" => return Ok(Some(Found::Value(value.clone()))),
                "imag" => return Ok(Some(Found::Value(Value::Float(0.0)))),
                _ => is(&FLOAT),
            },
            Value::Object(object) => return self.object_attribute(&object.clone(), name),
            Value::Undefined(_) | Value::None => false,
        };
        if method {
            let bound = self.object(Object::Method(value.clone(), name.clone()))?;
            return Ok(Some(Found::Value(bound)));
        }
        Ok(None)
    }

    fn object_attribute(&mut self, object: &std::rc::Rc<Object>, name: &Name) -> Result<Option<Found>> {
        let found = match (&**object, &**name) {
            (Object::Macro(object), _) => match &**name {
                "name" if object.definition.name.is_empty() => Value::None,
                "name" => (&object.definition.name).into(),
                "arguments" => Value::tuple(object.definition.parameters.iter().map(Value::from).collect(), &self.meter)?,
                "catch_kwargs" => object.definition.kwargs.into(),
                "catch_varargs" => object.definition.varargs.into(),
                "caller" => object.definition.caller.into(),
                "explicit_caller" => object.definition.parameters.iter().any(|name| &**name == "caller").into(),
                _ => return Ok(None),
            },
            (Object::Loop(state), _) => match self.loop_attribute(state, name)? {
                Some(value) => value,
                None if matches!(&**name, "cycle" | "changed") => self.object(Object::Method(Value::Object(object.clone()), name.clone()))?,
                None => return Ok(None),
            },
            (Object::Cycler(items, at), "current") => items[at.get()].clone(),
            (Object::Cycler(_, at), "pos") => at.get().into(),
            (Object::Cycler(items, _), "items") => Value::tuple(items.clone(), &self.meter)?,
            (Object::Cycler(..), "next" | "reset") | (Object::Function("dict"), "fromkeys") => {
                self.object(Object::Method(Value::Object(object.clone()), name.clone()))?
            }
            (Object::Joiner(separator, _), "sep") => separator.clone(),
            (Object::Joiner(_, used), "used") => used.get().into(),
            (Object::Template(around), _) => match self.template.blocks.get(name) {
                Some(block) => self.object(Object::Block(block.clone(), around.clone()))?,
                None => return Ok(None),
            },
            (Object::Block(block, _), "name") => (&block.name).into(),
            (Object::Block(..), "super") => Value::missing("there is no parent block"),
            (Object::Generator(..), "gi_frame" | "gi_code") => return Ok(Some(Found::Unsafe)),
            _ => return Ok(None),
        };
        Ok(Some(Found::Value(found)))
    }

    /// Calls a method that a value has.
    pub(super) fn call_method(&mut self, value: &Value, name: &str, arguments: Arguments) -> Result<Value> {
        match value {
            Value::Str(string) => text::call(string, name, arguments, self),
            Value::List(items) | Value::Tuple(items) => sequence(&items.items, name, arguments, self),
            Value::Range(_) => {
                let items = self.iterate(value)?;
                sequence(&items, name, arguments, self)
            }
            Value::Dict(dict) => match name {
                "keys" | "values" | "items" => {
                    arguments.none(name)?;
                    let view = if name == "keys" {
                        View::Keys
                    } else if name == "values" {
                        View::Values
                    } else {
                        View::Items
                    };
                    Ok(Value::View(dict.clone(), view))
                }
                "copy" => {
                    arguments.none(name)?;
                    Value::dict(dict.entries.iter().cloned(), &self.meter)
                }
                "get" => {
                    let [key, default] = arguments.bind(name, ["", ""], 1)?;
                    let key = key.unwrap_or(Value::None).key(&self.meter)?;
                    Ok(dict.get(&key).cloned().or(default).unwrap_or(Value::None))
                }
                _ => self.with_keys(arguments),
            },
            Value::View(dict, _) => {
                let [other] = arguments.bind(name, [""], 1)?;
                let this = Value::View(dict.clone(), View::Keys);
                for item in self.iterate(&other.unwrap_or(Value::None))? {
                    if operators::contains(&this, &item, &self.meter)? {
                        return Ok(false.into());
                    }
                }
                Ok(true.into())
            }
            Value::Bytes(bytes) if name == "decode" => {
                let text = std::str::from_utf8(bytes).map_err(|error| Error::new(format!("bytes are not UTF-8: {error}")))?;
                Ok(text.into())
            }
            Value::Bytes(bytes) => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
            Value::Float(number) => float_method(*number, name, arguments, self),
            Value::Bool(_) | Value::Int(_) => int_method(value.as_int().unwrap_or(0), name, arguments, self),
            Value::Object(object) => self.object_method(object, name, arguments),
            Value::Undefined(_) | Value::None => Err(Error::new(format!("{} has no method {name}", value.described()))),
        }
    }

    fn with_keys(&mut self, arguments: Arguments) -> Result<Value> {
        let [keys, value] = arguments.bind("fromkeys", ["", ""], 1)?;
        let value = value.unwrap_or(Value::None);
        let keys = self.iterate(&keys.unwrap_or(Value::None))?;
        Value::dict(keys.into_iter().map(|key| (key, value.clone())), &self.meter)
    }

    fn object_method(&mut self, object: &Object, name: &str, arguments: Arguments) -> Result<Value> {
        match object {
            Object::Function(_) => self.with_keys(arguments),
            Object::Cycler(items, at) => {
                arguments.none(name)?;
                if name == "reset" {
                    at.set(0);
                    return Ok(Value::None);
                }
                let current = at.get();
                at.set((current + 1) % items.len());
                Ok(items[current].clone())
            }
            Object::Loop(state) => self.loop_method(state, name, arguments),
            other => Err(Error::new(format!("'{}' has no method {name}", other.type_name()))),
        }
    }
}

/// A placeholder for an attribute that the sandbox forbids: using it is an error.
fn forbidden(value: &Value, name: &str) -> Value {
    Value::missing(format!("the attribute '{name}' of '{}' is not safe, or would change the value", value.type_name()))
}

fn float_method(number: f64, name: &str, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    arguments.none(name)?;
    match name {
        "is_integer" => Ok((number.is_finite() && number.fract() == 0.0).into()),
        "conjugate" => Ok(Value::Float(number)),
        "hex" => Ok(float_hex(number).into()),
        _ => {
            let ratio = || Error::new(format!("{} is no ratio of integers here", float_repr(number)));
            let (mut numerator, mut denominator) = (number, 1_i128);
            while numerator.fract() != 0.0 && denominator < 1 << 62 {
                (numerator, denominator) = (numerator * 2.0, denominator * 2);
            }
            if numerator.fract() != 0.0 || numerator.is_nan() || numerator.abs() >= 1e38 {
                return Err(ratio());
            }
            Value::tuple(vec![Value::Int(numerator as i128), Value::Int(denominator)], &interpreter.meter)
        }
    }
}

fn float_hex(number: f64) -> String {
    if !number.is_finite() {
        return float_repr(number);
    }
    let bits = number.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
    let sign = if number.is_sign_negative() { "-" } else { "" };
    match (exponent, fraction) {
        (0, 0) => format!("{sign}0x0.0p+0"),
        (0, _) => format!("{sign}0x0.{fraction:013x}p-1022"),
        _ => format!("{sign}0x1.{fraction:013x}p{:+}", exponent - 1023),
    }
}

fn int_method(number: i128, name: &str, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let size = number.unsigned_abs();
    if name == "to_bytes" {
        return Err(Error::new("to_bytes is not supported"));
    }
    arguments.none(name)?;
    match name {
        "bit_count" => Ok(Value::Int(size.count_ones().into())),
        "bit_length" => Ok(Value::Int((128 - size.leading_zeros()).into())),
        "conjugate" => Ok(Value::Int(number)),
        _ => Value::tuple(vec![Value::Int(number), Value::Int(1)], &interpreter.meter),
    }
}

/// Calls a method of a list, a tuple or a range.
fn sequence(items: &[Value], name: &str, arguments: Arguments, interpreter: &mut Interpreter<'_>) -> Result<Value> {
    let meter = &interpreter.meter;
    meter.memory(size_of_val(items))?;
    match name {
        "copy" => {
            arguments.none(name)?;
            Value::list(items.to_vec(), meter)
        }
        "count" => {
            let [wanted] = arguments.bind(name, [""], 1)?;
            let wanted = wanted.unwrap_or(Value::None);
            let mut count = 0;
            for item in items {
                meter.steps(1)?;
                count += usize::from(item.same(&wanted) || equal(item, &wanted, meter)?);
            }
            Ok(count.into())
        }
        _ => {
            let [wanted, start, stop] = arguments.bind(name, ["", "", ""], 1)?;
            let wanted = wanted.unwrap_or(Value::None);
            let length = items.len() as i128;
            let bound = |value: i128| if value < 0 { (value + length).max(0) } else { value.min(length) } as usize;
            let (start, stop) = (bound(wants_int(start, 0, name)?), bound(wants_int(stop, length, name)?));
            for (at, item) in items.iter().enumerate().take(stop).skip(start) {
                meter.steps(1)?;
                if item.same(&wanted) || equal(item, &wanted, meter)? {
                    return Ok(at.into());
                }
            }
            Err(Error::new(format!("{} is not in the list", print::repr(&wanted, meter)?)))
        }
    }
}
