//! A file system for browsers: paths, directories, renames and commits, as on a desktop. Data is in opaque stores that
//! are opened in advance, and an index maps paths to stores; every operation is one atomic write of the index. This
//! module does not depend on a browser.

mod byte_store;
pub(crate) mod draft;
mod index;
#[cfg(test)]
mod tests;

pub(crate) use byte_store::{ByteStore, Memory, StoreSlot, read_part};
pub(crate) use draft::{DiskCommit, Draft};

use index::{DecodeError, EntryKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::rc::Rc;

/// A directory or file. An empty file has no slot.
#[derive(Clone)]
enum DiskNode {
    Directory { modified: u64 },
    File { slot: Option<Rc<StoreSlot>>, modified: u64 },
}

impl DiskNode {
    fn modified(&self) -> u64 {
        match self {
            DiskNode::Directory { modified } | DiskNode::File { modified, .. } => *modified,
        }
    }
}

type Tree = BTreeMap<String, DiskNode>;

/// Metadata of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileMetadata {
    pub(crate) directory: bool,
    pub(crate) bytes: u64,
    /// Milliseconds since 1970.
    pub(crate) modified: u64,
}

/// Stores and their index.
pub(crate) struct Disk {
    tree: Tree,
    sequence: u64,
    heads: [Box<dyn ByteStore>; 2],
    slots: BTreeMap<u32, Rc<StoreSlot>>,
    locks: BTreeSet<String>,
    /// True if stores are in memory, and more can always be created.
    in_memory: bool,
    /// Milliseconds since 1970.
    now: fn() -> u64,
    /// Why the disk is unusable, if it is.
    lost: Option<String>,
}

/// Bytes reserved for an index, so that deleting works when storage is full.
const INDEX: u64 = 64 << 10;
/// A store with more bytes than this is closed after it is emptied.
const LARGE: u64 = 1 << 20;
/// Directories that always exist.
const ROOTS: [&str; 2] = ["/runs", "/cache"];

impl Disk {
    /// A disk in memory.
    pub(crate) fn in_memory(now: fn() -> u64) -> Self {
        let head = || Box::new(Memory::default()) as Box<dyn ByteStore>;
        let disk = Self::mount([head(), head()], Vec::new(), now).expect("writing to memory succeeds");
        Self { in_memory: true, ..disk }
    }

    /// Mounts a disk on two stores for the index, and a pool of stores. On an error, nothing was changed.
    pub(crate) fn mount(heads: [Box<dyn ByteStore>; 2], pool: Vec<(u32, Box<dyn ByteStore>)>, now: fn() -> u64) -> Result<Self, String> {
        let read = |head: &dyn ByteStore| read_part(head, 0, u64::MAX).map_err(|error| format!("its index cannot be read: {error}"));
        let found = index::latest(&read(&*heads[0])?, &read(&*heads[1])?).map_err(|bad| match bad {
            DecodeError::Newer => "it was written by a newer Signet: reload the page to get the newer version".to_string(),
            _ => "its index is damaged. Clear this site's data to start over; the files in it are lost then".to_string(),
        })?;
        let mut slots: BTreeMap<u32, Rc<StoreSlot>> = pool.into_iter().map(|(number, store)| (number, Rc::new(StoreSlot::new(number, store)))).collect();
        let new = found.is_none();
        let (sequence, entries) = found.unwrap_or_default();
        let mut tree = Tree::new();
        for entry in entries {
            let mut slot = |number: u32| slots.entry(number).or_insert_with(|| Rc::new(StoreSlot::new(number, Box::new(byte_store::RemovedStore)))).clone();
            let node = match entry.kind {
                EntryKind::Directory => DiskNode::Directory { modified: entry.modified },
                EntryKind::File(number) => DiskNode::File { slot: number.map(&mut slot), modified: entry.modified },
            };
            tree.insert(entry.path, node);
        }
        let mut disk = Self { tree, sequence, heads, slots, locks: BTreeSet::new(), in_memory: false, now, lost: None };
        let failed = |error: io::Error| format!("it cannot be written: {error}");
        if new {
            disk.heads.iter().try_for_each(|head| head.resize(INDEX)).map_err(failed)?;
            disk.change(|_, _| Ok(())).map_err(failed)?;
        }
        if ROOTS.iter().any(|root| !disk.tree.contains_key(*root)) {
            disk.change(|tree, now| ROOTS.iter().try_for_each(|root| make_dirs(tree, root, now))).map_err(failed)?;
        }
        disk.empty_unused();
        Ok(disk)
    }

