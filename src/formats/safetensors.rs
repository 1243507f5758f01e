//! Safetensors: validated on opening, read in pieces, and written tensor by tensor.

mod checksummed_writer;
mod verify_tensors;

pub use checksummed_writer::{ChecksummedWriter, add_header_sum};

use super::bytes::{FileBytes, PIECE};
use super::content::{self, ContentKind, MAX_HEADER};
use super::element_type::ElementType;
use super::source::{finite, no_tensor};
use super::{FormatError, TensorSource, json};
use safetensors::tensor::Metadata;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use safetensors::Dtype;

/// A safetensors file with a validated header.
pub struct TensorFile {
    path: PathBuf,
    bytes: FileBytes,
    /// Parsed once, since it may hold a whole tokenizer.
    header: Metadata,
    /// The first byte of the data.
    data: u64,
    /// The expected checksums of its tensors, if known.
    expected: Option<verify_tensors::Expected>,
}

/// Type, shape and bytes of a tensor.
pub type RawTensor<'a> = (Dtype, &'a [usize], Cow<'a, [u8]>);

impl TensorFile {
    /// Opens a file and validates its header against its size.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::checked(path, FileBytes::open(path)?)
    }

    /// An embedded file.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), FileBytes::Embedded(bytes))
    }

    /// A file in memory; `name` appears in errors.
    pub fn owned(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, FormatError> {
        Self::checked(Path::new(name), FileBytes::Owned(bytes))
    }

    fn checked(path: &Path, bytes: FileBytes) -> Result<Self, FormatError> {
        let problem =
            |why: &dyn Display| FormatError::new(path, format!("is not a complete safetensors file ({why}). If it was copied or downloaded, do so again"));
        let read = |range| bytes.part(range).map_err(|error| FormatError::new(path, format!("cannot be read: {error}")));
        let start = bytes.start().map_err(|error| FormatError::new(path, format!("cannot be read: {error}")))?;
        content::expect(path, &start, &[ContentKind::Safetensors])?;
        drop(start);
        let all = bytes.length();
        if all < 8 {
            return Err(problem(&format_args!("it has {all} bytes")));
        }
        let length = u64::from_le_bytes(read(0..8)?[..].try_into().expect("8 bytes"));
        let data = 8u64.saturating_add(length);
        if length > MAX_HEADER || data > all {
            return Err(problem(&format_args!("its header would be {length} bytes long")));
        }
        let text = read(8..data)?;
        if let Some(name) = json::duplicate_name(&text, &["__metadata__"]).map_err(|error| problem(&error))? {
            return Err(problem(&format_args!("its header has {name:?} twice")));
        }
        let header: Metadata = serde_json::from_slice(&text).map_err(|error| problem(&error))?;
        drop(text);
        let (have, need) = (all - data, header.data_len() as u64);
        if have != need {
            return Err(problem(&format_args!("its header expects {need} bytes of data, but there are {have}")));
        }
        Self { path: path.to_path_buf(), bytes, header, data, expected: None }.with_own_sums()
    }

    /// A value of the header's free-form metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref().and_then(|map| map.get(key)).map(String::as_str)
    }

    /// The type of a tensor, if it exists.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.header.info(name).map(|info| info.dtype)
    }

    /// Reads a range of rows of an F16 tensor with `cols` columns, unconverted: two values per word, low half first; each
    /// row starts a new word.
    pub fn read_halves(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<u32>, FormatError> {
        let first = range.start * cols;
        match self.read_any_halves(name, cols, range)? {
            (words, None) => Ok(words),
            (_, Some(at)) => Err(self.problem(format!("tensor {name} is not finite at element {}", first + at))),
        }
    }

    /// The same without the check. Returns also the index of the first value that is not finite, if any, counted from the
    /// first row of the range.
    pub fn read_any_halves(&self, name: &str, cols: usize, range: Range<usize>) -> Result<(Vec<u32>, Option<usize>), FormatError> {
        let dtype = self.info(name)?.dtype;
        if dtype != Dtype::F16 {
            return Err(self.problem(format!("tensor {name} holds {dtype:?}, not F16")));
        }
        let first = range.start * cols;
        let bytes = self.raw_part(name, 2 * first..2 * range.end * cols)?;
        let half = |pair: &[u8]| u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        // All exponent bits set: infinity or NaN.
        let infinite = bytes.as_chunks::<2>().0.iter().position(|pair| half(pair) & 0x7c00 == 0x7c00);
        let row = |row: &'_ [u8]| row.chunks(4).map(|pair| half(pair) | pair.get(2..4).map_or(0, half) << 16).collect::<Vec<_>>();
        Ok((bytes.chunks(2 * cols).flat_map(row).collect(), infinite))
    }

    /// Reads a tensor of `rows × cols` 32-bit words (U32 or I32).
    pub fn words(&self, name: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
        self.expect_shape(name, rows, cols)?;
        self.raw_words(name)
    }

    /// Type, shape and bytes of a tensor, as stored.
    pub fn raw(&self, name: &str) -> Result<RawTensor<'_>, FormatError> {
        let info = self.info(name)?;
        let (start, end) = info.data_offsets;
        Ok((info.dtype, &info.shape[..], self.raw_part(name, 0..end - start)?))
    }

    /// Reads a range of a tensor's bytes, as stored.
    pub fn raw_part(&self, name: &str, range: Range<usize>) -> Result<Cow<'_, [u8]>, FormatError> {
        let (start, end) = self.info(name)?.data_offsets;
        self.verify(name)?;
        assert!(range.start <= range.end && range.end <= end - start, "bytes {range:?} of tensor {name}, which has {}", end - start);
        let at = |byte: usize| self.data + (start + byte) as u64;
        self.bytes.part(at(range.start)..at(range.end)).map_err(|error| self.problem(format!("tensor {name} cannot be read: {error}")))
    }

    /// The first byte of the tensors in the file.
    pub fn data_start(&self) -> u64 {
        self.data
    }

    /// Reads all floats of a tensor of any shape.
    pub fn raw_floats(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let values = self.values_at(name, 0..self.info(name)?.shape.iter().product())?;
        finite(&self.path, name, 0, values)
    }

    /// Reads elements of a float tensor.
    fn values_at(&self, name: &str, elements: Range<usize>) -> Result<Vec<f32>, FormatError> {
        self.verify(name)?;
        let info = self.info(name)?;
        let values = self.bytes.floats(ElementType::of(info.dtype), self.data + info.data_offsets.0 as u64, elements);
        values.map_err(|problem| self.problem(format!("tensor {name} {problem}")))
    }

    /// Reads all 32-bit words of a tensor of any shape.
    pub fn raw_words(&self, name: &str) -> Result<Vec<u32>, FormatError> {
        let info = self.info(name)?;
        if ![Dtype::U32, Dtype::I32].contains(&info.dtype) {
            return Err(self.problem(format!("tensor {name} holds {:?}, not 32-bit words", info.dtype)));
        }
        let elements = info.shape.iter().product();
        let mut words = Vec::with_capacity(elements);
        self.pieces(name, 0..elements, &mut |bytes| words.extend(bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b))))?;
        Ok(words)
    }

    /// Passes a tensor's elements to `each`, piece by piece.
    fn pieces(&self, name: &str, elements: Range<usize>, each: &mut dyn FnMut(&[u8])) -> Result<(), FormatError> {
        let size = self.info(name)?.dtype.bitsize() / 8;
        let end = size * elements.end;
        for start in (size * elements.start..end).step_by(PIECE as usize) {
            each(&self.raw_part(name, start..end.min(start + PIECE as usize))?);
        }
        Ok(())
    }

    fn info(&self, name: &str) -> Result<&safetensors::tensor::TensorInfo, FormatError> {
        self.header.info(name).ok_or_else(|| no_tensor(&self.path, name))
    }

    fn problem(&self, problem: String) -> FormatError {
        FormatError::new(&self.path, problem)
    }
}

