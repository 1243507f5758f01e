//! A disk on stores that become full, or whose program is killed, at any moment.

use super::*;
use std::cell::{Cell, RefCell};
use std::io::Write;

/// A store that survives the program, which is killed after a number of bytes and calls.
#[derive(Clone, Default)]
struct Platter {
    bytes: Rc<RefCell<Vec<u8>>>,
    left: Rc<Cell<usize>>,
}

impl Platter {
    fn spend(&self, want: usize) -> usize {
        let given = want.min(self.left.get());
        self.left.set(self.left.get() - given);
        given
    }

    fn dead<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, "full"))
    }
}

impl ByteStore for Platter {
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes.borrow();
        let from = bytes.get(at as usize..).unwrap_or_default();
        // Fewer bytes than asked for, as browsers may return.
        let length = from.len().min(into.len()).min(1000);
        into[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn write(&self, at: u64, from: &[u8]) -> io::Result<()> {
        let given = self.spend(from.len() + 1).saturating_sub(1);
        let mut bytes = self.bytes.borrow_mut();
        let length = bytes.len().max(at as usize + given);
        bytes.resize(length, 0);
        bytes[at as usize..at as usize + given].copy_from_slice(&from[..given]);
        if given < from.len() { Self::dead() } else { Ok(()) }
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        if self.spend(1) == 0 {
            return Self::dead();
        }
        self.bytes.borrow_mut().resize(length as usize, 0);
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.borrow().len() as u64)
    }

    fn flush(&self) -> io::Result<()> {
        if self.spend(1) == 0 { Self::dead() } else { Ok(()) }
    }
}

/// The files of a browser.
struct Rack {
    files: Vec<Platter>,
    left: Rc<Cell<usize>>,
}

impl Rack {
    fn new(pool: usize) -> Self {
        let left = Rc::new(Cell::new(usize::MAX));
        let files = (0..pool + 2).map(|_| Platter { left: left.clone(), ..Platter::default() }).collect();
        Self { files, left }
    }

    fn mount(&self) -> Result<Disk, String> {
        let boxed = |n: usize| Box::new(self.files[n].clone()) as Box<dyn ByteStore>;
        Disk::mount([boxed(0), boxed(1)], (2..self.files.len()).map(|n| (n as u32, boxed(n))).collect(), || 1234)
    }
}

fn write(disk: &mut Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut draft = disk.draft()?;
    draft.write_all(bytes)?;
    disk.put(path, draft)
}

fn write_part(commit: &mut DiskCommit, disk: &mut Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut part = commit.part(disk, name)?;
    part.write_all(bytes)?;
    part.end()
}

