//! The system's file dialogs, which nothing waits for: what was chosen is taken while drawing.

use eframe::egui::Context;
use rfd::{AsyncFileDialog, FileHandle};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// A file that exists.
    File,
    /// A folder that exists.
    Folder,
    /// A file to write, which need not exist.
    Save,
}

type Choice = Pin<Box<dyn Future<Output = Option<FileHandle>>>>;

/// A dialog, or none; `T` says what the choice is for.
pub(super) struct Dialog<T> {
    open: Option<(T, Choice)>,
}

impl<T> Default for Dialog<T> {
    fn default() -> Self {
        Self { open: None }
    }
}

impl<T: Copy> Dialog<T> {
    /// Opens a dialog; one that is open already stays the only one.
    pub(super) fn open(&mut self, wish: T, pick: Pick) {
        if self.open.is_some() {
            return;
        }
        let dialog = AsyncFileDialog::new();
        let choice: Choice = match pick {
            Pick::File => Box::pin(dialog.pick_file()),
            Pick::Folder => Box::pin(dialog.pick_folder()),
            Pick::Save => Box::pin(dialog.save_file()),
        };
        self.open = Some((wish, choice));
    }

    /// What was chosen since the last time, if anything was.
    pub(super) fn chosen(&mut self, context: &Context) -> Option<(T, PathBuf)> {
        let (wish, choice) = self.open.as_mut()?;
        let wish = *wish;
        let waker = Waker::from(Arc::new(Redraw(context.clone())));
        match choice.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(chosen) => {
                self.open = None;
                Some((wish, chosen?.path().to_path_buf()))
            }
        }
    }
}

/// Draws again once a dialog was answered.
struct Redraw(Context);

impl Wake for Redraw {
    fn wake(self: Arc<Self>) {
        self.0.request_repaint();
    }
}