impl TensorSource for TensorFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| &info.shape[..])
    }

    fn dtype_name(&self, name: &str) -> Option<&'static str> {
        self.dtype(name).map(|dtype| ElementType::of(dtype).name)
    }

    fn read_values(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        self.values_at(name, range.start * cols..range.end * cols)
    }

    fn has_sums(&self) -> bool {
        self.expected.is_some()
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.bytes.checksum(0).map_err(|error| self.problem(format!("cannot be read: {error}")))
    }
}

/// Name, type and shape of a tensor to write.
pub type HeaderEntry = (String, Dtype, Vec<usize>);

/// Bytes of a tensor; `None` on overflow or a fraction of a byte.
fn byte_len(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.bitsize(), |bits, &side| bits.checked_mul(side)).filter(|bits| bits % 8 == 0).map(|bits| bits / 8)
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// Writes the header of a file with `tensors` in this order, padded so that the data starts at a multiple of 8 bytes.
pub fn write_header(out: &mut dyn Write, tensors: &[HeaderEntry], metadata: &BTreeMap<String, String>) -> io::Result<()> {
    let mut entries = serde_json::Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".into(), serde_json::json!(metadata));
    }
    let mut start = 0usize;
    for (name, dtype, shape) in tensors {
        let bytes = byte_len(*dtype, shape).ok_or_else(|| invalid(format!("tensor {name} of {dtype:?} {shape:?} does not fill whole bytes")))?;
        let end = start.checked_add(bytes).ok_or_else(|| invalid(format!("tensor {name} exceeds the largest file size")))?;
        let entry = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        if name == "__metadata__" || entries.insert(name.clone(), entry).is_some() {
            return Err(invalid(format!("tensor {name} is named twice")));
        }
        start = end;
    }
    let mut header = serde_json::to_vec(&entries)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}

