//! The web platform: tasks and time (`tasks`); files (`file_system`: private ones in `storage`, chosen ones in
//! `blobs`, offered ones in `blob_writer`, downloaded models in `model_store`); the engine's worker from outside
//! (`engine_worker`) and inside (`link`), and the requests it makes of the page (`page_requests`); assets (`fetch`); and
//! adapter information (`browser_gpu`).

// Each module uses only those above it.

pub mod elements;
mod failure;

mod blobs;
mod browser_gpu;
mod fetch;
mod handle;
mod page_requests;

pub mod link;
mod storage;

mod blob_writer;
pub mod engine_worker;
mod tasks;

mod file_system;
mod model_store;
pub mod page;

pub use browser_gpu::browser_gpu;
pub use fetch::{asset, fetch_asset};
pub use file_system::{
    Commit, CommitPart, Lock, PositionedWriter, RandomAccessFile, Stamp, append, claim_dir, discard_dir, exists, is_dir, is_file, length, list, make_dir,
    matching, modified, read, read_part, read_start, read_text, read_up_to, remove_dir, remove_leftovers, remove_old_leftovers, rename_dir, reserve, stamp,
    stream_atomic, sync, write_atomic,
};
pub use model_store::{delete_model, fetch_model, stored_models};
pub use tasks::{Clock, block_for, now, seed, sleep, spawn, wait, within, yield_now};

use js_sys::Reflect;
use std::path::PathBuf;
use wasm_bindgen::JsCast;

/// Acquires the private storage for this page, and lists the models there.
pub async fn mount() {
    storage::mount().await;
    // Without storage there is nothing to open; opening then reports the error.
    let _ = stored_models().await;
}

/// True in a page.
pub const IN_PAGE: bool = true;

/// Bytes of WebAssembly memory, which never shrinks.
pub fn used_memory() -> u64 {
    let memory = wasm_bindgen::memory().unchecked_into::<js_sys::WebAssembly::Memory>();
    memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length().into()
}

/// Signet's cache directory.
pub fn cache_dir() -> Option<PathBuf> {
    Some("/cache".into())
}

/// The user's home directory: `None` in a page.
pub fn home_dir() -> Option<PathBuf> {
    None
}

/// Returns true if there is a display to open a window on.
pub fn has_display() -> bool {
    true
}

/// The browser, for reports.
pub fn system() -> String {
    let get = |object: &wasm_bindgen::JsValue, name: &str| Reflect::get(object, &name.into()).unwrap_or_default();
    let agent = get(&get(&js_sys::global(), "navigator"), "userAgent");
    agent.dyn_into::<js_sys::JsString>().map_or_else(|_| "a browser".into(), String::from)
}
