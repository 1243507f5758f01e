//! Models in the storage of a web page: downloads, lists and deletes them.

use crate::model::check_start;
use crate::platform::{self, DownloadRequest};
use crate::runner::{Event, Stop};
use anyhow::Result;

/// Emits the stored models and the available storage.
pub(super) async fn list(emit: &mut dyn FnMut(Event)) -> Result<()> {
    let (models, room) = platform::stored_models().await?;
    emit(Event::Models { models, room });
    Ok(())
}

/// Deletes a model and emits the remaining ones.
pub(super) async fn delete(name: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    platform::delete_model(name).await?;
    list(emit).await
}

/// Downloads a model. After a stop request, the partial download is kept.
pub(super) async fn fetch(url: &str, sha256: Option<&str>, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let request = DownloadRequest { url, sha256, check_start: &check_start, stop: &|| stop.is_requested() };
    let mut progress = |at: platform::DownloadProgress| emit(Event::Fetching { name: at.name, done: at.done, of: at.of, rate: at.rate, note: at.note });
    let fetched = platform::fetch_model(request, &mut progress).await;
    let listed = list(emit).await;
    if let Some(model) = fetched? {
        emit(Event::Fetched { name: model.name, path: model.path.into(), bytes: model.bytes, sha256: model.sha256 });
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::HeaderCheck;

    /// Returns the verdict when bytes arrive as requested.
    fn verdict(file: &[u8]) -> HeaderCheck {
        let mut need = 16;
        loop {
            match check_start(&file[..file.len().min(need)]) {
                HeaderCheck::More(more) if file.len() >= need && more as usize > need => need = more as usize,
                verdict => return verdict,
            }
        }
    }

    #[test]
    fn a_packed_model_is_detected_by_its_header_and_other_files_are_named() {
        assert_eq!(verdict(crate::assets::student().unwrap()), HeaderCheck::Good);
        assert_eq!(verdict(b"GGUF\x03\0\0\0and more of it"), HeaderCheck::Good);
        let names = [
            (&b"<!doctype html><html>"[..], "an HTML page"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"PK\x03\x04aaaaaaaaaaaaaaa", "zip archive"),
            (b"{\"error\": \"no such file\"}", "JSON"),
            (b"\x02\0\0\0\0\0\0\0{}and tensors", "not packed by Signet"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff{\"huge\":1}", "neither"),
            (b"some text that is no model at all", "neither"),
            (b"\x05\0\0\0\0\0\0\0{nono and more", "damaged"),
        ];
        for (bytes, what) in names {
            let HeaderCheck::Bad(problem) = verdict(bytes) else { panic!("{what} was not refused") };
            assert!(problem.contains(what), "{problem}");
        }
        assert_eq!(check_start(b""), HeaderCheck::More(16));
        assert_eq!(check_start(b"\x40\0\0\0\0\0\0\0{"), HeaderCheck::More(72));
    }

    #[test]
    fn a_native_build_downloads_no_models_by_address() {
        let error = platform::wait(fetch("https://example.org/m.signet", None, &Stop::default(), &mut |_| {})).unwrap_err().to_string();
        assert!(error.contains("download it with another program"), "{error}");
    }
}
