//! Operators on values, as in Python.

use super::ast::{BinaryOp, CompareOp};
use super::jinja_error::{JinjaError, Result};
use super::meter::Meter;
use super::number::{compare_int_float, float_divmod, float_pow, int_divmod, int_pow, too_large};
use super::value::{DictView, Items, Range, Text, Value};
use super::{markup, percent};
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

/// An integer or a float.
enum Numeric {
    Int(i128),
    Float(f64),
}

fn number(value: &Value) -> Option<Numeric> {
    match value {
        Value::Float(value) => Some(Numeric::Float(*value)),
        other => other.as_int().map(Numeric::Int),
    }
}

fn float(number: &Numeric) -> f64 {
    match number {
        Numeric::Int(value) => *value as f64,
        Numeric::Float(value) => *value,
    }
}

/// `left operator right`.
pub(super) fn binary(operator: BinaryOp, left: &Value, right: &Value, meter: &Meter) -> Result<Value> {
    if let (Value::Str(text), BinaryOp::Mod) = (left, operator) {
        return percent::format(text, right, meter);
    }
    if let Some(missing) = [left, right].into_iter().find(|value| value.is_undefined()) {
        return Err(missing.undefined_error());
    }
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return arithmetic(operator, a, b);
    }
    let combined = match operator {
        BinaryOp::Add => add(left, right, meter)?,
        BinaryOp::Mul => match (left.as_int(), right.as_int()) {
            (None, Some(times)) => repeat(left, times, meter)?,
            (Some(times), None) => repeat(right, times, meter)?,
            _ => None,
        },
        _ => None,
    };
    combined.ok_or_else(|| unsupported(operator, left, right))
}

fn unsupported(operator: BinaryOp, left: &Value, right: &Value) -> JinjaError {
    let symbol = match operator {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::FloorDiv => "//",
        BinaryOp::Mod => "%",
        BinaryOp::Pow => "**",
    };
    JinjaError::new(format!("unsupported operands for {symbol}: '{}' and '{}'", left.type_name(), right.type_name()))
}

fn arithmetic(operator: BinaryOp, a: Numeric, b: Numeric) -> Result<Value> {
    let (Numeric::Int(x), Numeric::Int(y)) = (&a, &b) else { return floats(operator, float(&a), float(&b)) };
    let (x, y) = (*x, *y);
    let value = match operator {
        BinaryOp::Add => x.checked_add(y),
        BinaryOp::Sub => x.checked_sub(y),
        BinaryOp::Mul => x.checked_mul(y),
        BinaryOp::Div if y == 0 => return Err(JinjaError::new("division by zero")),
        BinaryOp::Div => return Ok(Value::Float(x as f64 / y as f64)),
        BinaryOp::FloorDiv => Some(int_divmod(x, y)?.0),
        BinaryOp::Mod => Some(int_divmod(x, y)?.1),
        BinaryOp::Pow if y < 0 => return float_pow(x as f64, y as f64).map(Value::Float),
        BinaryOp::Pow => Some(int_pow(x, y)?),
    };
    value.map(Value::Int).ok_or_else(too_large)
}

fn floats(operator: BinaryOp, x: f64, y: f64) -> Result<Value> {
    Ok(Value::Float(match operator {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div if y == 0.0 => return Err(JinjaError::new("float division by zero")),
        BinaryOp::Div => x / y,
        BinaryOp::FloorDiv => float_divmod(x, y)?.0,
        BinaryOp::Mod => float_divmod(x, y)?.1,
        BinaryOp::Pow => float_pow(x, y)?,
    }))
}

/// Concatenates texts, lists or tuples.
fn add(left: &Value, right: &Value, meter: &Meter) -> Result<Option<Value>> {
    let joined = |a: &Items, b: &Items| {
        let bytes = (a.items.len() + b.items.len()) * size_of::<Value>();
        meter.memory(bytes)?;
        let items = Rc::new(Items::new(a.items.iter().chain(&b.items).cloned().collect(), false, meter)?);
        // They are charged again on creation.
        meter.track_items(&items, 2 * bytes)?;
        Ok::<_, JinjaError>(items)
    };
    Ok(Some(match (left, right) {
        (Value::Str(a), Value::Str(b)) => {
            let bytes = a.text.len().saturating_add(b.text.len());
            meter.memory(bytes)?;
            let safe = a.safe || b.safe;
            let text: Arc<str> = match safe {
                true => (markup::escaped(a) + &*markup::escaped(b)).into(),
                false => [&*a.text, &*b.text].concat().into(),
            };
            meter.track_text(&text, bytes)?;
            Value::text(text, safe)
        }
        (Value::List(a), Value::List(b)) => Value::List(joined(a, b)?),
        (Value::Tuple(a), Value::Tuple(b)) => Value::Tuple(joined(a, b)?),
        _ => return Ok(None),
    }))
}

