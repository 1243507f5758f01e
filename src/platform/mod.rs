//! Files, the clock and the CPU's own instructions: the only place that touches them. One surface,
//! per platform one file.

#[cfg(any(test, target_arch = "wasm32"))]
mod disk;
mod memory;
mod native;
pub mod vector;

pub use memory::{adapter_memory, memory};
pub(crate) use native::Part;
pub use native::{
    Clock, Lock, Mapped, Places, Stamp, append, cache_dir, commit, cut_lines, exists, has_display, home_dir, is_dir, is_file, list, make_dir, modified, now,
    pause, read, read_part, read_start, read_text, remove_dir, rename_dir, reserve, seed, spawn, stamp, stream_atomic, system, wait, write_atomic,
};
