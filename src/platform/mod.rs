//! Files and the clock: the only place that touches either. One surface, per platform one file.

mod native;

pub(crate) use native::Part;
pub use native::{Clock, Lock, append, commit, cut_lines, read, remove_dir, seed, stream_atomic, wait, write_atomic};