/// Repeats a text, list or tuple.
fn repeat(value: &Value, times: i128, meter: &Meter) -> Result<Option<Value>> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    let items = |items: &Items| {
        meter.text(items.items.len().checked_mul(size_of::<Value>()).and_then(|bytes| bytes.checked_mul(times)))?;
        Ok::<_, JinjaError>(std::iter::repeat_n(&items.items, if items.items.is_empty() { 0 } else { times }).flatten().cloned().collect::<Vec<_>>())
    };
    Ok(Some(match value {
        Value::Str(text) => {
            meter.text(text.text.len().checked_mul(times))?;
            Value::text(if text.text.is_empty() { String::new() } else { text.text.repeat(times) }, text.safe)
        }
        Value::List(list) => Value::list(items(list)?, meter)?,
        Value::Tuple(tuple) => Value::tuple(items(tuple)?, meter)?,
        _ => return Ok(None),
    }))
}

/// `-value` or `+value`.
pub(super) fn sign(negative: bool, value: &Value) -> Result<Value> {
    match number(value) {
        Some(Numeric::Int(value)) if negative => value.checked_neg().map(Value::Int).ok_or_else(too_large),
        Some(Numeric::Int(value)) => Ok(Value::Int(value)),
        Some(Numeric::Float(value)) => Ok(Value::Float(if negative { -value } else { value })),
        None if value.is_undefined() => Err(value.undefined_error()),
        None => Err(JinjaError::new(format!("unsupported operand for unary sign: '{}'", value.type_name()))),
    }
}

/// Returns true if two values are equal.
pub(super) fn equal(left: &Value, right: &Value, meter: &Meter) -> Result<bool> {
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return Ok(compare_numbers(&a, &b) == Some(Ordering::Equal));
    }
    let items = |a: &Rc<Items>, b: &Rc<Items>| {
        if Rc::ptr_eq(a, b) {
            return Ok(true);
        }
        if a.items.len() != b.items.len() {
            return Ok(false);
        }
        meter.deeper(|| {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !a.same(b) && !equal(a, b, meter)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    };
    match (left, right) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => Ok(true),
        (Value::Str(a), Value::Str(b)) => {
            meter.steps(a.text.len() / 1024)?;
            Ok(a.text == b.text)
        }
        (Value::Bytes(a), Value::Bytes(b)) => Ok(a == b),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => items(a, b),
        (Value::Dict(a), Value::Dict(b)) if Rc::ptr_eq(a, b) => Ok(true),
        (Value::Dict(a), Value::Dict(b)) if a.entries.len() != b.entries.len() => Ok(false),
        (Value::Dict(a), Value::Dict(b)) => meter.deeper(|| {
            for (key, value) in &a.entries {
                match b.get(&key.key(meter)?) {
                    Some(other) if value.same(other) || equal(value, other, meter)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }),
        (Value::View(a, DictView::Keys), Value::View(b, DictView::Keys)) => {
            let mut same = a.entries.len() == b.entries.len();
            for (key, _) in &a.entries {
                same &= b.get(&key.key(meter)?).is_some();
            }
            Ok(same)
        }
        (Value::View(a, DictView::Items), Value::View(b, DictView::Items)) => equal(&Value::Dict(a.clone()), &Value::Dict(b.clone()), meter),
        (Value::Range(a), Value::Range(b)) => Ok(a.len() == b.len() && (a.len() == 0 || a.start == b.start && (a.len() == 1 || a.step == b.step))),
        _ => Ok(left.same(right)),
    }
}

fn compare_numbers(a: &Numeric, b: &Numeric) -> Option<Ordering> {
    match (a, b) {
        (Numeric::Int(a), Numeric::Int(b)) => Some(a.cmp(b)),
        (Numeric::Float(a), Numeric::Float(b)) => a.partial_cmp(b),
        (Numeric::Int(a), Numeric::Float(b)) => compare_int_float(*a, *b),
        (Numeric::Float(a), Numeric::Int(b)) => compare_int_float(*b, *a).map(Ordering::reverse),
    }
}

/// Compares two values; `None` if one of them is NaN.
fn order(left: &Value, right: &Value, symbol: &str, meter: &Meter) -> Result<Option<Ordering>> {
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return Ok(compare_numbers(&a, &b));
    }
    match (left, right) {
        (Value::Str(a), Value::Str(b)) => {
            meter.steps(a.text.len() / 1024)?;
            Ok(Some(a.text.cmp(&b.text)))
        }
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Some(a.cmp(b))),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => meter.deeper(|| {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !a.same(b) && !equal(a, b, meter)? {
                    return order(a, b, symbol, meter);
                }
            }
            Ok(Some(a.items.len().cmp(&b.items.len())))
        }),
        _ => match [left, right].into_iter().find(|value| value.is_undefined()) {
            Some(missing) => Err(missing.undefined_error()),
            None => Err(JinjaError::new(format!("'{symbol}' cannot compare '{}' and '{}'", left.type_name(), right.type_name()))),
        },
    }
}

