//! The shape and storage of a tensor. Every tensor is a matrix: `(rows, cols)`.

use std::fmt;

/// Columns in a block of [`Storage::SignedLog`] and [`Storage::UnsignedLog`].
pub const LOG_BLOCK: usize = 256;

/// The storage of a tensor's elements. Accumulation, gradients and latent weights are `F32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// One 32-bit float per word.
    F32,
    /// Two 16-bit floats per word, low half first; each row starts on a word.
    F16,
    /// One unsigned integer per word.
    U32,
    /// 8-bit blocks: for each 32 columns of a row one word with a scale (an f32's bits), then signed
    /// bytes, four per word, low byte first. An element is scale · byte. The last block of a row may
    /// be shorter; 9 bits per element. Read only: tensors with a gradient are `F32`.
    Q8,
    /// 8-bit blocks for AdamW's first moments: as `Q8`, but of 256 columns, and a byte is a sign (the
    /// high bit) and a code c on a logarithmic scale: ±scale · 2^((c − 127)/8), and 0 for c = 0. The
    /// scale is the block's largest magnitude.
    SignedLog,
    /// The same for second moments, which have no sign: scale · 2^((c − 255)/8), and 0 for c = 0.
    UnsignedLog,
    /// One bit per element: bit j of word k of a row is column 32k + j, 1 for +1 and 0 for −1; padding is 0.
    Signs,
}

impl Storage {
    /// Returns its name in keys that are written to files; it must never change.
    pub fn key(self) -> &'static str {
        match self {
            Storage::F32 => "F32",
            Storage::F16 => "F16",
            Storage::U32 => "U32",
            Storage::Q8 => "Q8",
            Storage::SignedLog => "SignedLog",
            Storage::UnsignedLog => "UnsignedLog",
            Storage::Signs => "Signs",
        }
    }

    /// Words (of 32 bits) in a row of `cols` elements.
    pub fn row_words(self, cols: usize) -> usize {
        match self {
            Storage::F32 | Storage::U32 => cols,
            Storage::F16 => cols.div_ceil(2),
            Storage::Q8 => cols.div_ceil(32) + cols.div_ceil(4),
            Storage::SignedLog | Storage::UnsignedLog => cols.div_ceil(LOG_BLOCK) + cols.div_ceil(4),
            Storage::Signs => cols.div_ceil(32),
        }
    }
}

/// The element type of a buffer; floats and other words never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferKind {
    /// 32-bit floats (any `Real` on the CPU).
    Real,
    /// 32-bit words: integers, signs, packed halves and codes.
    Words,
}

impl BufferKind {
    /// The class of a storage type.
    pub fn of(storage: Storage) -> BufferKind {
        match storage {
            Storage::F32 => BufferKind::Real,
            _ => BufferKind::Words,
        }
    }
}

/// Shape and storage of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Number of rows; for activations, tokens.
    pub rows: usize,
    /// Number of columns; for activations, features.
    pub cols: usize,
    /// How elements are stored.
    pub storage: Storage,
}

impl Spec {
    /// `(rows, cols)` of 32-bit floats.
    pub fn f32(rows: usize, cols: usize) -> Self {
        Self { rows, cols, storage: Storage::F32 }
    }

    /// `(rows, cols)` of 16-bit floats.
    pub fn f16(rows: usize, cols: usize) -> Self {
        Self { rows, cols, storage: Storage::F16 }
    }

    /// `(rows, cols)` of unsigned integers.
    pub fn u32(rows: usize, cols: usize) -> Self {
        Self { rows, cols, storage: Storage::U32 }
    }

    /// `(rows, cols)` of signs, one bit each.
    pub fn signs(rows: usize, cols: usize) -> Self {
        Self { rows, cols, storage: Storage::Signs }
    }

    /// Elements: rows × cols, saturated at `usize::MAX`, which no device has memory for (32-bit targets
    /// could overflow); words likewise.
    pub fn elements(&self) -> usize {
        self.rows.saturating_mul(self.cols)
    }

    /// Words of 32 bits in one row.
    pub fn row_words(&self) -> usize {
        self.storage.row_words(self.cols)
    }

    /// Words of 32 bits in all rows.
    pub fn words(&self) -> usize {
        self.rows.saturating_mul(self.row_words())
    }

    /// Returns true if both have the same rows and columns.
    pub fn same_shape(&self, other: &Spec) -> bool {
        self.rows == other.rows && self.cols == other.cols
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}) {:?}", self.rows, self.cols, self.storage)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
