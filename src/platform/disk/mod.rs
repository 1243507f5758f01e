//! Files in a browser, as a desktop has them: paths, directories, renames, commits. The bytes lie in
//! opaque stores that were opened beforehand, and an index says which path is in which store; so every
//! operation is one write of the index, which either lasts or never was. Nothing here names a browser.

pub(crate) mod draft;
mod index;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use draft::{Commit, Draft};
pub(crate) use store::{Memory, Slot, Store, read_part};

use index::{Bad, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::rc::Rc;

/// What a path is. A file's slot is none while it is empty.
#[derive(Clone)]
enum Node {
    Directory { modified: u64 },
    File { slot: Option<Rc<Slot>>, modified: u64 },
}

impl Node {
    fn modified(&self) -> u64 {
        match self {
            Node::Directory { modified } | Node::File { modified, .. } => *modified,
        }
    }
}

type Tree = BTreeMap<String, Node>;

/// A file's length, when it was written, or that it is a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) directory: bool,
    pub(crate) bytes: u64,
    /// Milliseconds since 1970.
    pub(crate) modified: u64,
}

/// Stores and their index.
pub(crate) struct Disk {
    tree: Tree,
    sequence: u64,
    heads: [Box<dyn Store>; 2],
    slots: BTreeMap<u32, Rc<Slot>>,
    locks: BTreeSet<String>,
    /// Whether stores are memory, of which there are always more.
    in_memory: bool,
    /// Milliseconds since 1970.
    now: fn() -> u64,
    /// Why nothing can be kept any more.
    lost: Option<String>,
}

/// The room that is reserved for an index, in bytes, so that deleting works where storage is full.
const INDEX: u64 = 64 << 10;
/// More than this in a store, and it is closed when it is emptied, in bytes.
const MUCH: u64 = 1 << 20;
/// What is always there.
const ROOTS: [&str; 2] = ["/runs", "/cache"];

impl Disk {
    /// A disk in memory.
    pub(crate) fn in_memory(now: fn() -> u64) -> Self {
        let head = || Box::new(Memory::default()) as Box<dyn Store>;
        let disk = Self::mount([head(), head()], Vec::new(), now).expect("memory can be written");
        Self { in_memory: true, ..disk }
    }

