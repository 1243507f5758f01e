//! Asynchronous file dialogs of the system or the browser.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

/// The kind of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// A file that exists.
    File,
    /// A folder that exists.
    Folder,
    /// A file to write; it need not exist.
    Save,
}

/// The chosen path; none if the dialog was cancelled.
pub(crate) type Choice = Pin<Box<dyn Future<Output = Option<PathBuf>>>>;

/// Opens the system's dialog.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn pick(what: Pick) -> Choice {
    use rfd::AsyncFileDialog;
    let dialog = AsyncFileDialog::new();
    Box::pin(async move {
        let chosen = match what {
            Pick::File => dialog.pick_file().await,
            Pick::Folder => dialog.pick_folder().await,
            Pick::Save => dialog.save_file().await,
        };
        chosen.map(|file| file.path().to_path_buf())
    })
}

/// Opens the browser's file dialog. A file to write becomes a download; folders cannot be chosen.
#[cfg(target_arch = "wasm32")]
pub(crate) fn pick(what: Pick) -> Choice {
    match what {
        Pick::File => Box::pin(signet::platform::page::pick_file()),
        Pick::Save => Box::pin(std::future::ready(Some("/downloads/signet.toml".into()))),
        Pick::Folder => Box::pin(std::future::ready(None)),
    }
}