fn text(disk: &Disk, path: &str) -> io::Result<String> {
    let bytes = disk.open(path)?.map_or(Ok(Vec::new()), |slot| read_part(&*slot.store, 0, u64::MAX))?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// Every file with its contents; directories end with a slash.
fn all(disk: &Disk) -> Vec<(String, String)> {
    let one = |path: &String| match disk.is(path, true) {
        true => (format!("{path}/"), String::new()),
        false => (path.clone(), text(disk, path).unwrap()),
    };
    disk.tree.keys().map(one).collect()
}

type Act = fn(&mut Disk) -> io::Result<()>;

/// The operations of a run on its directory.
const ACTS: [Act; 9] = [
    |disk| disk.make_dir("/runs/a/checkpoints"),
    |disk| write(disk, "/runs/a/run.toml", b"first"),
    |disk| {
        let mut commit = DiskCommit::begin("/runs/a/checkpoints/step-1".into());
        write_part(&mut commit, disk, "model", &[b'm'; 3000])?;
        write_part(&mut commit, disk, "empty", b"")?;
        write_part(&mut commit, disk, "state", b"state")?;
        commit.finish(disk)
    },
    |disk| write(disk, "/runs/a/run.toml", b"second, longer"),
    |disk| disk.lock("/runs/a/.lock").map(drop),
    |disk| {
        let mut commit = DiskCommit::begin("/runs/a/checkpoints/step-1".into());
        write_part(&mut commit, disk, "model", &[b'n'; 2000])?;
        commit.finish(disk)
    },
    |disk| disk.rename("/runs/a", "/runs/b"),
    |disk| disk.remove_dir("/runs/b/checkpoints"),
    |disk| write(disk, "/runs/b/run.toml", b""),
];

#[test]
fn operations_are_atomic_at_any_interruption() {
    let rack = Rack::new(6);
    let mut disk = rack.mount().unwrap();
    let mut states = vec![all(&disk)];
    for act in ACTS {
        act(&mut disk).unwrap();
        states.push(all(&disk));
    }
    drop(disk);
    let last = states.last().unwrap();
    assert_eq!(*last, all(&rack.mount().unwrap()));
    assert!(last.iter().any(|(path, text)| path == "/runs/b/run.toml" && text.is_empty()), "{last:?}");
    let parts = |state: &[(String, String)]| state.iter().filter(|(path, _)| path.contains("/step-1/") && !path.ends_with('/')).count();
    assert_eq!((parts(&states[5]), parts(&states[6]), parts(&states[7]), parts(&states[8])), (3, 1, 1, 0));

    let mut seen = vec![false; states.len()];
    for budget in (0..20_000).step_by(7) {
        let rack = Rack::new(6);
        let mut disk = rack.mount().unwrap();
        rack.left.set(budget);
        let done = ACTS.iter().take_while(|act| act(&mut disk).is_ok()).count();
        // After a failure, the disk still has its old state; and so does the next program.
        assert!(disk.lost.is_some() || all(&disk) == states[done], "budget {budget}");
        rack.left.set(usize::MAX);
        disk.empty_unused();
        drop(disk);
        let found = all(&rack.mount().unwrap());
        let at = states.iter().position(|state| *state == found).unwrap_or_else(|| panic!("budget {budget}: {found:?}"));
        // If the write cannot be undone, it may have taken effect although it failed.
        assert!(at == done || at == done + 1, "budget {budget}: {done} acts were done, and {at} are there");
        seen[at] = true;
    }
    assert!(seen.iter().all(|seen| *seen), "{seen:?}");
}

#[test]
fn stores_are_reused_but_not_while_they_are_read() {
    let rack = Rack::new(2);
    let mut disk = rack.mount().unwrap();
    disk.make_dir("/runs/a").unwrap();
    write(&mut disk, "/runs/a/x", b"old").unwrap();
    let reader = disk.open("/runs/a/x").unwrap().unwrap();
    write(&mut disk, "/runs/a/x", b"new").unwrap();
    assert_eq!(read_part(&*reader.store, 0, 100).unwrap(), b"old");
    assert_eq!(disk.free(), 0);
    let full = write(&mut disk, "/runs/a/x", b"newest").unwrap_err();
    assert!(full.kind() == io::ErrorKind::StorageFull && text(&disk, "/runs/a/x").unwrap() == "new", "{full}");
    drop(reader);
    disk.empty_unused();
    write(&mut disk, "/runs/a/x", b"newest").unwrap();
    assert_eq!((text(&disk, "/runs/a/x").unwrap().as_str(), disk.free()), ("newest", 1));
    // A dropped draft leaves nothing.
    disk.draft().unwrap().write_all(b"x").unwrap();
    disk.empty_unused();
    assert_eq!(disk.free(), 1);
    assert!(rack.files[2..].iter().any(|file| file.bytes.borrow().is_empty()));
    assert_eq!(disk.numbers(2), [0, 1]);
    assert!(disk.remove_large().is_empty());
    write(&mut disk, "/runs/a/x", &vec![1; 2 << 20]).unwrap();
    write(&mut disk, "/runs/a/x", b"little").unwrap();
    assert_eq!((disk.free(), disk.remove_large().len(), disk.free()), (1, 1, 0));
    disk.add(9, Box::new(Memory::default()));
    assert_eq!(disk.shrink(0).len(), 1);
    assert_eq!(disk.free(), 0);
}

#[test]
fn appending_to_full_storage_keeps_earlier_lines() {
    let rack = Rack::new(3);
    let mut disk = rack.mount().unwrap();
    disk.append("/runs/log", b"one\n").unwrap();
    disk.append("/runs/log", b"two\n").unwrap();
    // Space for a part of it, and for truncating it.
    rack.left.set(3);
    assert!(disk.append("/runs/log", b"three\n").is_err());
    rack.left.set(usize::MAX);
    assert!(["one\ntwo\n", "one\ntwo\nth"].contains(&text(&disk, "/runs/log").unwrap().as_str()));
    assert_eq!(disk.metadata("/runs/log").unwrap().modified, 1234);
    let mut draft = disk.draft().unwrap();
    draft.write_all(b"head").unwrap();
    draft.extend(3000).unwrap();
    disk.put("/cache/reserved", draft).unwrap();
    assert_eq!(disk.metadata("/cache/reserved").unwrap().bytes, 3000);
    assert!(text(&disk, "/cache/reserved").unwrap().starts_with("head\0\0"));
    drop(disk);
    assert!(text(&rack.mount().unwrap(), "/runs/log").unwrap().starts_with("one\ntwo\n"));
}

#[test]
fn invalid_operations_fail_as_on_a_desktop() {
    let mut disk = Disk::in_memory(|| 5);
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(write(&mut disk, "/runs/none/x", b"")), io::ErrorKind::NotFound);
    write(&mut disk, "/runs/file", b"abc").unwrap();
    assert_eq!(kind(disk.make_dir("/runs/file/x")), io::ErrorKind::NotADirectory);
    assert_eq!(kind(write(&mut disk, "/runs/file/x", b"")), io::ErrorKind::NotADirectory);
    assert_eq!(kind(disk.remove_dir("/runs/file")), io::ErrorKind::NotADirectory);
    assert_eq!(kind(write(&mut disk, "/runs", b"")), io::ErrorKind::NotFound);
    disk.make_dir("/runs/a/b").unwrap();
    disk.make_dir("/runs/a.c").unwrap();
    assert_eq!(kind(disk.rename("/runs/a", "/runs/a.c")), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.rename("/runs/a", "/runs/a/b/c")), io::ErrorKind::InvalidInput);
    disk.rename("/runs/a", "/cache/z").unwrap();
    assert_eq!(disk.list("/runs").unwrap(), ["a.c", "file"]);
    assert_eq!(disk.list("/cache").unwrap(), ["z"]);
    assert!(disk.lock("/runs/l").unwrap() && !disk.lock("/runs/l").unwrap() && disk.is_locked("/runs/l"));
    disk.unlock("/runs/l");
    assert!(!disk.is_locked("/runs/l"));
    disk.make_dir("/cache/export").unwrap();
    for (path, taken) in [("/cache/export", true), ("/cache/other", false)] {
        let made = DiskCommit::begin(path.into()).finish_new(&mut disk);
        assert_eq!(made.err().map(|error| error.kind()), taken.then_some(io::ErrorKind::AlreadyExists), "{path}");
    }
    disk.remove_dir("/cache").unwrap();
    assert!(disk.list("/cache").unwrap().is_empty());
    disk.disable("it was cleared".into());
    assert_eq!(write(&mut disk, "/runs/x", b"x").unwrap_err().to_string(), "it was cleared");
    assert_eq!(normal(Path::new("runs/./a/../b")).unwrap(), "/runs/b");
}

