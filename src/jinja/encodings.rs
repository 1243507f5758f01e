//! Encoding text as bytes, and translating characters.

use super::arguments::{Arguments, expect_text};
use super::jinja_error::{JinjaError, Result};
use super::lexer::escaped;
use super::meter::Meter;
use super::value::{Text, Value};

/// `text.encode()`.
pub(super) fn encode(text: &str, arguments: Arguments) -> Result<Value> {
    let [encoding, errors] = arguments.bind("encode", ["encoding", "errors"], 0)?;
    let encoding = encoding.map_or(Ok("utf-8".to_string()), |encoding| expect_text(Some(encoding), "encode").map(|text| text.text.to_lowercase()))?;
    let errors = errors.map_or(Ok("strict".to_string()), |errors| expect_text(Some(errors), "encode").map(|text| text.text.to_string()))?;
    let limit = match &*encoding.replace(['-', '_'], "") {
        "utf8" => return Ok(Value::Bytes(text.as_bytes().into())),
        "ascii" => 0x80,
        "latin1" | "iso88591" => 0x100,
        _ => return Err(JinjaError::new(format!("the encoding '{encoding}' is not supported; utf-8, ascii and latin-1 are"))),
    };
    let mut bytes = Vec::new();
    for c in text.chars() {
        match (c as u32, &*errors) {
            (code, _) if code < limit => bytes.push(code as u8),
            (_, "ignore") => {}
            (_, "replace") => bytes.push(b'?'),
            (_, "backslashreplace") => bytes.extend(escaped(c).bytes()),
            (code, "xmlcharrefreplace") => bytes.extend(format!("&#{code};").bytes()),
            _ => return Err(JinjaError::new(format!("{c:?} cannot be encoded as {encoding}"))),
        }
    }
    Ok(Value::Bytes(bytes.into()))
}

/// `text.translate()` and `text.maketrans()`.
pub(super) fn translate(text: &Text, name: &str, arguments: Arguments, meter: &Meter) -> Result<Value> {
    if name == "maketrans" {
        return make_translation(arguments, meter);
    }
    let [table] = arguments.bind(name, [""], 1)?;
    let Some(Value::Dict(table)) = table else { return Err(JinjaError::new("translate expects a mapping")) };
    let mut out = String::new();
    for c in text.text.chars() {
        match table.get(&Value::Int(c as i128).key(meter)?) {
            None => out.push(c),
            Some(Value::None) => {}
            Some(Value::Str(part)) => {
                meter.memory(part.text.len())?;
                out.push_str(&part.text);
            }
            Some(other) => {
                let code = other.as_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
                out.push(code.ok_or_else(|| JinjaError::new("translate maps to text, integers or None"))?);
            }
        }
    }
    Ok(Value::text(out, text.safe))
}

fn make_translation(arguments: Arguments, meter: &Meter) -> Result<Value> {
    let [from, to, dropped] = arguments.bind("maketrans", ["", "", ""], 1)?;
    let code = |c: char| Value::Int(c as i128);
    let pairs: Vec<(Value, Value)> = match (from, to) {
        (Some(Value::Dict(dict)), None) => {
            let key = |key: &Value| match key {
                Value::Str(text) => text.text.chars().next().map_or(Value::None, code),
                other => other.clone(),
            };
            dict.entries.iter().map(|(from, to)| (key(from), to.clone())).collect()
        }
        (from, to) => {
            let (from, to) = (expect_text(from, "maketrans")?.text, expect_text(to, "maketrans")?.text);
            if from.chars().count() != to.chars().count() {
                return Err(JinjaError::new("maketrans expects two texts of equal length"));
            }
            let dropped = dropped.map_or(Ok("".into()), |dropped| expect_text(Some(dropped), "maketrans").map(|text| text.text))?;
            let gone = dropped.chars().map(|c| (code(c), Value::None)).collect::<Vec<_>>();
            from.chars().map(code).zip(to.chars().map(code)).chain(gone).collect()
        }
    };
    Value::dict(pairs, meter)
}
