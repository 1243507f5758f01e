//! Bounds of what a template may spend: it comes with a file and is not trusted.

use super::{Error, ErrorKind, Result};
use std::cell::Cell;

/// Steps and bytes that are left, and levels that are entered.
#[derive(Debug)]
pub(super) struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    depth: Cell<u32>,
}

/// Evaluations one in the other: some 50 macros that call each other.
const DEEPEST: u32 = 400;

impl Meter {
    /// Bounds of one rendering.
    pub(super) fn new(steps: u64, bytes: u64) -> Self {
        Self { steps: Cell::new(steps), bytes: Cell::new(bytes), depth: Cell::new(0) }
    }

    /// Pays for work.
    pub(super) fn steps(&self, count: usize) -> Result<()> {
        match self.steps.get().checked_sub(count as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(spent("it does too much work")),
        }
    }

    /// Pays for memory, whether or not it is given back.
    pub(super) fn memory(&self, bytes: usize) -> Result<()> {
        self.steps(bytes / 1024)?;
        match self.bytes.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(spent("it takes too much memory")),
        }
    }

    /// Pays for a text that is about to be made, so long as it fits.
    pub(super) fn text(&self, bytes: Option<usize>) -> Result<()> {
        bytes.map_or_else(|| Err(spent("it takes too much memory")), |bytes| self.memory(bytes))
    }

    /// Does something one level deeper.
    pub(super) fn deeper<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.enter()?;
        let result = work();
        self.leave();
        result
    }

    pub(super) fn enter(&self) -> Result<()> {
        self.enter_levels(1)
    }

    /// Goes deeper by several levels at once, for what takes more of the stack.
    pub(super) fn enter_levels(&self, levels: u32) -> Result<()> {
        let depth = self.depth.get() + levels;
        if depth > DEEPEST {
            return Err(spent("it calls itself too deeply"));
        }
        self.depth.set(depth);
        self.steps(1)
    }

    pub(super) fn leave_levels(&self, levels: u32) {
        self.depth.set(self.depth.get().saturating_sub(levels));
    }

    pub(super) fn leave(&self) {
        self.leave_levels(1);
    }
}

fn spent(what: &str) -> Error {
    Error { kind: ErrorKind::Spent, ..Error::new(what) }
}
