//! Groups of layers and heads in one operand.

use crate::graph::ShapeError;
use std::ops::Range;

/// The numbers of outputs of the one to three layers that are stacked in a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members(Vec<usize>);

impl Members {
    /// Creates a group of layers with these numbers of outputs.
    pub fn new(outs: &[usize]) -> Result<Self, ShapeError> {
        match outs.len() {
            1..=3 => Ok(Self(outs.to_vec())),
            n => Err(ShapeError { op: "members", problem: format!("a group of {n} layers; must be 1 to 3") }),
        }
    }

    /// As part of [`Op::key`](crate::graph::Op::key).
    pub(super) fn key(&self) -> String {
        format!("Members([{}])", self.0.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
    }

    /// Number of layers.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Rows of the whole matrix.
    pub fn rows(&self) -> usize {
        self.0.iter().sum()
    }

    /// The rows of each layer.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.iter().scan(0, |end, out| {
            *end += out;
            Some(*end - out..*end)
        })
    }

    /// Returns the first rows of the second and of the third layer; the number of rows if there is none.
    pub(crate) fn bounds(&self) -> [u32; 2] {
        [1, 2].map(|n| self.0.iter().take(n).sum::<usize>() as u32)
    }
}

/// Heads of an attention; each key-value head serves `query ÷ key_value` query heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub query: usize,
    /// Key and value heads.
    pub key_value: usize,
}

impl Heads {
    /// As part of [`Op::key`](crate::graph::Op::key).
    pub(super) fn key(&self) -> String {
        format!("Heads {{ query: {}, key_value: {} }}", self.query, self.key_value)
    }

    /// Heads in a row of q, k and v side by side.
    pub fn in_row(&self) -> usize {
        self.query + 2 * self.key_value
    }
}
