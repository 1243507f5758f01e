//! Bounds of what a template may spend: it comes with a file and is not trusted.

use super::error::{Error, ErrorKind, Result};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Steps and bytes that are left, and levels that are entered.
#[derive(Debug)]
pub(super) struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    depth: Cell<u32>,
    loans: RefCell<Loans>,
}

/// Texts and lists that were joined, and the bytes that were paid for each.
#[derive(Debug, Default)]
struct Loans {
    list: Vec<(Loan, u64)>,
    /// The bytes of all of them.
    bytes: u64,
    /// The bytes from which on those that nothing holds any more are looked for.
    limit: u64,
}

/// Something that may be held no more.
#[derive(Debug)]
enum Loan {
    Text(std::sync::Weak<str>),
    Items(std::rc::Weak<dyn Any>),
}

impl Loan {
    fn is_held(&self) -> bool {
        match self {
            Loan::Text(text) => text.strong_count() > 0,
            Loan::Items(items) => items.strong_count() > 0,
        }
    }
}

/// Bytes that are written in a step.
const WRITTEN: usize = 2048;
/// The least bytes that are worth to be paid back.
const LEAST: usize = 1024;
/// Bytes that may lie around until they are paid back, besides some for each that is held.
const LOOSE: u64 = 4 << 20;

/// Evaluations one in the other: some 50 macros that call each other.
const DEEPEST: u32 = 400;

impl Meter {
    /// Bounds of one rendering.
    pub(super) fn new(steps: u64, bytes: u64) -> Self {
        Self { steps: Cell::new(steps), bytes: Cell::new(bytes), depth: Cell::new(0), loans: RefCell::default() }
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

    /// Pays for memory, whether or not it is given back: only what was lent is paid back.
    pub(super) fn memory(&self, bytes: usize) -> Result<()> {
        self.steps(bytes / WRITTEN)?;
        if self.bytes.get() < bytes as u64 {
            self.collect()?;
        }
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

    /// Has the bytes of a joined text paid back when nothing holds it any more: a template that adds to a text
    /// message by message holds only the last of them.
    pub(super) fn lend_text(&self, text: &Arc<str>, paid: usize) -> Result<()> {
        if paid < LEAST { Ok(()) } else { self.lend(Loan::Text(Arc::downgrade(text)), paid) }
    }

    /// The same of a list or tuple.
    pub(super) fn lend_items<T: Any>(&self, items: &Rc<T>, paid: usize) -> Result<()> {
        if paid < LEAST { Ok(()) } else { self.lend(Loan::Items(Rc::<T>::downgrade(items)), paid) }
    }

    fn lend(&self, loan: Loan, paid: usize) -> Result<()> {
        let due = {
            let mut loans = self.loans.borrow_mut();
            loans.list.push((loan, paid as u64));
            loans.bytes += paid as u64;
            loans.bytes > loans.limit
        };
        if due { self.collect() } else { Ok(()) }
    }

    /// Pays back what was lent and is held no more.
    fn collect(&self) -> Result<()> {
        let mut loans = self.loans.borrow_mut();
        self.steps(loans.list.len() / 16)?;
        let mut back = 0;
        loans.list.retain(|(loan, paid)| {
            let held = loan.is_held();
            back += if held { 0 } else { *paid };
            held
        });
        loans.bytes -= back;
        loans.limit = 2 * loans.bytes + LOOSE;
        self.bytes.set(self.bytes.get() + back);
        Ok(())
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

    /// The levels that are entered.
    pub(super) fn depth(&self) -> u32 {
        self.depth.get()
    }

    /// Leaves all levels below one, after an error.
    pub(super) fn return_to(&self, depth: u32) {
        self.depth.set(depth);
    }

    pub(super) fn leave(&self) {
        self.leave_levels(1);
    }
}

fn spent(what: &str) -> Error {
    Error { kind: ErrorKind::Spent, ..Error::new(what) }
}
