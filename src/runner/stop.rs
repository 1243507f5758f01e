//! The wish to stop, shared between those who work and those who may ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Asks running work to stop; shared with signal handlers and other threads.
#[derive(Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicU8>,
    /// Called when it is asked, where the work is elsewhere.
    forward: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stop({})", self.asked())
    }
}

impl Stop {
    /// One that also calls `forward` whenever it is asked.
    pub(crate) fn forwarding(forward: impl Fn() + Send + Sync + 'static) -> Self {
        Self { forward: Some(Arc::new(forward)), ..Self::default() }
    }

    /// Asks once: save, then stop.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(forward) = &self.forward {
            forward();
        }
    }

    /// Forgets that it was asked: the next work is new.
    pub fn clear(&self) {
        self.asked.store(0, Ordering::SeqCst);
    }

    /// True if it was asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }
}
