//! What a page has in place of a desktop: everything here names the browser.

mod blobs;
mod download;
mod failure;
mod files;
mod handle;
mod storage;

pub use blobs::add_file;
pub use download::set_download_handler;
pub(crate) use files::Part;
pub use files::{
    Commit, Lock, Mapped, Places, Stamp, append, commit, cut_lines, exists, is_dir, is_file, list, make_dir, modified, read, read_part, read_start, read_text,
    remove_dir, rename_dir, reserve, stamp, stream_atomic, write_atomic,
};
pub use storage::{Mounted, grow, mount};
