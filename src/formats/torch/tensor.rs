//! Reads tensors in place: contiguous or strided, plain or negated, in either byte order.

use super::pickle::{PickledStorage, PickledTensor};
use crate::formats::bytes::FileBytes;
use crate::formats::element_type::ElementType;
use std::ops::Range;
use std::sync::Arc;

/// The most elements of a tensor that repeats elements of its storage, so that a small file cannot become huge.
const MAX_REPEATED: u64 = 1 << 26;

/// The location of a storage.
pub(super) struct StorageLocation {
    /// Its first byte.
    pub(super) start: u64,
    pub(super) length: u64,
    /// Its bytes, if they were decompressed.
    pub(super) bytes: Option<Arc<Vec<u8>>>,
}

/// A located tensor.
pub(super) struct LocatedTensor {
    pub(super) element_type: ElementType,
    pub(super) shape: Vec<usize>,
    /// The stride of each dimension in elements; `None` if contiguous.
    strides: Option<Vec<u64>>,
    /// Its first byte.
    start: u64,
    /// Its storage, if it was decompressed; `None` if it is in the file.
    unpacked: Option<FileBytes>,
    negative: bool,
    /// True if the elements are big-endian.
    swapped: bool,
}

impl LocatedTensor {
    /// Locates a tensor whose storage is at `location`; the error describes the tensor.
    pub(super) fn new(tensor: &PickledTensor, location: StorageLocation, big_endian: bool) -> Result<Self, String> {
        let StorageLocation { start, length: bytes, bytes: unpacked } = location;
        let PickledTensor { storage, element_type, offset, ref shape, ref strides, negative } = *tensor;
        let PickledStorage { key, length, from, untyped, .. } = storage;
        let size = element_type.bytes() as u64;
        if from.checked_add(length).is_none_or(|end| end > bytes) {
            return Err(format!("is in storage {key:?} of {length} bytes, but the file has only {bytes} of them"));
        }
        let count = shape.iter().try_fold(1u64, |count, side| count.checked_mul(*side as u64));
        // One past the last element, for any strides.
        let sides = shape.iter().zip(strides);
        let last = sides.clone().try_fold(offset, |last, (side, stride)| last.checked_add((*side as u64).saturating_sub(1).checked_mul(*stride)?));
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(size));
        let fits = count == Some(0) || end.is_some_and(|end| end <= length);
        let Some(count) = count.filter(|_| fits) else { return Err(format!("of shape {shape:?} is larger than its storage of {} elements", length / size)) };
        let contiguous = contiguous(shape, strides);
        if !contiguous && count > MAX_REPEATED && count > length / size {
            return Err(format!(
                "of shape {shape:?} repeats the {} elements of its storage more often than Signet reads. Save it with .contiguous()",
                length / size
            ));
        }
        Ok(Self {
            element_type,
            shape: shape.clone(),
            strides: (!contiguous && count > 0).then(|| strides.clone()),
            start: start + from + if count > 0 { offset * size } else { 0 },
            unpacked: unpacked.map(FileBytes::Owned),
            negative,
            swapped: big_endian && !untyped && size > 1,
        })
    }

    /// Reads rows `range` of `cols` elements as floats; an error describes the tensor.
    pub(super) fn floats(&self, file: &FileBytes, cols: usize, range: Range<usize>) -> Result<Vec<f32>, String> {
        self.element_type.expect_float()?;
        let bytes = self.unpacked.as_ref().unwrap_or(file);
        let mut values = match &self.strides {
            None if !self.swapped => bytes.floats(self.element_type, self.start, range.start * cols..range.end * cols)?,
            None => self.matrix(bytes, cols, range, [cols as u64, 1])?,
            Some(strides) => {
                let steps = match (&self.shape[..], &strides[..]) {
                    (&[n], &[step]) if n == cols => [0, step],
                    (&[_, n], &[row, col]) if n == cols => [row, col],
                    _ => return Err(format!("of shape {:?} has strides {strides:?}. Save it with .contiguous()", self.shape)),
                };
                self.matrix(bytes, cols, range, steps)?
            }
        };
        if self.negative {
            values.iter_mut().for_each(|value| *value = -*value);
        }
        Ok(values)
    }

    /// Reads the elements of some rows with the given strides, along the dimension with the smaller stride.
    fn matrix(&self, bytes: &FileBytes, cols: usize, range: Range<usize>, [row, col]: [u64; 2]) -> Result<Vec<f32>, String> {
        let mut out = vec![0.0; range.len() * cols];
        let first = range.start as u64 * row;
        if row < col {
            for n in 0..cols {
                let column = self.run(bytes, first + n as u64 * col, range.len(), row)?;
                column.into_iter().enumerate().for_each(|(m, value)| out[m * cols + n] = value);
            }
        } else if cols > 0 {
            for (m, out) in out.chunks_exact_mut(cols).enumerate() {
                out.copy_from_slice(&self.run(bytes, first + m as u64 * row, cols, col)?);
            }
        }
        Ok(out)
    }

    /// Reads `count` elements from element `first` on, `step` apart.
    fn run(&self, bytes: &FileBytes, first: u64, count: usize, step: u64) -> Result<Vec<f32>, String> {
        let size = self.element_type.bytes();
        if count == 0 {
            return Ok(Vec::new());
        }
        let start = self.start + first * size as u64;
        let end = start + ((count as u64 - 1) * step + 1) * size as u64;
        let part = bytes.part(start..end).map_err(|error| format!("cannot be read: {error}"))?;
        let mut packed = Vec::with_capacity(count * size);
        for n in 0..count {
            let at = n * step as usize * size;
            packed.extend_from_slice(&part[at..at + size]);
        }
        if self.swapped {
            packed.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        let mut values = Vec::with_capacity(count);
        self.element_type.widen(&packed, &mut values);
        Ok(values)
    }
}

/// Returns true if elements are contiguous, row by row. Dimensions of size 1 may have any stride.
fn contiguous(shape: &[usize], strides: &[u64]) -> bool {
    let mut next = 1u64;
    shape.iter().zip(strides).rev().all(|(side, stride)| {
        let fits = *side == 1 || *stride == next;
        next = next.saturating_mul(*side as u64);
        fits
    })
}
