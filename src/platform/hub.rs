//! Models of Hugging Face, by their names: what is in its cache on this disk, and with the feature `hub` what
//! it has. The cache is the one that its own programs use, so that nothing is fetched twice.

use super::Fetching;
use std::io;
use std::path::{Path, PathBuf};

/// Whether this program can fetch.
pub const HUB: bool = cfg!(feature = "hub");

/// Files of a model, and which state of it they are.
pub struct Listing {
    /// Their paths in the model.
    pub files: Vec<String>,
    /// The commit.
    pub commit: String,
}

/// Where models are kept, and where they come from: as the variables HF_HOME and HF_ENDPOINT say, or other places.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// The directory of the cache.
    pub cache: Option<PathBuf>,
    /// The address.
    pub endpoint: Option<String>,
}

impl Hub {
    fn cache_dir(&self) -> Option<PathBuf> {
        let home = || Some(super::home_dir()?.join(".cache").join("huggingface"));
        let set = || std::env::var_os("HF_HOME").map(PathBuf::from);
        self.cache.clone().or_else(|| Some(set().or_else(home)?.join("hub")))
    }

    /// The directory of a model in the cache, as it was last fetched; maybe not all of its files are there.
    pub fn kept(&self, model: &str) -> Option<PathBuf> {
        let folder = self.cache_dir()?.join(format!("models--{}", model.replace('/', "--")));
        let commit = super::read_text(&folder.join("refs").join("main")).ok()?;
        Some(folder.join("snapshots").join(commit.trim())).filter(|path| super::is_dir(path))
    }

    /// The files that Hugging Face has of a model.
    pub fn list(&self, model: &str) -> io::Result<Listing> {
        online::list(self, model)
    }

    /// Fetches one of them into the cache, if it is not there; none if it was stopped. What is here of it is kept,
    /// and fetching it again goes on there.
    pub fn fetch(&self, model: &str, listing: &Listing, file: &str, stop: &dyn Fn() -> bool, tell: &mut dyn FnMut(Fetching)) -> io::Result<Option<PathBuf>> {
        let here = self.kept(model).filter(|path| path.ends_with(Path::new(&listing.commit))).map(|path| path.join(file));
        match here.filter(|path| super::is_file(path)) {
            Some(path) => Ok(Some(path)),
            None => online::fetch(self, model, file, stop, tell),
        }
    }
}

#[cfg(feature = "hub")]
mod online {
    use super::super::{Clock, Fetching, pause, spawn};
    use super::{Hub, Listing};
    use hf_hub::api::Progress;
    use hf_hub::api::sync::{ApiBuilder, ApiRepo};
    use std::io;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    /// How often a broken connection is taken up again.
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

    /// How far a file is, told by the thread that fetches it.
    #[derive(Default)]
    struct State {
        done: u64,
        of: u64,
        /// What was here before, which says nothing of the rate.
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

    /// The library cannot be stopped, so it has a thread of its own, which is left behind.
    pub(super) fn fetch(hub: &Hub, model: &str, file: &str, stop: &dyn Fn() -> bool, tell: &mut dyn FnMut(Fetching)) -> io::Result<Option<PathBuf>> {
        let repository = repository(hub, model)?;
        let shared = Shared::default();
        let (there, name) = (shared.clone(), file.to_string());
        spawn("hub", move || {
            let work = || repository.download_with_progress(&name, there.clone());
            // A panic of the library must not leave somebody waiting.
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| Err(io::Error::other("the download failed").into()));
            let end = end.map_err(io::Error::other);
            there.change(|state| state.end = Some(end));
        })?;
        let clock = Clock::start();
        loop {
            let (done, of, began, end) = shared.change(|state| (state.done, state.of, state.began, state.end.take()));
            let rate = (done - began.unwrap_or(done).min(done)) as f64 / clock.seconds().max(1e-3);
            let note = if rate > 0.0 { format!("{:.0} s left", of.saturating_sub(done) as f64 / rate) } else { String::new() };
            tell(Fetching { name: file.into(), done, of: (of > 0).then_some(of), rate, note });
            match end {
                Some(end) => return end.map(Some),
                None if stop() => return Ok(None),
                None => pause(0.1),
            }
        }
    }
}

#[cfg(not(feature = "hub"))]
mod online {
    use super::super::Fetching;
    use super::{Hub, Listing};
    use std::io;
    use std::path::PathBuf;

    fn refused() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "this program was built without the feature `hub`")
    }

    pub(super) fn list(_: &Hub, _: &str) -> io::Result<Listing> {
        Err(refused())
    }

    pub(super) fn fetch(_: &Hub, _: &str, _: &str, _: &dyn Fn() -> bool, _: &mut dyn FnMut(Fetching)) -> io::Result<Option<PathBuf>> {
        Err(refused())
    }
}