    /// Applies a change to the tree atomically.
    fn change(&mut self, edit: impl FnOnce(&mut Tree, u64) -> io::Result<()>) -> io::Result<()> {
        self.check()?;
        let mut next = self.tree.clone();
        edit(&mut next, (self.now)())?;
        self.save(&next)?;
        self.tree = next;
        self.empty_unused();
        Ok(())
    }

    /// Writes the index over the older copy, so that the newer one stays intact.
    fn save(&mut self, tree: &Tree) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let bytes = index::encode(
            sequence,
            tree.iter().map(|(path, node)| match node {
                DiskNode::Directory { modified } => (path.as_str(), EntryKind::Directory, *modified),
                DiskNode::File { slot, modified } => (path.as_str(), EntryKind::File(slot.as_ref().map(|slot| slot.number)), *modified),
            }),
        );
        let head = &self.heads[(sequence % 2) as usize];
        if let Err(error) = head.write(0, &bytes).and_then(|()| head.flush()) {
            // The index may be complete all the same and must not be used later, since its stores will be reused.
            if head.write(0, &[0; 8]).and_then(|()| head.flush()).is_err() {
                self.disable(format!("the browser's private storage cannot be written ({error}); reload the page"));
            }
            return Err(error);
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Empties unused stores.
    pub(crate) fn empty_unused(&mut self) {
        if self.lost.is_some() {
            return;
        }
        for slot in self.slots.values().filter(|slot| Rc::strong_count(slot) == 1 && !slot.is_empty.get()) {
            slot.was_large.set(slot.was_large.get() || slot.store.bytes().is_ok_and(|bytes| bytes > LARGE));
            // If it cannot be emptied now, this is retried before reuse.
            slot.is_empty.set(slot.store.resize(0).is_ok());
        }
    }

    fn is_free(slot: &Rc<StoreSlot>) -> bool {
        Rc::strong_count(slot) == 1 && slot.is_empty.get()
    }

    /// The number of free stores.
    pub(crate) fn free(&self) -> usize {
        self.slots.values().filter(|slot| Self::is_free(slot)).count()
    }

    /// Adds a store to the pool.
    pub(crate) fn add(&mut self, number: u32, store: Box<dyn ByteStore>) {
        self.slots.entry(number).or_insert_with(|| Rc::new(StoreSlot::new(number, store)));
        self.empty_unused();
    }

    /// The lowest unused numbers.
    pub(crate) fn numbers(&self, count: usize) -> Vec<u32> {
        (0..).filter(|number| !self.slots.contains_key(number)).take(count).collect()
    }

    /// Removes free stores from the pool until `keep` remain; returns their numbers.
    pub(crate) fn shrink(&mut self, keep: usize) -> Vec<u32> {
        let free: Vec<u32> = self.slots.values().filter(|slot| Self::is_free(slot)).map(|slot| slot.number).collect();
        let gone = free.get(keep..).unwrap_or_default().to_vec();
        gone.iter().for_each(|number| drop(self.slots.remove(number)));
        gone
    }

    /// Removes free stores that were large from the pool, so that they are closed; returns their numbers.
    pub(crate) fn remove_large(&mut self) -> Vec<u32> {
        let numbers: Vec<u32> = self.slots.values().filter(|slot| Self::is_free(slot) && slot.was_large.get()).map(|slot| slot.number).collect();
        numbers.iter().for_each(|number| drop(self.slots.remove(number)));
        numbers
    }

    /// Marks the disk as unusable.
    pub(crate) fn disable(&mut self, why: String) {
        self.lost = Some(why);
    }

    fn check(&self) -> io::Result<()> {
        match &self.lost {
            Some(why) => Err(io::Error::other(why.clone())),
            None => Ok(()),
        }
    }

    /// Takes a free store for writing.
    fn acquire_slot(&mut self) -> io::Result<Rc<StoreSlot>> {
        self.check()?;
        if let Some(slot) = self.slots.values().find(|slot| Self::is_free(slot)) {
            slot.is_empty.set(false);
            return Ok(slot.clone());
        }
        if !self.in_memory {
            let problem = "the browser's private storage has no prepared files left; try again in a moment";
            return Err(io::Error::new(io::ErrorKind::StorageFull, problem));
        }
        let number = self.numbers(1)[0];
        let slot = Rc::new(StoreSlot::new(number, Box::new(Memory::default())));
        self.slots.insert(number, slot.clone());
        Ok(slot)
    }

    /// Creates a file without a name.
    pub(crate) fn draft(&mut self) -> io::Result<Draft> {
        Ok(Draft::new(self.acquire_slot()?))
    }

    /// Returns the metadata of a path.
    pub(crate) fn metadata(&self, path: &str) -> io::Result<FileMetadata> {
        self.check()?;
        let node = self.tree.get(path).ok_or_else(|| missing(path))?;
        let bytes = if let DiskNode::File { slot: Some(slot), .. } = node { slot.store.bytes()? } else { 0 };
        Ok(FileMetadata { directory: matches!(node, DiskNode::Directory { .. }), bytes, modified: node.modified() })
    }

    /// Returns true if a path is a file (`directory` false) or a directory (true).
    pub(crate) fn is(&self, path: &str, directory: bool) -> bool {
        self.tree.get(path).is_some_and(|node| matches!(node, DiskNode::Directory { .. }) == directory)
    }

    /// Opens a file's store; `None` if it is empty. While the clone exists, its contents stay, even if the path is
    /// overwritten.
    pub(crate) fn open(&self, path: &str) -> io::Result<Option<Rc<StoreSlot>>> {
        self.check()?;
        match self.tree.get(path) {
            Some(DiskNode::File { slot, .. }) => Ok(slot.clone()),
            Some(DiskNode::Directory { .. }) => Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a directory")),
            None => Err(missing(path)),
        }
    }

    /// Lists the names in a directory.
    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.check()?;
        match self.tree.get(path) {
            Some(DiskNode::Directory { .. }) => Ok(paths_below(&self.tree, path).filter(|name| !name.contains('/')).map(String::from).collect()),
            Some(_) => Err(not_a_directory(path)),
            None => Err(missing(path)),
        }
    }