#[test]
fn removed_stores_are_reported_and_a_damaged_index_is_kept() {
    let mut rack = Rack::new(3);
    let mut disk = rack.mount().unwrap();
    write(&mut disk, "/runs/x", b"x").unwrap();
    write(&mut disk, "/runs/y", b"y").unwrap();
    let slot = disk.open("/runs/x").unwrap().unwrap().number as usize;
    drop(disk);
    // The others keep their numbers.
    let gone: Vec<Platter> = rack.files.drain(slot..).collect();
    assert!(slot == 2 && gone.len() == 3);
    let mut disk = rack.mount().unwrap();
    assert!(disk.open("/runs/x").unwrap().unwrap().store.bytes().unwrap_err().to_string().contains("removed"));
    disk.add(7, Box::new(gone[2].clone()));
    write(&mut disk, "/runs/x", b"again").unwrap();
    drop(disk);
    for head in &rack.files {
        head.bytes.borrow_mut()[40] ^= 1;
    }
    let before: Vec<Vec<u8>> = rack.files.iter().map(|file| file.bytes.borrow().clone()).collect();
    assert!(rack.mount().err().unwrap().contains("damaged"));
    assert!(rack.files.iter().zip(before).all(|(file, bytes)| *file.bytes.borrow() == bytes));
}
