//! Writes GGUF version 3, little-endian, tensor by tensor.

use std::collections::VecDeque;
use std::io::{self, Write};

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// A number.
    U32(u32),
    /// A number.
    F32(f32),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
    /// An array of numbers.
    Floats(Vec<f32>),
    /// An array of numbers.
    Integers(Vec<i32>),
}

impl GgufValue {
    /// The codes of its type, and of its elements' type if it is an array.
    fn types(&self) -> (u32, Option<u32>) {
        match self {
            GgufValue::U32(_) => (4, None),
            GgufValue::F32(_) => (6, None),
            GgufValue::Bool(_) => (7, None),
            GgufValue::Text(_) => (8, None),
            GgufValue::Texts(_) => (9, Some(8)),
            GgufValue::Floats(_) => (9, Some(6)),
            GgufValue::Integers(_) => (9, Some(5)),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (own, elements) = self.types();
        out.write_all(&own.to_le_bytes())?;
        if let Some(elements) = elements {
            out.write_all(&elements.to_le_bytes())?;
        }
        match self {
            GgufValue::U32(value) => out.write_all(&value.to_le_bytes()),
            GgufValue::F32(value) => out.write_all(&value.to_le_bytes()),
            GgufValue::Bool(value) => out.write_all(&[u8::from(*value)]),
            GgufValue::Text(value) => text(out, value),
            GgufValue::Texts(values) => length(out, values.len()).and_then(|()| values.iter().try_for_each(|value| text(out, value))),
            GgufValue::Floats(values) => length(out, values.len()).and_then(|()| values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))),
            GgufValue::Integers(values) => length(out, values.len()).and_then(|()| values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))),
        }
    }
}

fn length(out: &mut dyn Write, value: usize) -> io::Result<()> {
    out.write_all(&(value as u64).to_le_bytes())
}

fn text(out: &mut dyn Write, value: &str) -> io::Result<()> {
    length(out, value.len())?;
    out.write_all(value.as_bytes())
}

/// A tensor's float type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgufFloat {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
}

/// A tensor to write.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufTensorInfo {
    /// ggml's name.
    pub name: String,
    /// Rows; `None` for a vector.
    pub rows: Option<usize>,
    /// Columns, which are contiguous.
    pub cols: usize,
    /// The float type.
    pub floats: GgufFloat,
}

impl GgufTensorInfo {
    fn bytes(&self) -> u64 {
        let each = if self.floats == GgufFloat::F32 { 4 } else { 2 };
        (self.rows.unwrap_or(1) * self.cols) as u64 * each
    }
}

/// The alignment of tensors in bytes: GGUF's default.
const ALIGNMENT: u64 = 32;

/// Writes a file tensor by tensor.
pub struct GgufWriter<'a> {
    out: &'a mut dyn Write,
    rest: VecDeque<(String, u64)>,
}

impl<'a> GgufWriter<'a> {
    /// Writes metadata and the tensor list; the tensors must follow in the same order.
    pub fn new(out: &'a mut dyn Write, metadata: &[(String, GgufValue)], tensors: &[GgufTensorInfo]) -> io::Result<Self> {
        let mut header = Vec::from(*b"GGUF");
        header.extend(3u32.to_le_bytes());
        length(&mut header, tensors.len())?;
        length(&mut header, metadata.len())?;
        for (key, entry) in metadata {
            text(&mut header, key)?;
            entry.write(&mut header)?;
        }
        let mut offset = 0u64;
        for tensor in tensors {
            text(&mut header, &tensor.name)?;
            let dims: Vec<usize> = [tensor.cols].into_iter().chain(tensor.rows).collect();
            header.extend((dims.len() as u32).to_le_bytes());
            dims.iter().try_for_each(|&dim| length(&mut header, dim))?;
            header.extend(u32::from(tensor.floats == GgufFloat::F16).to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset += tensor.bytes().next_multiple_of(ALIGNMENT);
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
        out.write_all(&header)?;
        Ok(Self { out, rest: tensors.iter().map(|tensor| (tensor.name.clone(), tensor.bytes())).collect() })
    }

    /// Writes the next tensor; `name` guards against a wrong order.
    pub fn tensor(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.rest.pop_front() {
            Some((next, length)) if next == name && length == bytes.len() as u64 => {
                let padding = length.next_multiple_of(ALIGNMENT) - length;
                self.out.write_all(bytes)?;
                self.out.write_all(&[0; ALIGNMENT as usize][..padding as usize])
            }
            next => Err(io::Error::other(format!("tensor {name} of {} bytes was written instead of {next:?}", bytes.len()))),
        }
    }

    /// Checks that all tensors were written.
    pub fn finish(self) -> io::Result<()> {
        match self.rest.front() {
            Some((name, _)) => Err(io::Error::other(format!("tensor {name} was not written"))),
            None => Ok(()),
        }
    }
}
