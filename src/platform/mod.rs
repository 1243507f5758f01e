//! Files, clock, threads, memory and CPU intrinsics: only this module uses them directly. The interface is the same on
//! a desktop (`native`) and in a page (`web`).

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

// Each module uses only those above it.

#[cfg(any(test, target_arch = "wasm32"))]
mod disk;
pub mod dom;
mod model_download;
pub mod parallel;
mod shell;
mod system_memory;
pub mod vector;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

mod child;
mod hub;
mod lines;
mod process;

pub use child::{ChildEnd, ChildOutput, run_with_limit};
pub use hub::{HUB, Hub, Listing};
pub use lines::{UNLIMITED, cut_lines};
pub use model_download::{DownloadProgress, DownloadRequest, DownloadedModel, HeaderCheck, StorageQuota, StoredModel};
#[cfg(not(target_arch = "wasm32"))]
use native as here;
pub use process::{RUNS_CHILD, beside, command_on, exit, fail_at_file_size_limit, program, replace_process, space_advice, space_advice_suffix};
pub use shell::command_line;
use std::io;
pub use system_memory::{adapter_memory, memory};
#[cfg(target_arch = "wasm32")]
use web as here;
#[cfg(target_arch = "wasm32")]
pub use web::{elements, engine_worker, link, mount, page};

pub use here::{
    Clock, Commit, CommitPart, IN_PAGE, Lock, PositionedWriter, RandomAccessFile, Stamp, append, asset, block_for, browser_gpu, cache_dir, claim_dir,
    delete_model, discard_dir, exists, fetch_asset, fetch_model, has_display, home_dir, is_dir, is_file, length, list, make_dir, matching, modified, now, read,
    read_part, read_start, read_text, read_up_to, remove_dir, remove_leftovers, remove_old_leftovers, rename_dir, reserve, seed, sleep, spawn, stamp,
    stored_models, stream_atomic, sync, system, used_memory, wait, within, write_atomic, yield_now,
};

/// A thread started by [`spawn`].
pub type ThreadHandle = std::thread::JoinHandle<()>;

/// An output file: written sequentially, then patched.
pub trait Output: std::io::Write {
    /// Overwrites written bytes from byte `at` on.
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()>;
}

impl Output for Vec<u8> {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        self[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// The largest settings file (JSON or TOML), in bytes.
pub const SETTINGS_LIMIT: u64 = 64 << 20;
/// The largest tokenizer file, in bytes.
pub const TOKENIZER_LIMIT: u64 = 512 << 20;
/// The most bytes of text from standard input, which is held in memory.
#[cfg(not(target_arch = "wasm32"))]
const STDIN_LIMIT: u64 = 512 << 20;

/// The error of a file above its size limit.
fn too_long(limit: u64) -> io::Error {
    let limit = if limit >= 1 << 20 { format!("{} MB", limit >> 20) } else { format!("{limit} bytes") };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {limit}, the limit for such a file"))
}

/// A browser's adapter, as far as it reveals it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserGpu {
    /// Vendor, architecture and device, as far as known.
    pub name: String,
    /// True if it supports subgroups, which web/worker.js then requests for every device.
    pub subgroups: bool,
}

/// An embedded file of `assets/`: in the executable natively; in a page it must have been fetched before.
#[macro_export]
macro_rules! asset {
    ($name:literal) => {{
        #[cfg(not(target_arch = "wasm32"))]
        let found = $crate::platform::asset($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $name)));
        #[cfg(target_arch = "wasm32")]
        let found = $crate::platform::asset($name);
        found
    }};
}
