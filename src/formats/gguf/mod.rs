//! GGUF, llama.cpp's format, versions 2 and 3: checked, and read a band of rows at a time.
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod blocks;
mod metadata;
mod names;
mod read;
#[cfg(test)]
mod tests;
pub mod write;

use super::bytes::Bytes;
use super::content::{self, Kind};
use super::source::no_tensor;
use super::{FormatError, TensorSource};
use blocks::Stored;
use names::Heads;
use rayon::prelude::*;
use read::Reader;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use metadata::Metadata;

/// What a file begins with.
pub const MAGIC: &[u8; 4] = b"GGUF";

/// The tensor of what RoPE's frequencies are divided by, where they are scaled as Llama 3's.
pub const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Versions that are read.
const VERSIONS: [u32; 2] = [2, 3];
/// Data begin at multiples of so many bytes, unless the metadata say otherwise.
const ALIGNMENT: usize = 32;
/// Most sides of a tensor.
const SIDES: u32 = 4;
/// Bytes that the shortest entries of metadata and of tensors take.
const LEAST_VALUE: u64 = 13;
const LEAST_TENSOR: u64 = 32;

/// A GGUF file whose metadata and list of tensors have been checked. Tensors of a plain LLaMA go by
/// Hugging Face's names, and the rows of its queries' and keys' matrices are in Hugging Face's order.
pub struct Gguf {
    path: PathBuf,
    bytes: Bytes,
    metadata: Metadata,
    tensors: BTreeMap<String, Tensor>,
}

/// A tensor of a file.
struct Tensor {
    /// Its name in the file.
    own: String,
    /// Whether a plain LLaMA has one of that name.
    known: bool,
    stored: Stored,
    /// Rows first.
    shape: Vec<usize>,
    /// Where its bytes begin and end in the file.
    bytes: Range<u64>,
    /// The width of its heads, if the rows of each are in llama.cpp's order.
    turned: Option<usize>,
}

impl Gguf {
    /// Opens a file and checks everything but the tensors' values.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::checked(path, Bytes::open(path)?)
    }

    /// A file that is nowhere but in memory, called `name` in messages.
    pub fn owned(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), Bytes::Owned(bytes))
    }

    fn checked(path: &Path, bytes: Bytes) -> Result<Self, FormatError> {
        let start = bytes.start().map_err(|error| FormatError::new(path, format!("cannot be read: {error}")))?;
        content::expect(path, &start, &[Kind::Gguf])?;
        drop(start);
        let mut reader = Reader::new(path, &bytes);
        version(&mut reader)?;
        let tensors = reader.count(LEAST_TENSOR, &"the number of tensors")?;
        let values = reader.count(LEAST_VALUE, &"the number of metadata")?;
        let metadata = Metadata::read(path, &mut reader, values)?;
        let alignment = metadata.count("general.alignment")?.unwrap_or(ALIGNMENT);
        if !alignment.is_power_of_two() {
            return Err(metadata.problem(format!("metadata general.alignment is {alignment}; a power of two is needed")));
        }
        let entries = (0..tensors).map(|n| Entry::read(&mut reader, n)).collect::<Result<Vec<_>, _>>()?;
        let start =
            reader.at().checked_next_multiple_of(alignment as u64).ok_or_else(|| metadata.problem("metadata general.alignment is larger than any file"))?;
        let mut tensors = BTreeMap::new();
        for entry in entries {
            let (name, tensor) = entry.placed(&metadata, start, alignment as u64, bytes.length())?;
            if let Some(before) = tensors.insert(name, tensor) {
                return Err(metadata.problem(format!("tensor {} is there twice", before.own)));
            }
        }
        let file = Self { path: path.to_path_buf(), metadata, tensors, bytes };
        file.apart()?;
        Ok(file)
    }

    /// Refuses tensors that share bytes.
    fn apart(&self) -> Result<(), FormatError> {
        let ordered = self.ordered();
        let shared = ordered.windows(2).find(|pair| pair[1].1.bytes.start < pair[0].1.bytes.end);
        shared.map_or(Ok(()), |pair| Err(self.metadata.problem(format!("tensors {} and {} overlap", pair[0].1.own, pair[1].1.own))))
    }

    /// Names and tensors in the order of their data.
    fn ordered(&self) -> Vec<(&String, &Tensor)> {
        let mut ordered: Vec<_> = self.tensors.iter().collect();
        ordered.sort_by_key(|(_, tensor)| tensor.bytes.start);
        ordered
    }

    /// Everything the file says besides its tensors.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Names of tensors that a plain LLaMA does not have.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.tensors.values().filter(|tensor| !tensor.known).map(|tensor| tensor.own.as_str())
    }
}

