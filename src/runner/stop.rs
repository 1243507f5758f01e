//! Stop requests, shared between running work and its callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A handle that stops running work, shared with signal handlers and other threads.
#[derive(Clone, Default)]
pub struct Stop {
    requests: Arc<AtomicU8>,
    /// Forwards a request if the work runs in a web worker.
    forward: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stop({})", self.is_requested())
    }
}

impl Stop {
    /// Creates a handle that also calls `forward` on each request.
    pub(crate) fn forwarding(forward: impl Fn() + Send + Sync + 'static) -> Self {
        Self { forward: Some(Arc::new(forward)), ..Self::default() }
    }

    /// Requests that the work saves its state and stops.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if let Some(forward) = &self.forward {
            forward();
        }
    }

    /// Clears an earlier request, before the next work starts.
    pub fn clear(&self) {
        self.requests.store(0, Ordering::SeqCst);
    }

    /// Returns true if a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.requests.load(Ordering::SeqCst) > 0
    }
}
