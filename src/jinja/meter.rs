//! Limits on a template's work and memory: templates come with model files and are not trusted.

use super::jinja_error::{ErrorKind, JinjaError, Result};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Steps and bytes left, and the current depth.
#[derive(Debug)]
pub(super) struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    depth: Cell<u32>,
    tracked: RefCell<TrackedList>,
}

/// Texts and lists whose bytes are refunded when they are dropped.
#[derive(Debug, Default)]
struct TrackedList {
    list: Vec<(Tracked, u64)>,
    /// The sum of their bytes.
    bytes: u64,
    /// Above this sum, dropped ones are collected.
    limit: u64,
}

/// A weak reference to a text or a list.
#[derive(Debug)]
enum Tracked {
    Text(std::sync::Weak<str>),
    Items(std::rc::Weak<dyn Any>),
}

impl Tracked {
    fn is_in_use(&self) -> bool {
        match self {
            Tracked::Text(text) => text.strong_count() > 0,
            Tracked::Items(items) => items.strong_count() > 0,
        }
    }
}

/// Bytes written per step.
const BYTES_PER_STEP: usize = 2048;
/// The smallest number of bytes that is tracked.
const MIN_TRACKED: usize = 1024;
/// Bytes that may be outstanding before a collection, besides twice those in use.
const COLLECTION_SLACK: u64 = 4 << 20;

/// The deepest evaluation: about 50 nested macro calls.
const MAX_DEPTH: u32 = 400;

impl Meter {
    /// The limits of one rendering.
    pub(super) fn new(steps: u64, bytes: u64) -> Self {
        Self { steps: Cell::new(steps), bytes: Cell::new(bytes), depth: Cell::new(0), tracked: RefCell::default() }
    }

    /// Charges for steps.
    pub(super) fn steps(&self, count: usize) -> Result<()> {
        match self.steps.get().checked_sub(count as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(limit_exceeded("it exceeds the limit on work")),
        }
    }

    /// Charges for memory. It is not refunded when freed, except for tracked values.
    pub(super) fn memory(&self, bytes: usize) -> Result<()> {
        self.steps(bytes / BYTES_PER_STEP)?;
        if self.bytes.get() < bytes as u64 {
            self.collect()?;
        }
        match self.bytes.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(limit_exceeded("it exceeds the limit on memory")),
        }
    }

    /// Charges for a text before it is created; `None` means that its length overflows.
    pub(super) fn text(&self, bytes: Option<usize>) -> Result<()> {
        bytes.map_or_else(|| Err(limit_exceeded("it exceeds the limit on memory")), |bytes| self.memory(bytes))
    }

    /// Refunds the bytes of a text when it is dropped: a template that appends to a text per message holds only the last
    /// one.
    pub(super) fn track_text(&self, text: &Arc<str>, charged: usize) -> Result<()> {
        if charged < MIN_TRACKED { Ok(()) } else { self.track(Tracked::Text(Arc::downgrade(text)), charged) }
    }

    /// The same for a list or tuple.
    pub(super) fn track_items<T: Any>(&self, items: &Rc<T>, charged: usize) -> Result<()> {
        if charged < MIN_TRACKED { Ok(()) } else { self.track(Tracked::Items(Rc::<T>::downgrade(items)), charged) }
    }

    fn track(&self, value: Tracked, charged: usize) -> Result<()> {
        let over_limit = {
            let mut tracked = self.tracked.borrow_mut();
            tracked.list.push((value, charged as u64));
            tracked.bytes += charged as u64;
            tracked.bytes > tracked.limit
        };
        if over_limit { self.collect() } else { Ok(()) }
    }

    /// Refunds the bytes of dropped values.
    fn collect(&self) -> Result<()> {
        let mut tracked = self.tracked.borrow_mut();
        self.steps(tracked.list.len() / 16)?;
        let mut refund = 0;
        tracked.list.retain(|(value, charged)| {
            let in_use = value.is_in_use();
            refund += if in_use { 0 } else { *charged };
            in_use
        });
        tracked.bytes -= refund;
        tracked.limit = 2 * tracked.bytes + COLLECTION_SLACK;
        self.bytes.set(self.bytes.get() + refund);
        Ok(())
    }

    /// Runs `work` one level deeper.
    pub(super) fn deeper<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.enter()?;
        let result = work();
        self.leave();
        result
    }

    pub(super) fn enter(&self) -> Result<()> {
        self.enter_levels(1)
    }

    /// Enters several levels at once, for operations that use more stack.
    pub(super) fn enter_levels(&self, levels: u32) -> Result<()> {
        let depth = self.depth.get() + levels;
        if depth > MAX_DEPTH {
            return Err(limit_exceeded("it is nested too deeply"));
        }
        self.depth.set(depth);
        self.steps(1)
    }

    pub(super) fn leave_levels(&self, levels: u32) {
        self.depth.set(self.depth.get().saturating_sub(levels));
    }

    /// The current depth.
    pub(super) fn depth(&self) -> u32 {
        self.depth.get()
    }

    /// Restores a depth after an error.
    pub(super) fn return_to(&self, depth: u32) {
        self.depth.set(depth);
    }

    pub(super) fn leave(&self) {
        self.leave_levels(1);
    }
}

fn limit_exceeded(what: &str) -> JinjaError {
    JinjaError { kind: ErrorKind::LimitExceeded, ..JinjaError::new(what) }
}
