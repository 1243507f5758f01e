//! Read-only files, read in pieces: those that the user chose, and downloaded models.

use super::failure::error;
use js_sys::Uint8Array;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use web_sys::{File, FileReaderSync};

/// The directory of chosen files.
pub(super) const FILES: &str = "/files";
/// The directory of downloaded models.
pub(super) const MODELS: &str = "/models";

thread_local! {
    static FOUND: RefCell<BTreeMap<String, File>> = const { RefCell::new(BTreeMap::new()) };
}

/// Adds a chosen file at `path`.
pub(super) fn add(path: &str, file: File) {
    FOUND.with_borrow_mut(|found| found.insert(path.into(), file));
}

/// Adds a model, in place of one with the same name.
pub(super) fn put_model(name: &str, file: File) {
    FOUND.with_borrow_mut(|found| found.insert(format!("{MODELS}/{name}"), file));
}

/// Removes all models.
pub(super) fn forget_models() {
    FOUND.with_borrow_mut(|found| found.retain(|path, _| !path.starts_with(MODELS)));
}

/// Looks up the file at a path.
pub(super) fn find(path: &str) -> io::Result<File> {
    let found = FOUND.with_borrow(|found| found.get(path).cloned());
    found.ok_or_else(|| {
        let problem = if path.starts_with(FILES) {
            format!("the page has no file {path}: chosen files are forgotten when the page is reloaded. Choose the file again")
        } else {
            format!("there is no model {path}: fetch it again")
        };
        io::Error::new(io::ErrorKind::NotFound, problem)
    })
}

/// Lists the files in a directory.
pub(super) fn list(directory: &str) -> Vec<String> {
    let name = |path: &String| path.strip_prefix(directory)?.strip_prefix('/').map(String::from);
    FOUND.with_borrow(|found| found.keys().filter_map(name).collect())
}

/// Reads a range of a file; fails if the file does not have it.
pub(super) fn read(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    if start == end {
        return Ok(Vec::new());
    }
    let part = file.slice_with_f64_and_f64(start as f64, end as f64).map_err(error)?;
    let buffer = FileReaderSync::new().and_then(|reader| reader.read_as_array_buffer(&part)).map_err(error)?;
    let bytes = Uint8Array::new(&buffer).to_vec();
    if bytes.len() as u64 == end - start { Ok(bytes) } else { Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before these bytes")) }
}
