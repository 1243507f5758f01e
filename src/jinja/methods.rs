//! Methods of values: Python's, as far as the sandbox allows.

use super::arguments::{Arguments, expect_int};
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::number::float_repr;
use super::object::{LoopObject, Object};
use super::operators::{self, equal};
use super::runtime::Runtime;
use super::value::{DictView, Value};
use super::{print, str_methods};

/// Calls a method.
pub(super) fn call(value: &Value, name: &str, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    match value {
        Value::Str(string) => str_methods::call(string, name, arguments, runtime),
        Value::List(items) | Value::Tuple(items) => sequence(&items.items, name, arguments, runtime.meter()),
        Value::Range(_) => {
            let items = runtime.iterate(value)?;
            sequence(&items, name, arguments, runtime.meter())
        }
        Value::Dict(dict) => match name {
            "keys" | "values" | "items" => {
                arguments.none(name)?;
                let view = if name == "keys" {
                    DictView::Keys
                } else if name == "values" {
                    DictView::Values
                } else {
                    DictView::Items
                };
                Ok(Value::View(dict.clone(), view))
            }
            "copy" => {
                arguments.none(name)?;
                Value::dict(dict.entries.iter().cloned(), runtime.meter())
            }
            "get" => {
                let [key, default] = arguments.bind(name, ["", ""], 1)?;
                let key = key.unwrap_or(Value::None).key(runtime.meter())?;
                Ok(dict.get(&key).cloned().or(default).unwrap_or(Value::None))
            }
            _ => with_keys(arguments, runtime),
        },
        Value::View(dict, _) => {
            let [other] = arguments.bind(name, [""], 1)?;
            let this = Value::View(dict.clone(), DictView::Keys);
            for item in runtime.iterate(&other.unwrap_or(Value::None))? {
                if operators::contains(&this, &item, runtime.meter())? {
                    return Ok(false.into());
                }
            }
            Ok(true.into())
        }
        Value::Bytes(bytes) if name == "decode" => {
            let text = std::str::from_utf8(bytes).map_err(|error| JinjaError::new(format!("bytes are not UTF-8: {error}")))?;
            Ok(text.into())
        }
        Value::Bytes(bytes) => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
        Value::Float(number) => float_method(*number, name, arguments, runtime.meter()),
        Value::Bool(_) | Value::Int(_) => int_method(value.as_int().unwrap_or(0), name, arguments, runtime.meter()),
        Value::Object(_) => object_method(value, name, arguments, runtime),
        Value::Undefined(_) | Value::None => Err(JinjaError::new(format!("{} has no method {name}", value.described()))),
    }
}

fn with_keys(arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let [keys, value] = arguments.bind("fromkeys", ["", ""], 1)?;
    let value = value.unwrap_or(Value::None);
    let keys = runtime.iterate(&keys.unwrap_or(Value::None))?;
    Value::dict(keys.into_iter().map(|key| (key, value.clone())), runtime.meter())
}

fn object_method(value: &Value, name: &str, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    match value.as_object() {
        Some(Object::Function(_)) => with_keys(arguments, runtime),
        Some(Object::Cycler(items, at)) => {
            arguments.none(name)?;
            if name == "reset" {
                at.set(0);
                return Ok(Value::None);
            }
            let current = at.get();
            at.set((current + 1) % items.len());
            Ok(items[current].clone())
        }
        Some(Object::Loop(state)) => loop_method(state, name, arguments, runtime.meter()),
        _ => Err(JinjaError::new(format!("'{}' has no method {name}", value.type_name()))),
    }
}

/// `loop.cycle(…)` and `loop.changed(…)`.
fn loop_method(state: &LoopObject, name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    let Arguments { positional, named } = arguments;
    Arguments { positional: Vec::new(), named }.none(name)?;
    if name == "cycle" {
        let length = positional.len().max(1);
        return positional.get(state.index.get() % length).cloned().ok_or_else(|| JinjaError::new("cycle expects items"));
    }
    let before = state.changed.borrow().clone();
    let mut same = before.as_ref().is_some_and(|before| before.len() == positional.len());
    for (old, new) in before.iter().flatten().zip(&positional) {
        same = same && (old.same(new) || equal(old, new, meter)?);
    }
    if !same {
        *state.changed.borrow_mut() = Some(positional);
    }
    Ok((!same).into())
}

fn float_method(number: f64, name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    arguments.none(name)?;
    match name {
        "is_integer" => Ok((number.is_finite() && number.fract() == 0.0).into()),
        "conjugate" => Ok(Value::Float(number)),
        "hex" => Ok(float_hex(number).into()),
        _ => {
            let ratio = || JinjaError::new(format!("cannot write {} as a ratio of integers", float_repr(number)));
            let (mut numerator, mut denominator) = (number, 1_i128);
            while numerator.fract() != 0.0 && denominator < 1 << 62 {
                (numerator, denominator) = (numerator * 2.0, denominator * 2);
            }
            if numerator.fract() != 0.0 || numerator.is_nan() || numerator.abs() >= 1e38 {
                return Err(ratio());
            }
            Value::tuple(vec![Value::Int(numerator as i128), Value::Int(denominator)], meter)
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

fn int_method(number: i128, name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    let size = number.unsigned_abs();
    if name == "to_bytes" {
        return Err(JinjaError::new("to_bytes is not supported"));
    }
    arguments.none(name)?;
    match name {
        "bit_count" => Ok(Value::Int(size.count_ones().into())),
        "bit_length" => Ok(Value::Int((128 - size.leading_zeros()).into())),
        "conjugate" => Ok(Value::Int(number)),
        _ => Value::tuple(vec![Value::Int(number), Value::Int(1)], meter),
    }
}

/// Calls a method of a list, a tuple or a range.
fn sequence(items: &[Value], name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    meter.memory(size_of_val(items))?;
    match name {
        "copy" => {
            arguments.none(name)?;
            Value::list(items.to_vec(), meter)
        }
        "count" => {
            let [target] = arguments.bind(name, [""], 1)?;
            let target = target.unwrap_or(Value::None);
            let mut count = 0;
            for item in items {
                meter.steps(1)?;
                count += usize::from(item.same(&target) || equal(item, &target, meter)?);
            }
            Ok(count.into())
        }
        _ => {
            let [target, start, stop] = arguments.bind(name, ["", "", ""], 1)?;
            let target = target.unwrap_or(Value::None);
            let length = items.len() as i128;
            let bound = |value: i128| if value < 0 { (value + length).max(0) } else { value.min(length) } as usize;
            let (start, stop) = (bound(expect_int(start, 0, name)?), bound(expect_int(stop, length, name)?));
            for (at, item) in items.iter().enumerate().take(stop).skip(start) {
                meter.steps(1)?;
                if item.same(&target) || equal(item, &target, meter)? {
                    return Ok(at.into());
                }
            }
            Err(JinjaError::new(format!("{} is not in the list", print::repr(&target, meter)?)))
        }
    }
}