/// Writes a file tensor by tensor, with one in memory at a time. Data is contiguous: order wider types first, to keep
/// every tensor aligned.
pub struct TensorWriter<'a, W: Write + ?Sized> {
    out: &'a mut W,
    rest: VecDeque<(String, usize)>,
}

impl<'a, W: Write + ?Sized> TensorWriter<'a, W> {
    /// Writes the header; the tensors must follow in the same order.
    pub fn new(out: &'a mut W, tensors: &[HeaderEntry], metadata: &BTreeMap<String, String>) -> io::Result<Self> {
        let mut header = Vec::new();
        write_header(&mut header, tensors, metadata)?;
        out.write_all(&header)?;
        let rest = tensors.iter().map(|(name, dtype, shape)| (name.clone(), byte_len(*dtype, shape).expect("checked with the header"))).collect();
        Ok(Self { out, rest })
    }

    /// Writes the next tensor, little-endian and row-major; `name` guards against a wrong order.
    pub fn tensor(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.rest.pop_front() {
            Some((next, length)) if next == name && length == bytes.len() => self.out.write_all(bytes),
            Some((next, length)) => Err(invalid(format!("tensor {name} of {} bytes was written instead of {next} of {length} bytes", bytes.len()))),
            None => Err(invalid(format!("tensor {name} was not in the header"))),
        }
    }

