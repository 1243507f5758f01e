//! Stop requests, shared between running work and its callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A handle that stops running work, shared with signal handlers and other threads.
#[derive(Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicU8>,
    /// Forwards a request if the work runs in a web worker.
    forward: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stop({})", self.asked())
    }
}

impl Stop {
    /// Creates a handle that also calls `forward` on each request.
    pub(crate) fn forwarding(forward: impl Fn() + Send + Sync + 'static) -> Self {
        Self { forward: Some(Arc::new(forward)), ..Self::default() }
    }

    /// Requests that the work saves its state and stops.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(forward) = &self.forward {
            forward();
        }
    }

    /// Clears an earlier request, before the next work starts.
    pub fn clear(&self) {
        self.asked.store(0, Ordering::SeqCst);
    }

    /// Returns true if a stop was requested.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }
}