/// Checks magic and version.
fn version(reader: &mut Reader<'_>) -> Result<(), FormatError> {
    let magic = reader.take(4, &"GGUF's magic")?;
    if magic != MAGIC {
        let found = String::from_utf8_lossy(magic).into_owned();
        return Err(reader.problem(format!("is no GGUF file: it begins with {found:?}")));
    }
    let version = reader.u32(&"GGUF's version")?;
    if VERSIONS.contains(&version) {
        return Ok(());
    }
    let big = VERSIONS.contains(&version.swap_bytes());
    Err(reader.problem(match big {
        true => "is a GGUF file in big-endian order; Signet reads little-endian ones".into(),
        false => format!("is GGUF of version {version}; Signet reads versions 2 and 3. Convert the model again with a current llama.cpp"),
    }))
}

/// A tensor as the file lists it.
struct Entry {
    name: String,
    /// Columns first.
    sides: Vec<u64>,
    code: u32,
    offset: u64,
}

impl Entry {
    fn read(reader: &mut Reader<'_>, n: u64) -> Result<Self, FormatError> {
        let name = reader.text(&format_args!("the name of tensor {n}"))?;
        let sides = reader.u32(&format_args!("the number of sides of tensor {name}"))?;
        if !(1..=SIDES).contains(&sides) {
            return Err(reader.problem(format!("tensor {name} has {sides} sides; 1 to {SIDES} are possible")));
        }
        let sides = (0..sides).map(|_| reader.u64(&format_args!("the shape of tensor {name}"))).collect::<Result<_, _>>()?;
        let code = reader.u32(&format_args!("the type of tensor {name}"))?;
        let offset = reader.u64(&format_args!("the place of tensor {name}"))?;
        Ok(Self { name, sides, code, offset })
    }

    /// The tensor and the name it goes by, if the file has all of its bytes where they must be.
    fn placed(self, metadata: &Metadata, start: u64, alignment: u64, length: u64) -> Result<(String, Tensor), FormatError> {
        let Self { name, sides, code, offset } = self;
        let problem = |problem: String| metadata.problem(format!("tensor {name} {problem}"));
        let stored = Stored::of(code).map_err(|kind| {
            let advice = "To convert it: llama-quantize --allow-requantize FILE OUT Q8_0";
            problem(format!("is stored as {kind}, which Signet does not read. It reads {}. {advice}", Stored::all()))
        })?;
        if sides.contains(&0) || !sides[0].is_multiple_of(stored.elements() as u64) {
            return Err(problem(format!("has sides {sides:?}; rows of {} are a multiple of {} elements long", stored.name(), stored.elements())));
        }
        let blocks = sides[1..].iter().try_fold(sides[0] / stored.elements() as u64, |product, side| product.checked_mul(*side));
        // Elements must be countable, too, and take at most 32 bits each.
        let countable = blocks.and_then(|blocks| usize::try_from(blocks.checked_mul(4 * stored.elements() as u64)?).ok());
        let bytes = countable.and(blocks).and_then(|blocks| blocks.checked_mul(stored.bytes() as u64));
        let bytes = bytes.ok_or_else(|| problem(format!("has sides {sides:?}, more than any file holds")))?;
        if !offset.is_multiple_of(alignment) {
            return Err(problem(format!("begins at byte {offset} of the data, which is no multiple of {alignment}")));
        }
        let first = start.checked_add(offset);
        let end = first.and_then(|first| first.checked_add(bytes)).filter(|end| *end <= length);
        let (Some(first), Some(end)) = (first, end) else {
            return Err(problem(format!("takes {bytes} bytes at byte {offset} of the data, past the end of the file: it is damaged, or not whole")));
        };
        let shape: Vec<usize> = sides.iter().rev().map(|side| *side as usize).collect();
        let turned = match shape[..] {
            [rows, _] => turned(metadata, &name, rows)?,
            _ => None,
        };
        let theirs = names::hugging_face(&name);
        let known = theirs.is_some();
        let tensor = Tensor { known, stored, shape, bytes: first..end, turned, own: name };
        Ok((theirs.unwrap_or_else(|| tensor.own.clone()), tensor))
    }
}