    /// A disk of these stores: two for the index, and a pool. An error says why it cannot be used, and
    /// nothing was changed then.
    pub(crate) fn mount(heads: [Box<dyn Store>; 2], pool: Vec<(u32, Box<dyn Store>)>, now: fn() -> u64) -> Result<Self, String> {
        let read = |head: &dyn Store| read_part(head, 0, u64::MAX).map_err(|error| format!("its index cannot be read: {error}"));
        let found = index::latest(&read(&*heads[0])?, &read(&*heads[1])?).map_err(|bad| match bad {
            Bad::Newer => "it was written by a newer Signet: reload the page, so that the browser takes the newer one".to_string(),
            _ => "its index is damaged. Clear this site's data to begin anew: what is kept there is lost then".to_string(),
        })?;
        let mut slots: BTreeMap<u32, Rc<Slot>> = pool.into_iter().map(|(number, store)| (number, Rc::new(Slot::new(number, store)))).collect();
        let new = found.is_none();
        let (sequence, entries) = found.unwrap_or_default();
        let mut tree = Tree::new();
        for entry in entries {
            let mut slot = |number: u32| slots.entry(number).or_insert_with(|| Rc::new(Slot::new(number, Box::new(store::Gone)))).clone();
            let node = match entry.kind {
                Kind::Directory => Node::Directory { modified: entry.modified },
                Kind::File(number) => Node::File { slot: number.map(&mut slot), modified: entry.modified },
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
        disk.sweep();
        Ok(disk)
    }

    /// Makes a change of the tree that lasts, or none.
    fn change(&mut self, edit: impl FnOnce(&mut Tree, u64) -> io::Result<()>) -> io::Result<()> {
        self.check()?;
        let mut next = self.tree.clone();
        edit(&mut next, (self.now)())?;
        self.save(&next)?;
        self.tree = next;
        self.sweep();
        Ok(())
    }

    /// Writes the index over the one before the last: the last stays whole.
    fn save(&mut self, tree: &Tree) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let bytes = index::encode(
            sequence,
            tree.iter().map(|(path, node)| match node {
                Node::Directory { modified } => (path.as_str(), Kind::Directory, *modified),
                Node::File { slot, modified } => (path.as_str(), Kind::File(slot.as_ref().map(|slot| slot.number)), *modified),
            }),
        );
        let head = &self.heads[(sequence % 2) as usize];
        if let Err(error) = head.write(0, &bytes).and_then(|()| head.flush()) {
            // It may be whole all the same, and must not come back: its stores are used for something else.
            if head.write(0, &[0; 8]).and_then(|()| head.flush()).is_err() {
                self.lose(format!("the browser's private storage cannot be written any more ({error}); reload the page"));
            }
            return Err(error);
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Gives back the room of stores that nobody uses any more.
    pub(crate) fn sweep(&mut self) {
        if self.lost.is_some() {
            return;
        }
        for slot in self.slots.values().filter(|slot| Rc::strong_count(slot) == 1 && !slot.clean.get()) {
            slot.worn.set(slot.worn.get() || slot.store.bytes().is_ok_and(|bytes| bytes > MUCH));
            // What cannot be emptied now is emptied before it is used again.
            slot.clean.set(slot.store.resize(0).is_ok());
        }
    }

    fn is_free(slot: &Rc<Slot>) -> bool {
        Rc::strong_count(slot) == 1 && slot.clean.get()
    }

    /// Stores that wait to be used.
    pub(crate) fn free(&self) -> usize {
        self.slots.values().filter(|slot| Self::is_free(slot)).count()
    }

    /// Adds a store to the pool.
    pub(crate) fn add(&mut self, number: u32, store: Box<dyn Store>) {
        self.slots.entry(number).or_insert_with(|| Rc::new(Slot::new(number, store)));
        self.sweep();
    }

    /// The least numbers that no store has.
    pub(crate) fn numbers(&self, count: usize) -> Vec<u32> {
        (0..).filter(|number| !self.slots.contains_key(number)).take(count).collect()
    }

    /// Takes stores that wait out of the pool until only `keep` wait: their numbers.
    pub(crate) fn shrink(&mut self, keep: usize) -> Vec<u32> {
        let free: Vec<u32> = self.slots.values().filter(|slot| Self::is_free(slot)).map(|slot| slot.number).collect();
        let gone = free.get(keep..).unwrap_or_default().to_vec();
        gone.iter().for_each(|number| drop(self.slots.remove(number)));
        gone
    }

    /// Takes stores that wait and had much in them out of the pool, so that they are closed: their numbers.
    pub(crate) fn shed(&mut self) -> Vec<u32> {
        let worn: Vec<u32> = self.slots.values().filter(|slot| Self::is_free(slot) && slot.worn.get()).map(|slot| slot.number).collect();
        worn.iter().for_each(|number| drop(self.slots.remove(number)));
        worn
    }

    /// Says that nothing can be kept any more, and why.
    pub(crate) fn lose(&mut self, why: String) {
        self.lost = Some(why);
    }

    fn check(&self) -> io::Result<()> {
        match &self.lost {
            Some(why) => Err(io::Error::other(why.clone())),
            None => Ok(()),
        }
    }

    /// A store to write to.
    fn take(&mut self) -> io::Result<Rc<Slot>> {
        self.check()?;
        if let Some(slot) = self.slots.values().find(|slot| Self::is_free(slot)) {
            slot.clean.set(false);
            return Ok(slot.clone());
        }
        if !self.in_memory {
            let problem = "the files prepared in the browser's private storage are used up; try again in a moment";
            return Err(io::Error::new(io::ErrorKind::StorageFull, problem));
        }
        let number = self.numbers(1)[0];
        let slot = Rc::new(Slot::new(number, Box::new(Memory::default())));
        self.slots.insert(number, slot.clone());
        Ok(slot)
    }

    /// A file that is written and has no name yet.
    pub(crate) fn draft(&mut self) -> io::Result<Draft> {
        Ok(Draft::new(self.take()?))
    }

    /// What is at a path.
    pub(crate) fn about(&self, path: &str) -> io::Result<About> {
        self.check()?;
        let node = self.tree.get(path).ok_or_else(|| missing(path))?;
        let bytes = if let Node::File { slot: Some(slot), .. } = node { slot.store.bytes()? } else { 0 };
        Ok(About { directory: matches!(node, Node::Directory { .. }), bytes, modified: node.modified() })
    }

    /// Whether there is a file (`false`) or a directory (`true`).
    pub(crate) fn is(&self, path: &str, directory: bool) -> bool {
        self.tree.get(path).is_some_and(|node| matches!(node, Node::Directory { .. }) == directory)
    }

    /// A file's store, unless it is empty. It stays what it is while the clone is kept, even if the path
    /// is written anew.
    pub(crate) fn open(&self, path: &str) -> io::Result<Option<Rc<Slot>>> {
        self.check()?;
        match self.tree.get(path) {
            Some(Node::File { slot, .. }) => Ok(slot.clone()),
            Some(Node::Directory { .. }) => Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a directory")),
            None => Err(missing(path)),
        }
    }

    /// Names of what is in a directory.
    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.check()?;
        match self.tree.get(path) {
            Some(Node::Directory { .. }) => Ok(inside(&self.tree, path).filter(|name| !name.contains('/')).map(String::from).collect()),
            Some(_) => Err(not_a_directory(path)),
            None => Err(missing(path)),
        }
    }

    /// Makes a directory, and those it is in.
    pub(crate) fn make_dir(&mut self, path: &str) -> io::Result<()> {
        if self.is(path, true) { Ok(()) } else { self.change(|tree, now| make_dirs(tree, path, now)) }
    }

    /// Removes a directory with all it holds, if it is there.
    pub(crate) fn remove_dir(&mut self, path: &str) -> io::Result<()> {
        match self.tree.get(path) {
            None => self.check(),
            Some(Node::File { .. }) => Err(not_a_directory(path)),
            Some(Node::Directory { .. }) if ROOTS.contains(&path) => self.change(|tree, _| {
                remove(tree, path);
                tree.insert(path.into(), Node::Directory { modified: 0 });
                Ok(())
            }),
            Some(Node::Directory { .. }) => self.change(|tree, _| {
                remove(tree, path);
                Ok(())
            }),
        }
    }

    /// Gives a directory another name, where there is nothing of that name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        if self.tree.contains_key(to) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something of this name already"));
        }
        if to.starts_with(&format!("{from}/")) || ROOTS.contains(&from) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this directory cannot be moved there"));
        }
        self.change(|tree, _| {
            let moved: Vec<String> = inside(tree, from).map(String::from).collect();
            let top = tree.remove(from).ok_or_else(|| missing(from))?;
            housed(tree, to)?;
            tree.insert(to.into(), top);
            for name in moved {
                let node = tree.remove(&format!("{from}/{name}")).expect("listed");
                tree.insert(format!("{to}/{name}"), node);
            }
            Ok(())
        })
    }

    /// Puts a finished draft at a path, in place of the file that was there.
    pub(crate) fn put(&mut self, path: &str, draft: Draft) -> io::Result<()> {
        let slot = draft.finish()?;
        self.change(|tree, modified| {
            housed(tree, path)?;
            if let Some(Node::Directory { .. }) = tree.get(path) {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "there is a directory of this name"));
            }
            tree.insert(path.into(), Node::File { slot, modified });
            Ok(())
        })
    }

    /// Puts finished parts into a directory, in place of all that was there.
    fn put_all(&mut self, path: &str, parts: Vec<(String, Option<Rc<Slot>>)>) -> io::Result<()> {
        self.change(|tree, modified| {
            remove(tree, path);
            make_dirs(tree, path, modified)?;
            tree.extend(parts.into_iter().map(|(name, slot)| (format!("{path}/{name}"), Node::File { slot, modified })));
            Ok(())
        })
    }

    /// Adds to the end of a file; makes it if it is not there. Like a desktop's, what was added is not
    /// waited for.
    pub(crate) fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        let now = (self.now)();
        if let Some(Node::File { slot: Some(slot), modified }) = self.tree.get_mut(path) {
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

    /// Takes a lock, whose file is made; `false` if it is held.
    pub(crate) fn lock(&mut self, path: &str) -> io::Result<bool> {
        if !self.tree.contains_key(path) {
            self.change(|tree, modified| {
                housed(tree, path)?;
                tree.insert(path.into(), Node::File { slot: None, modified });
                Ok(())
            })?;
        }
        Ok(self.locks.insert(path.into()))
    }

    /// Whether a lock is held.
    pub(crate) fn is_locked(&self, path: &str) -> bool {
        self.locks.contains(path)
    }

    /// Lets a lock go.
    pub(crate) fn unlock(&mut self, path: &str) {
        self.locks.remove(path);
    }
}

