//! GGUF metadata: typed values by key.

use super::super::FormatError;
use super::header_reader::HeaderReader;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A number type, by its code in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScalarType {
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
const MAX_DEPTH: usize = 4;

impl ScalarType {
    fn of(code: u32) -> Option<Self> {
        use ScalarType::*;
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
        use ScalarType::*;
        match self {
            U8 | I8 | Bool => 1,
            U16 | I16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 => 8,
        }
    }

    /// Converts bytes to a number.
    fn value(self, bytes: &[u8]) -> MetadataValue {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(wide);
        match self {
            ScalarType::U8 | ScalarType::U16 | ScalarType::U32 | ScalarType::U64 => MetadataValue::Integer(i128::from(word)),
            ScalarType::I8 => MetadataValue::Integer(i128::from(word as i8)),
            ScalarType::I16 => MetadataValue::Integer(i128::from(word as i16)),
            ScalarType::I32 => MetadataValue::Integer(i128::from(word as i32)),
            ScalarType::I64 => MetadataValue::Integer(i128::from(word as i64)),
            ScalarType::Bool => MetadataValue::Flag(word != 0),
            // The intended value is the shortest decimal that rounds to it: 1e-5, not 9.99999974737875e-6.
            ScalarType::F32 => MetadataValue::Real(f32::from_bits(word as u32).to_string().parse().expect("a float's text is a float")),
            ScalarType::F64 => MetadataValue::Real(f64::from_bits(word)),
        }
    }
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
enum MetadataValue {
    Integer(i128),
    Real(f64),
    Flag(bool),
    Text(String),
    /// Unconverted, so that it takes no more memory than in the file.
    Numbers(ScalarType, Vec<u8>),
    Texts(Vec<String>),
    /// An array of arrays: validated and skipped, since no key in use has one.
    Nested,
}

impl MetadataValue {
    /// Describes it for an error.
    fn describe(&self) -> String {
        match self {
            MetadataValue::Integer(value) => value.to_string(),
            MetadataValue::Real(value) => value.to_string(),
            MetadataValue::Flag(value) => value.to_string(),
            MetadataValue::Text(text) => format!("{text:?}"),
            MetadataValue::Numbers(..) => "an array of numbers".into(),
            MetadataValue::Texts(_) => "an array of texts".into(),
            MetadataValue::Nested => "an array of arrays".into(),
        }
    }

    fn read(reader: &mut HeaderReader<'_>, code: u32, key: &str, depth: usize) -> Result<Self, FormatError> {
        let what = format_args!("metadata {key}").to_string();
        if let Some(number) = ScalarType::of(code) {
            return Ok(number.value(reader.read_bytes(number.bytes(), &what)?));
        }
        match code {
            TEXT => Ok(MetadataValue::Text(reader.text(&what)?)),
            ARRAY if depth < MAX_DEPTH => Self::array(reader, key, depth),
            ARRAY => Err(reader.problem(format!("{what} has arrays nested more than {MAX_DEPTH} deep"))),
            _ => Err(reader.problem(format!("{what} is of type {code}, which GGUF does not have"))),
        }
    }

    fn array(reader: &mut HeaderReader<'_>, key: &str, depth: usize) -> Result<Self, FormatError> {
        let what = format!("metadata {key}");
        let code = reader.u32(&format_args!("the type of {what}"))?;
        let length = format_args!("the length of {what}").to_string();
        if let Some(number) = ScalarType::of(code) {
            let count = reader.count(number.bytes(), &length)?;
            return Ok(MetadataValue::Numbers(number, reader.read_bytes(count * number.bytes(), &what)?.to_vec()));
        }
        // A text takes at least its length, an array also its type.
        let count = reader.count(if code == TEXT { 8 } else { 12 }, &length)?;
        if code == TEXT {
            let text = |n| reader.text(&format_args!("element {n} of {what}"));
            return (0..count).map(text).collect::<Result<_, _>>().map(MetadataValue::Texts);
        }
        for _ in 0..count {
            Self::read(reader, code, key, depth + 1)?;
        }
        Ok(MetadataValue::Nested)
    }
}

/// The metadata of a file.
#[derive(Clone, Debug)]
pub struct GgufMetadata {
    path: PathBuf,
    values: BTreeMap<String, MetadataValue>,
}

impl GgufMetadata {
    /// Reads `count` keys and values.
    pub(super) fn read(path: &Path, reader: &mut HeaderReader<'_>, count: u64) -> Result<Self, FormatError> {
        let mut values = BTreeMap::new();
        for n in 0..count {
            let key = reader.text(&format_args!("the key of metadata {n}"))?;
            let code = reader.u32(&format_args!("the type of metadata {key}"))?;
            let value = MetadataValue::read(reader, code, &key, 0)?;
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

    /// Converts the value of a key, if it exists; `expected` names the expected type.
    fn get<'a, T>(&'a self, key: &str, expected: &str, convert: impl FnOnce(&'a MetadataValue) -> Option<T>) -> Result<Option<T>, FormatError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| self.problem(format!("metadata {key} is {}; {expected} is needed", value.describe())))
    }

    /// A count.
    pub fn count(&self, key: &str) -> Result<Option<usize>, FormatError> {
        self.get(key, "a whole number that is not negative", |value| match value {
            MetadataValue::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        })
    }

    /// A finite number.
    pub fn real(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.get(key, "a finite number", |value| match value {
            MetadataValue::Integer(value) => Some(*value as f64),
            MetadataValue::Real(value) => value.is_finite().then_some(*value),
            _ => None,
        })
    }

    /// A boolean.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.get(key, "true or false", |value| match value {
            MetadataValue::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&str>, FormatError> {
        self.get(key, "a text", |value| match value {
            MetadataValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An array of texts.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, FormatError> {
        self.get(key, "an array of texts", |value| match value {
            MetadataValue::Texts(texts) => Some(&texts[..]),
            _ => None,
        })
    }

    /// An array of numbers.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, FormatError> {
        let number = |value| match value {
            MetadataValue::Integer(value) => value as f64,
            MetadataValue::Real(value) => value,
            MetadataValue::Flag(flag) => f64::from(u8::from(flag)),
            _ => unreachable!("a number's bytes are a number"),
        };
        self.get(key, "an array of numbers", |value| match value {
            MetadataValue::Numbers(kind, bytes) => Some(bytes.chunks_exact(kind.bytes() as usize).map(|bytes| number(kind.value(bytes))).collect()),
            _ => None,
        })
    }
}
