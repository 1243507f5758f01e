//! A page in a browser: turns and time (`tasks`), files (`files`: kept in `storage`, chosen ones in `blobs`, given away by
//! `download`; `models` fetched from the network), the engine's worker as the page sees it (`engine`) and from inside
//! (`link`), what it has the page ask for (`requests`), what is fetched at the start (`fetch`), and what wgpu leaves out of
//! WebGPU (`gpu`).

// Each uses only those above it.

pub mod dom;
mod failure;

mod blobs;
mod fetch;
mod gpu;
mod handle;
mod requests;

pub mod link;
mod storage;

mod download;
pub mod engine;
mod tasks;

mod files;
mod models;
pub mod page;

pub use fetch::{asset, fetch_asset};
pub use files::{
    Commit, CommitPart, Lock, Places, RandomAccessFile, Stamp, append, claim_dir, discard_dir, exists, is_dir, is_file, length, list, make_dir, matching,
    modified, read, read_part, read_start, read_text, read_up_to, remove_dir, rename_dir, reserve, stamp, stream_atomic, sweep, sweep_named, sync,
    write_atomic,
};
pub use gpu::browser_gpu;
pub use models::{delete_model, fetch_model, kept_models};
pub use tasks::{Clock, breathe, now, pause, rest, seed, spawn, wait};

use js_sys::Reflect;
use std::path::PathBuf;
use wasm_bindgen::JsCast;

/// Takes the private storage for this page's files, and finds the models there.
pub async fn mount() {
    storage::mount().await;
    // Without them there is nothing to open; asked for, they say what is wrong.
    let _ = kept_models().await;
}

/// Whether this is a page in a browser.
pub const IN_PAGE: bool = true;

/// Bytes of memory that this instance has taken of the browser; it never gives any back.
pub fn used_memory() -> u64 {
    let memory = wasm_bindgen::memory().unchecked_into::<js_sys::WebAssembly::Memory>();
    memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length().into()
}

/// Where what can be made again is kept.
pub fn cache_dir() -> Option<PathBuf> {
    Some("/cache".into())
}

/// The person's own folder: a page sees none.
pub fn home_dir() -> Option<PathBuf> {
    None
}

/// Whether there is a display that a window could be opened on.
pub fn has_display() -> bool {
    true
}

/// The browser, for reports.
pub fn system() -> String {
    let get = |object: &wasm_bindgen::JsValue, name: &str| Reflect::get(object, &name.into()).unwrap_or_default();
    let agent = get(&get(&js_sys::global(), "navigator"), "userAgent");
    agent.dyn_into::<js_sys::JsString>().map_or_else(|_| "a browser".into(), String::from)
}