    /// Creates a directory and its parents.
    pub(crate) fn make_dir(&mut self, path: &str) -> io::Result<()> {
        if self.is(path, true) { Ok(()) } else { self.change(|tree, now| make_dirs(tree, path, now)) }
    }

    /// Removes a directory with its contents, if it exists.
    pub(crate) fn remove_dir(&mut self, path: &str) -> io::Result<()> {
        match self.tree.get(path) {
            None => self.check(),
            Some(DiskNode::File { .. }) => Err(not_a_directory(path)),
            Some(DiskNode::Directory { .. }) if ROOTS.contains(&path) => self.change(|tree, _| {
                remove(tree, path);
                tree.insert(path.into(), DiskNode::Directory { modified: 0 });
                Ok(())
            }),
            Some(DiskNode::Directory { .. }) => self.change(|tree, _| {
                remove(tree, path);
                Ok(())
            }),
        }
    }

    /// Renames a directory; fails if the new name exists.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        if self.tree.contains_key(to) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "this name already exists"));
        }
        if to.starts_with(&format!("{from}/")) || ROOTS.contains(&from) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this directory cannot be moved there"));
        }
        self.change(|tree, _| {
            let moved: Vec<String> = paths_below(tree, from).map(String::from).collect();
            let top = tree.remove(from).ok_or_else(|| missing(from))?;
            check_parent(tree, to)?;
            tree.insert(to.into(), top);
            for name in moved {
                let node = tree.remove(&format!("{from}/{name}")).expect("listed");
                tree.insert(format!("{to}/{name}"), node);
            }
            Ok(())
        })
    }

    /// Publishes a draft at a path, in place of an existing file.
    pub(crate) fn put(&mut self, path: &str, draft: Draft) -> io::Result<()> {
        let slot = draft.finish()?;
        self.change(|tree, modified| {
            check_parent(tree, path)?;
            if let Some(DiskNode::Directory { .. }) = tree.get(path) {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "this name is a directory"));
            }
            tree.insert(path.into(), DiskNode::File { slot, modified });
            Ok(())
        })
    }

    /// Publishes finished parts as a directory, in place of an existing one.
    fn put_all(&mut self, path: &str, parts: Vec<(String, Option<Rc<StoreSlot>>)>) -> io::Result<()> {
        self.change(|tree, modified| {
            remove(tree, path);
            make_dirs(tree, path, modified)?;
            tree.extend(parts.into_iter().map(|(name, slot)| (format!("{path}/{name}"), DiskNode::File { slot, modified })));
            Ok(())
        })
    }

    /// Appends to a file, creating it if needed. As on a desktop, this does not wait for the disk.
    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        let now = (self.now)();
        if let Some(DiskNode::File { slot: Some(slot), modified }) = self.tree.get_mut(path) {
            let end = slot.store.bytes()?;
            let added = slot.store.write(end, bytes);
            if added.is_err() {
                slot.store.resize(end)?;
            }
            *modified = now;
            return added;
        }
        let mut draft = self.draft()?;
        io::Write::write_all(&mut draft, bytes)?;
        self.put(path, draft)
    }

    /// Acquires a lock, creating its file; returns false if it is held.
    pub(crate) fn lock(&mut self, path: &str) -> io::Result<bool> {
        if !self.tree.contains_key(path) {
            self.change(|tree, modified| {
                check_parent(tree, path)?;
                tree.insert(path.into(), DiskNode::File { slot: None, modified });
                Ok(())
            })?;
        }
        Ok(self.locks.insert(path.into()))
    }

    /// Returns true if a lock is held.
    pub(crate) fn is_locked(&self, path: &str) -> bool {
        self.locks.contains(path)
    }

    /// Releases a lock.
    pub(crate) fn unlock(&mut self, path: &str) {
        self.locks.remove(path);
    }
}