/// The width of a tensor's heads, if the rows of each are in llama.cpp's order.
fn turned(metadata: &Metadata, name: &str, rows: usize) -> Result<Option<usize>, FormatError> {
    let Some(heads) = names::turned(name) else { return Ok(None) };
    let queries = metadata.count("llama.attention.head_count")?;
    let heads = match heads {
        Heads::Queries => queries,
        Heads::Keys => metadata.count("llama.attention.head_count_kv")?.or(queries),
    };
    match heads {
        None => Ok(None),
        Some(heads) if heads > 0 && rows.is_multiple_of(2 * heads) => Ok(Some(rows / heads)),
        Some(heads) => Err(metadata.problem(format!("tensor {name} has {rows} rows, which are no {heads} heads of an even width"))),
    }
}

impl Tensor {
    /// Rows of the file that hold rows `band`: whole heads, if their order is another.
    fn rows(&self, band: &Range<usize>) -> Range<usize> {
        match self.turned {
            Some(head) => band.start / head * head..band.end.next_multiple_of(head),
            None => band.clone(),
        }
    }

    /// Where row `row` is in the file.
    fn row(&self, row: usize) -> usize {
        self.turned.map_or(row, |head| names::turned_row(row, head))
    }
}

impl TensorSource for Gguf {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.ordered().into_iter().map(|(name, _)| name.clone()).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| &tensor.shape[..])
    }

    fn stored_as(&self, name: &str) -> Option<&'static str> {
        self.tensors.get(name).map(|tensor| tensor.stored.name())
    }

    fn called(&self, name: &str) -> String {
        names::llama_cpp(name).map_or_else(|| name.into(), |own| format!("{own} ({name})"))
    }

    fn values_of(&self, name: &str, cols: usize, band: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let tensor = self.tensors.get(name).ok_or_else(|| no_tensor(&self.path, &self.called(name)))?;
        let row_bytes = cols / tensor.stored.elements() * tensor.stored.bytes();
        let rows = tensor.rows(&band);
        let at = |row: usize| tensor.bytes.start + (row * row_bytes) as u64;
        assert!(band.start <= band.end && at(rows.end) <= tensor.bytes.end, "rows {band:?} of {cols} columns of tensor {name}, {:?}", tensor.shape);
        let bytes = self.bytes.part(at(rows.start)..at(rows.end));
        let bytes: Cow<'_, [u8]> = bytes.map_err(|error| self.metadata.problem(format!("tensor {} cannot be read: {error}", self.called(name))))?;
        let mut values = vec![0.0; band.len() * cols];
        values.par_chunks_exact_mut(cols).zip(band.clone()).for_each(|(out, row)| {
            let start = (tensor.row(row) - rows.start) * row_bytes;
            tensor.stored.widen(&bytes[start..start + row_bytes], out);
        });
        Ok(values)
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.bytes.checksum(0).map_err(|error| self.metadata.problem(format!("cannot be read: {error}")))
    }
}