/// Returns true if a value is less than another, as sorting needs it.
pub(super) fn less(left: &Value, right: &Value, meter: &Meter) -> Result<bool> {
    Ok(order(left, right, "<", meter)? == Some(Ordering::Less))
}

/// A comparison other than `in`.
pub(super) fn compare(comparison: CompareOp, left: &Value, right: &Value, meter: &Meter) -> Result<bool> {
    let ordered = |symbol| order(left, right, symbol, meter);
    match comparison {
        CompareOp::Eq => equal(left, right, meter),
        CompareOp::Ne => Ok(!equal(left, right, meter)?),
        CompareOp::Lt => less(left, right, meter),
        CompareOp::Le => Ok(ordered("<=")?.is_some_and(Ordering::is_le)),
        CompareOp::Gt => Ok(ordered(">")?.is_some_and(Ordering::is_gt)),
        CompareOp::Ge => Ok(ordered(">=")?.is_some_and(Ordering::is_ge)),
        CompareOp::In => contains(right, left, meter),
        CompareOp::NotIn => Ok(!contains(right, left, meter)?),
    }
}

/// Returns true if a container has an item.
pub(super) fn contains(container: &Value, item: &Value, meter: &Meter) -> Result<bool> {
    let among = |items: &mut dyn Iterator<Item = &Value>| {
        for other in items {
            meter.steps(1)?;
            if other.same(item) || equal(other, item, meter)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match container {
        Value::Str(text) => match item {
            Value::Str(part) => {
                meter.steps(text.text.len() / 256)?;
                Ok(text.text.contains(&*part.text))
            }
            other => Err(JinjaError::new(format!("'in' a text expects text, not '{}'", other.type_name()))),
        },
        Value::Bytes(bytes) => bytes_contain(bytes, item, meter),
        Value::List(items) | Value::Tuple(items) => among(&mut items.items.iter()),
        Value::Dict(dict) | Value::View(dict, DictView::Keys) => Ok(dict.get(&item.key(meter)?).is_some()),
        Value::View(dict, DictView::Values) => among(&mut dict.entries.iter().map(|(_, value)| value)),
        Value::View(dict, DictView::Items) => match item {
            Value::Tuple(pair) if pair.items.len() == 2 => match dict.get(&pair.items[0].key(meter)?) {
                Some(value) => equal(value, &pair.items[1], meter),
                None => Ok(false),
            },
            _ => Ok(false),
        },
        Value::Range(range) => Ok(match number(item) {
            Some(Numeric::Int(value)) => range.contains(value),
            Some(Numeric::Float(value)) => value.fract() == 0.0 && value.abs() < 1e38 && range.contains(value as i128),
            None => false,
        }),
        Value::Undefined(_) => Ok(false),
        other => Err(JinjaError::new(format!("'in' expects a container, not '{}'", other.type_name()))),
    }
}

/// Returns true if bytes contain a byte, or a sequence of bytes.
fn bytes_contain(bytes: &[u8], item: &Value, meter: &Meter) -> Result<bool> {
    meter.steps(bytes.len() / 256)?;
    match (item, item.as_int().map(u8::try_from)) {
        (_, Some(Ok(byte))) => Ok(bytes.contains(&byte)),
        (_, Some(Err(_))) => Err(JinjaError::new("a byte must be 0 to 255")),
        (Value::Bytes(part), _) => {
            meter.memory(2 * (bytes.len() + part.len()))?;
            let text = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
            Ok(text(bytes).contains(&text(part)))
        }
        _ => Err(JinjaError::new(format!("'in' bytes expects bytes, not '{}'", item.type_name()))),
    }
}

/// The number of items of a value.
pub(super) fn length(value: &Value) -> Result<usize> {
    Ok(match value {
        Value::Undefined(_) => 0,
        Value::Str(text) => text.text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) | Value::Tuple(items) => items.items.len(),
        Value::Dict(dict) | Value::View(dict, _) => dict.entries.len(),
        Value::Range(range) => range.len() as usize,
        other => return Err(JinjaError::new(format!("a '{}' has no length", other.type_name()))),
    })
}

/// `value[index]`, if the item exists.
pub(super) fn item(value: &Value, index: &Value, meter: &Meter) -> Result<Option<Value>> {
    let at = |length: usize| {
        let index = index.as_int()?;
        let length = length as i128;
        let index = if index < 0 { index + length } else { index };
        (0..length).contains(&index).then_some(index as usize)
    };
    Ok(match value {
        Value::Undefined(_) => return Err(value.undefined_error()),
        Value::Dict(dict) => index.key(meter).ok().and_then(|key| dict.get(&key).cloned()),
        Value::List(items) | Value::Tuple(items) => at(items.items.len()).map(|at| items.items[at].clone()),
        Value::Str(text) => {
            meter.steps(text.text.len() / 256)?;
            let length = if index.as_int().is_some() { text.text.chars().count() } else { 0 };
            at(length).and_then(|at| text.text.chars().nth(at)).map(|c| Value::text(c.to_string(), text.safe))
        }
        Value::Bytes(bytes) => at(bytes.len()).map(|at| Value::Int(bytes[at].into())),
        Value::Range(range) => at(range.len() as usize).map(|at| range.at(at as i128)),
        _ => None,
    })
}

/// `value[start:stop:step]`; `None` if the type does not support slices, or not these bounds.
pub(super) fn slice(value: &Value, bounds: &[Option<Value>; 3], meter: &Meter) -> Result<Option<Value>> {
    if value.is_undefined() {
        return Err(value.undefined_error());
    }
    if !matches!(value, Value::Str(_) | Value::Bytes(_) | Value::List(_) | Value::Tuple(_) | Value::Range(_)) {
        return Ok(None);
    }
    let bound = |value: &Option<Value>| match value {
        None | Some(Value::None) => Some(None),
        Some(other) => other.as_int().map(Some),
    };
    let Some(step) = bound(&bounds[2]) else { return Ok(None) };
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(JinjaError::new("a slice's step cannot be zero"));
    }
    let (Some(start), Some(stop)) = (bound(&bounds[0]), bound(&bounds[1])) else { return Ok(None) };
    let length = length(value)? as i128;
    let selected = clip(start, stop, step, length);
    let picked = |items: &[Value]| (0..selected.len()).map(|n| items[(selected.start + n * step) as usize].clone()).collect::<Vec<_>>();
    meter.memory(selected.len() as usize * size_of::<Value>())?;
    Ok(Some(match value {
        Value::List(items) => Value::list(picked(&items.items), meter)?,
        Value::Tuple(items) => Value::tuple(picked(&items.items), meter)?,
        Value::Bytes(bytes) => Value::Bytes((0..selected.len()).map(|n| bytes[(selected.start + n * step) as usize]).collect()),
        Value::Range(range) => {
            let at = |index: i128| index.checked_mul(range.step).and_then(|offset| range.start.checked_add(offset)).ok_or_else(too_large);
            // An overflowing step selects no second item: it exceeds the length, like the largest step.
            let longest = if (range.step < 0) == (step < 0) { i128::MAX } else { -i128::MAX };
            let step = range.step.checked_mul(step).filter(|step| *step != i128::MIN).unwrap_or(longest);
            Value::Range(Range { start: at(selected.start)?, stop: at(selected.stop)?, step })
        }
        Value::Str(text) => slice_text(text, selected),
        _ => return Ok(None),
    }))
}

fn slice_text(text: &Text, selected: Range) -> Value {
    let count = selected.len() as usize;
    if count == 0 {
        return Value::text("", text.safe);
    }
    let step = selected.step.unsigned_abs() as usize;
    let sliced: String = match selected.step > 0 {
        true => text.text.chars().skip(selected.start as usize).step_by(step).take(count).collect(),
        false => {
            let chars: Vec<char> = text.text.chars().collect();
            (0..count).map(|n| chars[selected.start as usize - n * step]).collect()
        }
    };
    Value::text(sliced, text.safe)
}

/// Clips a slice's bounds to a length.
fn clip(start: Option<i128>, stop: Option<i128>, step: i128, length: i128) -> Range {
    let step = step.clamp(-(1 << 62), 1 << 62);
    let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let clip = |bound: i128| {
        let bound = bound.clamp(-(1 << 62), 1 << 62);
        if bound < 0 { (bound + length).max(low) } else { bound.min(high) }
    };
    let start = start.map_or(if step < 0 { high } else { low }, clip);
    let stop = stop.map_or(if step < 0 { low } else { high }, clip);
    Range { start, stop, step }
}
