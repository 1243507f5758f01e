//! The contents of tensors on the CPU, and views of them for the operations' CPU implementations (twins).

use super::packing::unpack;
use super::real::Real;
use super::shape::{BufferKind, Spec};

/// The contents of a buffer.
#[derive(Clone, Debug)]
pub enum Data<T> {
    /// Floats.
    Real(Vec<T>),
    /// Integers, signs, packed halves or codes.
    Words(Vec<u32>),
}

impl<T: Real> Data<T> {
    pub(super) fn zeros(kind: BufferKind, words: usize) -> Self {
        match kind {
            BufferKind::Real => Data::Real(vec![T::ZERO; words]),
            BufferKind::Words => Data::Words(vec![0; words]),
        }
    }

    /// Elements.
    pub(super) fn len(&self) -> usize {
        match self {
            Data::Real(x) => x.len(),
            Data::Words(x) => x.len(),
        }
    }

    /// Returns a read-only view as a tensor of shape and storage `spec`.
    pub(super) fn view(&self, spec: Spec) -> View<'_, T> {
        match self {
            Data::Real(x) => View::Real(x, spec),
            Data::Words(x) => View::Words(x, spec),
        }
    }

    /// Returns a writable view as a tensor of shape and storage `spec`.
    pub(super) fn view_mut(&mut self, spec: Spec) -> ViewMut<'_, T> {
        match self {
            Data::Real(x) => ViewMut::Real(x, spec),
            Data::Words(x) => ViewMut::Words(x, spec),
        }
    }
}

/// A read-only tensor.
#[derive(Clone, Copy)]
pub enum View<'a, T> {
    /// Floats.
    Real(&'a [T], Spec),
    /// Integers, signs, packed halves or codes.
    Words(&'a [u32], Spec),
}

impl<'a, T: Real> View<'a, T> {
    /// Shape and storage.
    pub fn spec(&self) -> Spec {
        match self {
            View::Real(_, spec) | View::Words(_, spec) => *spec,
        }
    }

    /// The floats of an `F32` tensor.
    pub fn real(&self) -> &'a [T] {
        match self {
            View::Real(data, _) => data,
            View::Words(_, spec) => panic!("{spec} read as f32"),
        }
    }

    /// The words of a tensor of any storage but `F32`.
    pub fn words(&self) -> &'a [u32] {
        match self {
            View::Words(data, _) => data,
            View::Real(_, spec) => panic!("{spec} read as words"),
        }
    }

    /// Unpacks row `r` of a tensor of floats in any storage to `out`.
    #[inline(always)]
    pub fn row(&self, r: usize, out: &mut [T]) {
        match self {
            View::Real(data, spec) => out.copy_from_slice(&data[r * spec.cols..(r + 1) * spec.cols]),
            View::Words(data, spec) => {
                let words = &data[r * spec.row_words()..(r + 1) * spec.row_words()];
                unpack(spec.storage, words, out);
            }
        }
    }

    /// Returns row `r`: of the tensor itself if it is stored as floats, otherwise decoded into `buffer`.
    #[inline(always)]
    pub fn row_or_decode<'b>(&'b self, r: usize, buffer: &'b mut [T]) -> &'b [T] {
        match self {
            View::Real(data, spec) => &data[r * spec.cols..(r + 1) * spec.cols],
            View::Words(..) => {
                self.row(r, buffer);
                buffer
            }
        }
    }
}

/// A writable tensor.
pub enum ViewMut<'a, T> {
    /// Floats.
    Real(&'a mut [T], Spec),
    /// Integers, signs, packed halves or codes.
    Words(&'a mut [u32], Spec),
}

impl<T: Real> ViewMut<'_, T> {
    /// Borrows the tensor for a shorter lifetime.
    pub(super) fn reborrow(&mut self) -> ViewMut<'_, T> {
        match self {
            ViewMut::Real(data, spec) => ViewMut::Real(data, *spec),
            ViewMut::Words(data, spec) => ViewMut::Words(data, *spec),
        }
    }

    /// Shape and storage.
    pub fn spec(&self) -> Spec {
        match self {
            ViewMut::Real(_, spec) | ViewMut::Words(_, spec) => *spec,
        }
    }

    /// The floats of an `F32` tensor.
    pub fn real(&mut self) -> &mut [T] {
        match self {
            ViewMut::Real(data, _) => data,
            ViewMut::Words(_, spec) => panic!("{spec} written as f32"),
        }
    }

    /// The words of a tensor of any storage but `F32`.
    pub fn words(&mut self) -> &mut [u32] {
        match self {
            ViewMut::Words(data, _) => data,
            ViewMut::Real(_, spec) => panic!("{spec} written as words"),
        }
    }
}

/// The operands of a node on the CPU.
pub struct CpuIo<'a, T> {
    /// Read only.
    pub inputs: Vec<View<'a, T>>,
    /// Read and written.
    pub updates: Vec<ViewMut<'a, T>>,
    /// Written; their previous contents are undefined.
    pub outputs: Vec<ViewMut<'a, T>>,
}