/// Normalizes a path to `/a/b`; fails if it is not UTF-8.
pub(crate) fn normal(path: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                names.push(name.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"))?);
            }
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let path = format!("/{}", names.join("/"));
    if path.len() > index::PATH { Err(io::Error::new(io::ErrorKind::InvalidFilename, "the path is too long")) } else { Ok(path) }
}

fn missing(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{path} does not exist in the browser's private storage"))
}

fn not_a_directory(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, format!("{path} is not a directory"))
}

/// Paths below a directory, relative to it.
fn paths_below<'a>(tree: &'a Tree, path: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let prefix = format!("{path}/");
    tree.range(prefix.clone()..).map_while(move |(path, _)| path.strip_prefix(&prefix))
}

fn remove(tree: &mut Tree, path: &str) {
    let below: Vec<String> = paths_below(tree, path).map(|name| format!("{path}/{name}")).collect();
    below.iter().for_each(|path| drop(tree.remove(path)));
    tree.remove(path);
}

/// Fails if the parent directory of a path does not exist.
fn check_parent(tree: &Tree, path: &str) -> io::Result<()> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    match tree.get(parent) {
        Some(DiskNode::Directory { .. }) => Ok(()),
        Some(_) => Err(not_a_directory(parent)),
        None => Err(missing(parent)),
    }
}

fn make_dirs(tree: &mut Tree, path: &str, modified: u64) -> io::Result<()> {
    for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
        let node = tree.entry(path[..at].into()).or_insert(DiskNode::Directory { modified });
        if let DiskNode::File { .. } = node {
            return Err(not_a_directory(&path[..at]));
        }
    }
    Ok(())
}
