//! Killed and concurrent writers, difficult names, and removed directories.

use super::super::scratch::scratch;
use super::super::{Commit, stream_atomic, write_atomic};
use super::*;
use std::io::Write;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Commits a directory of two files with the same text.
fn commit(path: &Path, text: &str) -> io::Result<()> {
    let mut commit = Commit::begin(path)?;
    for name in ["a", "b"] {
        let mut part = commit.part(name)?;
        part.write_all(text.as_bytes())?;
        part.end()?;
    }
    commit.finish()
}

#[test]
fn concurrent_writers_leave_a_complete_output() {
    let dir = scratch("temporary-writers");
    let (file, folder) = (dir.join("file"), dir.join("folder"));
    let texts = ["one", "two", "three", "four"];
    std::thread::scope(|scope| {
        for text in texts {
            let (file, folder) = (&file, &folder);
            scope.spawn(move || {
                for _ in 0..20 {
                    stream_atomic(file, &mut |out| text.split("").try_for_each(|letter| out.write_all(letter.as_bytes()))).unwrap();
                    commit(folder, text).unwrap();
                    assert!(texts.contains(&&*fs::read_to_string(file).unwrap()));
                }
            });
        }
    });
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(texts.contains(&&*read("a")) && read("a") == read("b"));
    assert_eq!(names(&dir), ["file", "folder"]);
    remove_dir(&dir).unwrap();
}

#[test]
fn the_longest_names_can_be_written() {
    let dir = scratch("temporary-names");
    let path = dir.join("n".repeat(255));
    write_atomic(&path, b"text").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"text");
    commit(&dir.join("d".repeat(255)), "text").unwrap();
    commit(&dir.join("d".repeat(255)), "again").unwrap();
    assert_eq!(names(&dir).len(), 2);
    remove_dir(&dir).unwrap();
}

#[test]
fn a_file_is_read_while_its_writer_has_it_open() {
    let dir = scratch("temporary-open");
    let temporary = TemporaryFile::beside(&dir.join("file")).unwrap();
    temporary.file().write_all(b"text").unwrap();
    remove_leftovers(&dir);
    assert_eq!(fs::read(&temporary.path).unwrap(), b"text");
    let path = dir.join("file");
    fs::rename(&temporary.path, &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"text");
    drop(temporary);
    assert_eq!(names(&dir), ["file"]);
    remove_dir(&dir).unwrap();
}

#[test]
fn leftovers_of_killed_writers_are_removed_and_live_ones_kept() {
    let dir = scratch("temporary-leftovers");
    let live = (TemporaryFile::beside(&dir.join("live")).unwrap(), TemporaryDir::beside(&dir.join("live")).unwrap());
    let kept = names(&dir);
    for dead in [".signet-00000000000000aa.part", ".signet-00000000000000bb.part/lock", ".signet-00000000000000cc.part/new/half"] {
        fs::create_dir_all(dir.join(dead).parent().unwrap()).unwrap();
        fs::write(dir.join(dead), "half").unwrap();
    }
    fs::create_dir(dir.join(".signet-00000000000000dd.part")).unwrap();
    for other in [".signet-notes.part", ".other.part", "signet.part"] {
        fs::write(dir.join(other), "another program's").unwrap();
    }
    write_atomic(&dir.join("whole"), b"text").unwrap();
    let expected: Vec<String> = kept.into_iter().chain([".other.part", ".signet-notes.part", "signet.part", "whole"].map(String::from)).collect();
    assert_eq!(names(&dir), {
        let mut expected = expected;
        expected.sort();
        expected
    });
    drop(live);
    assert_eq!(names(&dir), [".other.part", ".signet-notes.part", "signet.part", "whole"]);
    remove_dir(&dir).unwrap();
}

#[test]
fn a_directory_that_was_being_replaced_is_restored() {
    let dir = scratch("temporary-replace");
    let at = dir.join("state");
    commit(&at, "old").unwrap();
    let mut killed = TemporaryDir::beside(&at).unwrap();
    killed.set_aside(&at).unwrap();
    killed.lock = None;
    std::mem::forget(killed);
    assert!(!at.exists());
    remove_leftovers(&dir);
    assert_eq!((fs::read_to_string(at.join("a")).unwrap(), names(&dir)), ("old".into(), vec!["state".to_string()]));
    commit(&at, "new").unwrap();
    assert_eq!((fs::read_to_string(at.join("a")).unwrap(), names(&dir)), ("new".into(), vec!["state".to_string()]));
    remove_dir(&dir).unwrap();
}

#[test]
fn a_new_directory_does_not_replace_another() {
    let dir = scratch("temporary-new");
    let at = dir.join("export");
    let (first, second) = (Commit::begin(&at).unwrap(), Commit::begin(&at).unwrap());
    first.finish_new().unwrap();
    assert_eq!(second.finish_new().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(names(&dir), ["export"]);
    remove_dir(&dir).unwrap();
}

#[test]
fn only_files_are_replaced() {
    let dir = scratch("temporary-kind");
    fs::create_dir(dir.join("directory")).unwrap();
    assert!(write_atomic(&dir.join("directory"), b"").is_err());
    assert!(!cfg!(unix) || write_atomic(Path::new("/dev/null"), b"").is_err());
    assert_eq!(names(&dir), ["directory"]);
    remove_dir(&dir).unwrap();
}

#[test]
fn discarding_a_missing_directory_succeeds() {
    let dir = scratch("temporary-discard");
    let at = dir.join("state");
    commit(&at, "old").unwrap();
    commit(&dir.join("other"), "old").unwrap();
    for _ in 0..2 {
        discard_dir(&at).unwrap();
        assert_eq!(names(&dir), ["other"]);
    }
    remove_dir(&dir).unwrap();
}

/// Linux reports the last path of an open directory, also after its removal.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_is_removed_under_a_temporary_name() {
    use std::os::fd::AsRawFd;
    let dir = scratch("temporary-discard-name");
    let at = dir.join("state");
    commit(&at, "old").unwrap();
    let open = File::open(&at).unwrap();
    discard_dir(&at).unwrap();
    let last = fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd())).unwrap();
    let temporary = last.ancestors().nth(2).and_then(Path::file_name);
    assert!(last.ends_with("new/removed (deleted)") && temporary.is_some_and(is_temporary), "{}", last.display());
    remove_dir(&dir).unwrap();
}

#[test]
fn a_removal_that_was_killed_is_finished_later() {
    let dir = scratch("temporary-discard-killed");
    let at = dir.join("state");
    commit(&at, "old").unwrap();
    let mut killed = TemporaryDir::beside(&at).unwrap();
    fs::rename(&at, killed.new_dir().join("removed")).unwrap();
    killed.lock = None;
    std::mem::forget(killed);
    remove_leftovers(&dir);
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));
    remove_dir(&dir).unwrap();
}

/// A path has at most 4095 bytes on Linux, and a temporary name has 29.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_whose_temporary_name_is_too_long_is_removed_in_place() {
    let dir = scratch("temporary-discard-room");
    let mut deep = dir.clone();
    while deep.as_os_str().len() < 4066 {
        deep.push("d".repeat(if deep.as_os_str().len() < 3800 { 200 } else { 20 }));
    }
    let at = deep.join("x");
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("a"), "old").unwrap();
    assert!(TemporaryDir::beside(&at).is_err());
    discard_dir(&at).unwrap();
    assert!(names(&deep).is_empty(), "{:?}", names(&deep));
    remove_dir(&dir).unwrap();
}
