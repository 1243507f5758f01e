//! Asking the person for a file, which nothing waits for: what was chosen is a future's.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// A file that exists.
    File,
    /// A folder that exists.
    Folder,
    /// A file to write, which need not exist.
    Save,
}

/// What was chosen, once it was; none if the person thought better of it.
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

/// Opens the browser's dialog for a file. What is to be written gets a name that makes it a download; a browser
/// gives no folders.
#[cfg(target_arch = "wasm32")]
pub(crate) fn pick(what: Pick) -> Choice {
    match what {
        Pick::File => Box::pin(signet::platform::page::pick_file()),
        Pick::Save => Box::pin(std::future::ready(Some("/downloads/signet.toml".into()))),
        Pick::Folder => Box::pin(std::future::ready(None)),
    }
}
