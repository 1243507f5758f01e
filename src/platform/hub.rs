//! Hugging Face models by name: in the local cache, and with the feature `hub` from the network. The cache is the one
//! of the Hugging Face libraries.

use super::DownloadProgress;
use std::io;
use std::path::{Path, PathBuf};

/// True if this build can download models.
pub const HUB: bool = cfg!(feature = "hub");

/// The files of a model at a commit.
pub struct Listing {
    /// Paths in the repository.
    pub files: Vec<String>,
    /// The commit.
    pub commit: String,
}

/// The cache and endpoint of Hugging Face; by default those of HF_HOME and HF_ENDPOINT.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// The cache directory.
    pub cache: Option<PathBuf>,
    /// The endpoint's URL.
    pub endpoint: Option<String>,
}

impl Hub {
    fn cache_dir(&self) -> Option<PathBuf> {
        let home = || Some(super::home_dir()?.join(".cache").join("huggingface"));
        let set = || std::env::var_os("HF_HOME").map(PathBuf::from);
        self.cache.clone().or_else(|| Some(set().or_else(home)?.join("hub")))
    }

    /// The snapshot directory of a model's main branch in the cache; files may be missing.
    pub fn snapshot_dir(&self, model: &str) -> Option<PathBuf> {
        let folder = self.cache_dir()?.join(format!("models--{}", model.replace('/', "--")));
        let commit = super::read_text(&folder.join("refs").join("main")).ok()?;
        Some(folder.join("snapshots").join(commit.trim())).filter(|path| super::is_dir(path))
    }

    /// Lists the files of a model.
    pub fn list(&self, model: &str) -> io::Result<Listing> {
        online::list(self, model)
    }

    /// Downloads a file into the cache unless it is there; `None` if it was stopped. A partial download is kept and
    /// resumed.
    pub fn fetch(
        &self, model: &str, listing: &Listing, file: &str, stop: &dyn Fn() -> bool, tell: &mut dyn FnMut(DownloadProgress),
    ) -> io::Result<Option<PathBuf>> {
        let here = self.snapshot_dir(model).filter(|path| path.ends_with(Path::new(&listing.commit))).map(|path| path.join(file));
        match here.filter(|path| super::is_file(path)) {
            Some(path) => Ok(Some(path)),
            None => online::fetch(self, model, file, stop, tell),
        }
    }
}

#[cfg(feature = "hub")]
mod online {
    use super::super::{Clock, DownloadProgress, block_for, spawn};
    use super::{Hub, Listing};
    use hf_hub::api::Progress;
    use hf_hub::api::sync::{ApiBuilder, ApiRepo};
    use std::io;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    /// Retries of a broken connection.
    const RETRIES: usize = 5;

    fn repository(hub: &Hub, model: &str) -> io::Result<ApiRepo> {
        let mut api = ApiBuilder::from_env().with_progress(false).with_retries(RETRIES).with_user_agent("signet", env!("CARGO_PKG_VERSION"));
        if let Some(cache) = hub.cache_dir() {
            let token = hf_hub::Cache::new(cache.clone()).token();
            api = api.with_cache_dir(cache).with_token(token);
        }
        if let Some(endpoint) = &hub.endpoint {
            api = api.with_endpoint(endpoint.clone());
        }
        Ok(api.build().map_err(io::Error::other)?.model(model.into()))
    }

    pub(super) fn list(hub: &Hub, model: &str) -> io::Result<Listing> {
        let info = repository(hub, model)?.info().map_err(io::Error::other)?;
        Ok(Listing { files: info.siblings.into_iter().map(|file| file.rfilename).collect(), commit: info.sha })
    }

    /// The progress of a download, shared with its thread.
    #[derive(Default)]
    struct State {
        done: u64,
        of: u64,
        /// Bytes of an earlier download, which do not count for the rate.
        began: Option<u64>,
        end: Option<io::Result<PathBuf>>,
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<State>>);

    impl Shared {
        fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
            change(&mut self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
        }
    }

    impl Progress for Shared {
        fn init(&mut self, size: usize, _: &str) {
            self.change(|state| (state.done, state.of) = (0, size as u64));
        }

        fn update(&mut self, size: usize) {
            self.change(|state| {
                state.done += size as u64;
                state.began.get_or_insert(state.done);
            });
        }

        fn finish(&mut self) {}
    }

    /// The library cannot be interrupted, so the download has its own thread, which is left running.
    pub(super) fn fetch(hub: &Hub, model: &str, file: &str, stop: &dyn Fn() -> bool, tell: &mut dyn FnMut(DownloadProgress)) -> io::Result<Option<PathBuf>> {
        let repository = repository(hub, model)?;
        let shared = Shared::default();
        let (there, name) = (shared.clone(), file.to_string());
        spawn("hub", move || {
            let work = || repository.download_with_progress(&name, there.clone());
            // After a panic in the library, the caller must not wait forever.
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| Err(io::Error::other("the download failed").into()));
            let end = end.map_err(io::Error::other);
            there.change(|state| state.end = Some(end));
        })?;
        let clock = Clock::start();
        loop {
            let (done, of, began, end) = shared.change(|state| (state.done, state.of, state.began, state.end.take()));
            let rate = (done - began.unwrap_or(done).min(done)) as f64 / clock.seconds().max(1e-3);
            let note = if rate > 0.0 { format!("{:.0} s left", of.saturating_sub(done) as f64 / rate) } else { String::new() };
            tell(DownloadProgress { name: file.into(), done, of: (of > 0).then_some(of), rate, note });
            match end {
                Some(end) => return end.map(Some),
                None if stop() => return Ok(None),
                None => block_for(0.1),
            }
        }
    }
}

#[cfg(not(feature = "hub"))]
mod online {
    use super::super::DownloadProgress;
    use super::{Hub, Listing};
    use std::io;
    use std::path::PathBuf;

    fn refused() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "cannot download: this program was built without the feature `hub`")
    }

    pub(super) fn list(_: &Hub, _: &str) -> io::Result<Listing> {
        Err(refused())
    }

    pub(super) fn fetch(_: &Hub, _: &str, _: &str, _: &dyn Fn() -> bool, _: &mut dyn FnMut(DownloadProgress)) -> io::Result<Option<PathBuf>> {
        Err(refused())
    }
}
