//! Non-blocking file dialogs: the choice is polled while drawing.

pub(super) use super::pick::Pick;

use super::pick::{Choice, pick};
use eframe::egui::Context;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

/// A file dialog, open or not; `T` is the purpose of the choice.
pub(super) struct Dialog<T> {
    open: Option<(T, Choice)>,
}

impl<T> Default for Dialog<T> {
    fn default() -> Self {
        Self { open: None }
    }
}

impl<T: Copy> Dialog<T> {
    /// Opens a dialog, unless one is open already.
    pub(super) fn open(&mut self, wish: T, what: Pick) {
        if self.open.is_none() {
            self.open = Some((wish, pick(what)));
        }
    }

    /// Returns the path that was chosen since the last call, with its purpose.
    pub(super) fn chosen(&mut self, context: &Context) -> Option<(T, PathBuf)> {
        let (wish, choice) = self.open.as_mut()?;
        let wish = *wish;
        let waker = Waker::from(Arc::new(Redraw(context.clone())));
        match choice.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(chosen) => {
                self.open = None;
                Some((wish, chosen?))
            }
        }
    }
}

/// A waker that requests a repaint when the dialog closes.
struct Redraw(Context);

impl Wake for Redraw {
    fn wake(self: Arc<Self>) {
        self.0.request_repaint();
    }
}