    /// Checks that all tensors were written; returns the inner writer.
    pub fn finish(self) -> io::Result<&'a mut W> {
        match self.rest.front() {
            Some((name, _)) => Err(invalid(format!("tensor {name} was not written"))),
            None => Ok(self.out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_ranges;
    use super::*;

    fn sample() -> Vec<u8> {
        let tensors: Vec<HeaderEntry> = vec![("b".into(), Dtype::U32, vec![2, 1]), ("a".into(), Dtype::F16, vec![3]), ("none".into(), Dtype::F32, vec![0, 4])];
        let mut out = Vec::new();
        let mut writer = TensorWriter::new(&mut out, &tensors, &BTreeMap::from([("key".into(), "value \"quoted\"\n".into())])).unwrap();
        writer.tensor("b", bytemuck::cast_slice(&[7u32, 1 << 31])).unwrap();
        writer.tensor("a", &[0, 60, 0, 188, 0, 0]).unwrap();
        writer.tensor("none", &[]).unwrap();
        writer.finish().unwrap();
        out
    }

    #[test]
    fn written_tensors_load() {
        let bytes: &'static [u8] = sample().leak();
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
        let file = TensorFile::embedded("sample", bytes).unwrap();
        assert_eq!(file.words("b", 2, 1).unwrap(), [7, 1 << 31]);
        assert_eq!(file.floats("a", 1, 3).unwrap(), [1.0, -1.0, 0.0]);
        assert_eq!(file.read_halves("a", 3, 0..1).unwrap(), [0xbc00_3c00, 0]);
        assert_eq!(file.metadata("key").unwrap(), "value \"quoted\"\n");
        assert_eq!(file.metadata("other"), None);
    }

    #[test]
    fn ranges_of_rows_and_pieces_equal_the_whole_tensor() {
        const SHAPE: (usize, usize) = (4500, 1001);
        let halves: Vec<u16> = (0..SHAPE.0 * SHAPE.1).map(|i| (i * 7 % 0x7c00) as u16).collect();
        let dir = std::env::temp_dir().join(format!("signet-ranges-{}", std::process::id()));
        crate::platform::make_dir(&dir).unwrap();
        let path = dir.join("file");
        let tensors = [("a".to_string(), Dtype::F16, vec![SHAPE.0, SHAPE.1]), ("b".to_string(), Dtype::F16, vec![halves.len()])];
        let mut bytes = Vec::new();
        let mut writer = TensorWriter::new(&mut bytes, &tensors, &BTreeMap::new()).unwrap();
        ["a", "b"].iter().for_each(|name| writer.tensor(name, bytemuck::cast_slice(&halves)).unwrap());
        crate::platform::write_atomic(&path, &bytes).unwrap();
        let file = TensorFile::open(&path).unwrap();
        let whole = file.floats("a", SHAPE.0, SHAPE.1).unwrap();
        let want: Vec<f32> = halves.iter().map(|&half| half::f16::from_bits(half).to_f32()).collect();
        assert!(whole == want && file.raw_floats("b").unwrap() == want);
        let parts: Vec<_> = row_ranges(SHAPE.0, SHAPE.1).collect();
        assert!(parts.len() == 3 && row_ranges(1, halves.len()).eq(std::iter::once(0..1)));
        let by_ranges: Vec<f32> = parts.iter().cloned().flat_map(|range| file.read_finite("a", SHAPE.1, range).unwrap()).collect();
        assert!(by_ranges == want);
        let words: Vec<u32> = parts.into_iter().flat_map(|range| file.read_halves("a", SHAPE.1, range).unwrap()).collect();
        assert!(words.len() == SHAPE.0 * 501 && words[501] == u32::from(halves[1001]) | u32::from(halves[1002]) << 16);
        assert_eq!(file.checksum().unwrap(), super::super::checksum(0, &bytes));
        crate::platform::remove_dir(&dir).unwrap();
    }

    #[test]
    fn a_truncated_file_is_refused_at_every_length() {
        let bytes: &'static [u8] = sample().leak();
        for length in 0..bytes.len() {
            let error = TensorFile::embedded("cut", &bytes[..length]).err().unwrap().to_string();
            let expected = if length == 0 { "cut: it is empty" } else { "cut: is not a complete safetensors file" };
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_writer_rejects_wrong_tensors() {
        let tensors: Vec<HeaderEntry> = vec![("a".into(), Dtype::F32, vec![1]), ("b".into(), Dtype::F32, vec![1])];
        let mut out = Vec::new();
        let start = || TensorWriter::new(Box::leak(Box::new(Vec::new())), &tensors, &BTreeMap::new()).unwrap();
        assert!(start().tensor("b", &[0; 4]).unwrap_err().to_string().contains("instead of a of 4 bytes"));
        assert!(start().tensor("a", &[0; 3]).unwrap_err().to_string().contains("3 bytes"));
        assert!(start().finish().unwrap_err().to_string().contains("a was not written"));
        let twice = [tensors[0].clone(), tensors[0].clone()];
        assert!(write_header(&mut out, &twice, &BTreeMap::new()).unwrap_err().to_string().contains("twice"));
        let huge = [("h".to_string(), Dtype::F32, vec![usize::MAX, 2])];
        assert!(write_header(&mut out, &huge, &BTreeMap::new()).is_err());
    }
}
