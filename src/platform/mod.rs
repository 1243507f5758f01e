//! Files, the clock, threads and the CPU's own instructions: the only place that touches them. One
//! surface, for a desktop (`native`) and for a page (`web`).

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

// Each uses only those above it.

#[cfg(any(test, target_arch = "wasm32"))]
mod disk;
pub mod dom;
mod memory;
mod models;
pub mod parallel;
mod shell;
pub mod vector;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

mod hub;
mod lines;
mod process;

pub use hub::{HUB, Hub, Listing};
pub use lines::{UNLIMITED, cut_lines};
pub use memory::{adapter_memory, memory};
pub use models::{Fetched, Fetching, KeptModel, Room, Verdict, Wanted};
#[cfg(not(target_arch = "wasm32"))]
use native as here;
pub use process::{PASSES_ON, beside, command_on, exit, fail_at_file_size_limit, hand_over, make_room, program, room_advice};
pub use shell::command_line;
use std::io;
#[cfg(target_arch = "wasm32")]
use web as here;
#[cfg(target_arch = "wasm32")]
pub use web::{dom as elements, engine, link, mount, page};

pub use here::{
    Clock, Commit, CommitPart, IN_PAGE, Lock, Places, RandomAccessFile, Stamp, append, asset, breathe, browser_gpu, cache_dir, claim_dir, delete_model,
    discard_dir, exists, fetch_asset, fetch_model, has_display, home_dir, is_dir, is_file, kept_models, length, list, make_dir, matching, modified, now, pause,
    read, read_part, read_start, read_text, read_up_to, remove_dir, rename_dir, reserve, rest, seed, spawn, stamp, stream_atomic, sweep, sweep_named, sync,
    system, used_memory, wait, write_atomic,
};

/// A thread that [`spawn`] started.
pub type Thread = std::thread::JoinHandle<()>;

/// A file on its way: written from front to back, and then in places.
pub trait Output: std::io::Write {
    /// Replaces bytes that are written already, from byte `at` on.
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()>;
}

impl Output for Vec<u8> {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        self[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// Most bytes of a file of settings: JSON or TOML.
pub const SETTINGS_LIMIT: u64 = 64 << 20;
/// Most bytes of a tokenizer's file.
pub const TOKENIZER_LIMIT: u64 = 512 << 20;
/// Most bytes of text from standard input, which is held in memory.
#[cfg(not(target_arch = "wasm32"))]
const STDIN_LIMIT: u64 = 512 << 20;

/// The error of a file that is longer than what may be read of it.
fn too_long(limit: u64) -> io::Error {
    let limit = if limit >= 1 << 20 { format!("{} MB", limit >> 20) } else { format!("{limit} bytes") };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {limit}, the most that is read of such a file"))
}

/// A browser's adapter, as far as it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserGpu {
    /// Vendor, architecture and device, those that are told.
    pub name: String,
    /// Whether it has subgroups: web/worker.js adds them to every device then.
    pub subgroups: bool,
}

/// A file of `assets/` that is part of the program: in it natively, beside the page in a browser, where
/// it must have been fetched before.
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
