//! The system's dialog for a file or a folder, looked at once a frame so that nothing waits for it.

use eframe::egui::Context;
use rfd::{AsyncFileDialog, FileHandle};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Poll, Waker};

/// Seconds between looks at a dialog.
const LOOK: f32 = 0.1;

type Choice = Pin<Box<dyn Future<Output = Option<FileHandle>>>>;

/// A dialog, if one is open.
#[derive(Default)]
pub(super) struct Browse(Option<Choice>);

impl Browse {
    /// Asks for a packed file.
    pub(super) fn file(&mut self) {
        self.0 = Some(Box::pin(AsyncFileDialog::new().set_title("A packed model").pick_file()));
    }

    /// Asks for a model's or a run's directory.
    pub(super) fn folder(&mut self) {
        self.0 = Some(Box::pin(AsyncFileDialog::new().set_title("A model's or a run's directory").pick_folder()));
    }

    /// What was chosen, once it was.
    pub(super) fn chosen(&mut self, context: &Context) -> Option<PathBuf> {
        let outcome = self.0.as_mut()?.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
        match outcome {
            Poll::Pending => {
                context.request_repaint_after_secs(LOOK);
                None
            }
            Poll::Ready(choice) => {
                self.0 = None;
                choice.map(|file| file.path().to_path_buf())
            }
        }
    }
}
