//! GGUF metadata: typed values by key.

use super::super::FormatError;
use super::header_reader::Reader;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A number type, by its code in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

/// Codes of the other types.
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
/// Nesting depth of arrays.
const DEPTH: usize = 4;

impl Number {
    fn of(code: u32) -> Option<Self> {
        use Number::*;
        Some(match code {
            0 => U8,
            1 => I8,
            2 => U16,
            3 => I16,
            4 => U32,
            5 => I32,
            6 => F32,
            7 => Bool,
            10 => U64,
            11 => I64,
            12 => F64,
            _ => return None,
        })
    }

    fn bytes(self) -> u64 {
        use Number::*;
        match self {
            U8 | I8 | Bool => 1,
            U16 | I16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 => 8,
        }
    }

    /// Converts bytes to a number.
    fn value(self, bytes: &[u8]) -> Value {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(wide);
        match self {
            Number::U8 | Number::U16 | Number::U32 | Number::U64 => Value::Whole(i128::from(word)),
            Number::I8 => Value::Whole(i128::from(word as i8)),
            Number::I16 => Value::Whole(i128::from(word as i16)),
            Number::I32 => Value::Whole(i128::from(word as i32)),
            Number::I64 => Value::Whole(i128::from(word as i64)),
            Number::Bool => Value::Flag(word != 0),
            // The intended value is the shortest decimal that rounds to it: 1e-5, not 9.99999974737875e-6.
            Number::F32 => Value::Real(f32::from_bits(word as u32).to_string().parse().expect("a float's text is a float")),
            Number::F64 => Value::Real(f64::from_bits(word)),
        }
    }
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Whole(i128),
    Real(f64),
    Flag(bool),
    Text(String),
    /// Unconverted, so that it takes no more memory than in the file.
    Numbers(Number, Vec<u8>),
    Texts(Vec<String>),
    /// An array of arrays: validated and skipped, since no key in use has one.
    Nested,
}

impl Value {
    /// Describes it for an error.
    fn about(&self) -> String {
        match self {
            Value::Whole(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
            Value::Flag(value) => value.to_string(),
            Value::Text(text) => format!("{text:?}"),
            Value::Numbers(..) => "an array of numbers".into(),
            Value::Texts(_) => "an array of texts".into(),
            Value::Nested => "an array of arrays".into(),
        }
    }

    fn read(reader: &mut Reader<'_>, code: u32, key: &str, depth: usize) -> Result<Self, FormatError> {
        let what = format_args!("metadata {key}").to_string();
        if let Some(number) = Number::of(code) {
            return Ok(number.value(reader.read_bytes(number.bytes(), &what)?));
        }
        match code {
            TEXT => Ok(Value::Text(reader.text(&what)?)),
            ARRAY if depth < DEPTH => Self::array(reader, key, depth),
            ARRAY => Err(reader.problem(format!("{what} has arrays nested more than {DEPTH} deep"))),
            _ => Err(reader.problem(format!("{what} is of type {code}, which GGUF does not have"))),
        }
    }

    fn array(reader: &mut Reader<'_>, key: &str, depth: usize) -> Result<Self, FormatError> {
        let what = format!("metadata {key}");
        let code = reader.u32(&format_args!("the type of {what}"))?;
        let length = format_args!("the length of {what}").to_string();
        if let Some(number) = Number::of(code) {
            let count = reader.count(number.bytes(), &length)?;
            return Ok(Value::Numbers(number, reader.read_bytes(count * number.bytes(), &what)?.to_vec()));
        }
        // A text takes at least its length, an array also its type.
        let count = reader.count(if code == TEXT { 8 } else { 12 }, &length)?;
        if code == TEXT {
            let text = |n| reader.text(&format_args!("element {n} of {what}"));
            return (0..count).map(text).collect::<Result<_, _>>().map(Value::Texts);
        }
        for _ in 0..count {
            Self::read(reader, code, key, depth + 1)?;
        }
        Ok(Value::Nested)
    }
}

/// The metadata of a file.
#[derive(Clone, Debug)]
pub struct Metadata {
    path: PathBuf,
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// Reads `count` keys and values.
    pub(super) fn read(path: &Path, reader: &mut Reader<'_>, count: u64) -> Result<Self, FormatError> {
        let mut values = BTreeMap::new();
        for n in 0..count {
            let key = reader.text(&format_args!("the key of metadata {n}"))?;
            let code = reader.u32(&format_args!("the type of metadata {key}"))?;
            let value = Value::read(reader, code, &key, 0)?;
            if values.contains_key(&key) {
                return Err(reader.problem(format!("metadata {key} is duplicated")));
            }
            values.insert(key, value);
        }
        Ok(Self { path: path.to_path_buf(), values })
    }

    /// An error in this file.
    pub fn problem(&self, problem: impl Display) -> FormatError {
        FormatError::new(&self.path, problem)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Converts the value of a key, if it exists; `wanted` names the expected type.
    fn get<'a, T>(&'a self, key: &str, wanted: &str, convert: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>, FormatError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| self.problem(format!("metadata {key} is {}; {wanted} is needed", value.about())))
    }

    /// A count.
    pub fn count(&self, key: &str) -> Result<Option<usize>, FormatError> {
        self.get(key, "a whole number that is not negative", |value| match value {
            Value::Whole(value) => usize::try_from(*value).ok(),
            _ => None,
        })
    }

    /// A finite number.
    pub fn real(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.get(key, "a finite number", |value| match value {
            Value::Whole(value) => Some(*value as f64),
            Value::Real(value) => value.is_finite().then_some(*value),
            _ => None,
        })
    }

    /// A boolean.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.get(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&str>, FormatError> {
        self.get(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An array of texts.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, FormatError> {
        self.get(key, "an array of texts", |value| match value {
            Value::Texts(texts) => Some(&texts[..]),
            _ => None,
        })
    }

    /// An array of numbers.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, FormatError> {
        let number = |value| match value {
            Value::Whole(value) => value as f64,
            Value::Real(value) => value,
            Value::Flag(flag) => f64::from(u8::from(flag)),
            _ => unreachable!("a number's bytes are a number"),
        };
        self.get(key, "an array of numbers", |value| match value {
            Value::Numbers(kind, bytes) => Some(bytes.chunks_exact(kind.bytes() as usize).map(|bytes| number(kind.value(bytes))).collect()),
            _ => None,
        })
    }
}