/// A path as a disk keeps it, `/a/b`; one that is no text is refused.
pub(crate) fn normal(path: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                names.push(name.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path that is no UTF-8 text"))?);
            }
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let path = format!("/{}", names.join("/"));
    if path.len() > index::PATH { Err(io::Error::new(io::ErrorKind::InvalidFilename, "a path that is too long")) } else { Ok(path) }
}

fn missing(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {path} in the browser's private storage"))
}

fn not_a_directory(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, format!("{path} is no directory"))
}

/// Paths below a directory, from there.
fn inside<'a>(tree: &'a Tree, path: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let prefix = format!("{path}/");
    tree.range(prefix.clone()..).map_while(move |(path, _)| path.strip_prefix(&prefix))
}

fn remove(tree: &mut Tree, path: &str) {
    let below: Vec<String> = inside(tree, path).map(|name| format!("{path}/{name}")).collect();
    below.iter().for_each(|path| drop(tree.remove(path)));
    tree.remove(path);
}

/// Refuses a path whose directory is not there.
fn housed(tree: &Tree, path: &str) -> io::Result<()> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    match tree.get(parent) {
        Some(Node::Directory { .. }) => Ok(()),
        Some(_) => Err(not_a_directory(parent)),
        None => Err(missing(parent)),
    }
}

fn make_dirs(tree: &mut Tree, path: &str, modified: u64) -> io::Result<()> {
    for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
        let node = tree.entry(path[..at].into()).or_insert(Node::Directory { modified });
        if let Node::File { .. } = node {
            return Err(not_a_directory(&path[..at]));
        }
    }
    Ok(())
}
