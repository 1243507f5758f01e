//! Files of a page, kept in memory.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

thread_local! {
    static FILES: RefCell<BTreeMap<PathBuf, Rc<Vec<u8>>>> = const { RefCell::new(BTreeMap::new()) };
    static LOCKS: RefCell<std::collections::BTreeSet<PathBuf>> = const { RefCell::new(std::collections::BTreeSet::new()) };
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", path.display()))
}

fn get(path: &Path) -> io::Result<Rc<Vec<u8>>> {
    FILES.with_borrow(|files| files.get(path).cloned()).ok_or_else(|| missing(path))
}

fn put(path: &Path, bytes: Vec<u8>) {
    FILES.with_borrow_mut(|files| files.insert(path.into(), Rc::new(bytes)));
}

/// Makes the files ready.
pub async fn mount() {}

/// Gives what has to wait its turn.
pub(super) async fn settle() {}

pub struct Commit {
    path: PathBuf,
    parts: Rc<RefCell<Vec<(String, Vec<u8>)>>>,
}

impl Commit {
    pub fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), parts: Rc::default() })
    }
    pub fn part(&mut self, name: &str) -> io::Result<CommitPart> {
        Ok(CommitPart { name: name.into(), bytes: Vec::new(), parts: self.parts.clone() })
    }
    pub fn finish(self) -> io::Result<()> {
        remove_dir(&self.path)?;
        for (name, bytes) in self.parts.take() {
            put(&self.path.join(name), bytes);
        }
        Ok(())
    }
}

pub struct CommitPart {
    name: String,
    bytes: Vec<u8>,
    parts: Rc<RefCell<Vec<(String, Vec<u8>)>>>,
}

impl CommitPart {
    pub fn end(self) -> io::Result<()> {
        self.parts.borrow_mut().push((self.name, self.bytes));
        Ok(())
    }
}

impl Write for CommitPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
pub struct Lock(PathBuf);

impl Lock {
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        Ok(LOCKS.with_borrow_mut(|locks| locks.insert(path.into())).then(|| Self(path.into())))
    }
    pub fn is_held(path: &Path) -> io::Result<bool> {
        Ok(LOCKS.with_borrow(|locks| locks.contains(path)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        LOCKS.with_borrow_mut(|locks| locks.remove(&self.0));
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: u64,
}

pub fn stamp(path: &Path) -> Option<Stamp> {
    Some(Stamp { bytes: get(path).ok()?.len() as u64 })
}

pub struct Mapped(Rc<Vec<u8>>);

impl Mapped {
    pub fn open(path: &Path) -> io::Result<Self> {
        get(path).map(Self)
    }
}

impl std::ops::Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

pub struct Places(PathBuf);

impl Places {
    pub fn open(path: &Path) -> io::Result<Self> {
        get(path).map(|_| Self(path.into()))
    }
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = get(&self.0)?.to_vec();
        all[at as usize..][..bytes.len()].copy_from_slice(bytes);
        put(&self.0, all);
        Ok(())
    }
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut all = get(path).map(|all| all.to_vec()).unwrap_or_default();
    all.extend_from_slice(bytes);
    put(path, all);
    Ok(())
}

pub fn cut_lines(path: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let Ok(bytes) = get(path) else { return Ok(()) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    put(path, text.split_inclusive('\n').filter(|line| line.ends_with('\n') && keep(line)).collect::<String>().into_bytes());
    Ok(())
}

pub fn exists(path: &Path) -> bool {
    is_file(path) || is_dir(path)
}

pub fn is_file(path: &Path) -> bool {
    get(path).is_ok()
}

pub fn is_dir(path: &Path) -> bool {
    FILES.with_borrow(|files| files.keys().any(|file| file.starts_with(path) && file != path))
}

pub fn list(path: &Path) -> io::Result<Vec<String>> {
    let names = |file: &PathBuf| Some(file.strip_prefix(path).ok()?.components().next()?.as_os_str().to_string_lossy().into_owned());
    let mut all: Vec<String> = FILES.with_borrow(|files| files.keys().filter_map(names).collect());
    all.dedup();
    if all.is_empty() { Err(missing(path)) } else { Ok(all) }
}

pub fn make_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

pub fn modified(path: &Path) -> io::Result<f64> {
    get(path).map(|_| super::now())
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    get(path).map(|bytes| bytes.to_vec())
}

pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(io::Error::other)
}

pub fn read_part(path: &Path, at: u64, most: u64) -> io::Result<(Vec<u8>, u64)> {
    let all = get(path)?;
    let from = (at as usize).min(all.len());
    let until = from.saturating_add(most as usize).min(all.len());
    Ok((all[from..until].to_vec(), all.len() as u64))
}

pub fn read_start(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    Ok(read_part(path, 0, most as u64)?.0)
}

pub fn remove_dir(path: &Path) -> io::Result<()> {
    FILES.with_borrow_mut(|files| files.retain(|file, _| !file.starts_with(path)));
    Ok(())
}

pub fn rename_dir(from: &Path, to: &Path, lock: Lock) -> io::Result<()> {
    drop(lock);
    FILES.with_borrow_mut(|files| {
        let moved: Vec<PathBuf> = files.keys().filter(|file| file.starts_with(from)).cloned().collect();
        for file in moved {
            let bytes = files.remove(&file).expect("listed");
            files.insert(to.join(file.strip_prefix(from).expect("starts with it")), bytes);
        }
    });
    Ok(())
}

pub fn reserve(path: &Path, start: &[u8], length: u64) -> io::Result<()> {
    let mut bytes = start.to_vec();
    bytes.resize(length as usize, 0);
    put(path, bytes);
    Ok(())
}

pub fn stream_atomic(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    put(path, bytes);
    Ok(())
}

pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, bytes.to_vec());
    Ok(())
}

/// A file that the visitor gave.
pub(super) fn add(_path: &str, _file: wasm_bindgen::JsValue) {}
