//! The seeds of the fuzz targets as ordinary tests: each seed, its prefixes, and thousands of deterministic mutations.
//! `docs/fuzzing.md` describes how to run the targets themselves.

#[path = "../fuzz/allocator.rs"]
pub(crate) mod allocator;
#[path = "../fuzz/readers.rs"]
mod readers;

use crate::shared::root;
use readers::{READERS, check};
use signet::rng::Key;
use std::collections::BTreeMap;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Mutations of all seeds of a reader together.
const CHANGES: u64 = 3000;

/// The seeds of a reader by name.
fn seeds(reader: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = root().join("fuzz/seeds").join(reader);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let seeds: BTreeMap<String, Vec<u8>> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
        })
        .collect();
    assert!(!seeds.is_empty() && seeds.values().all(|seed| seed.len() < 10 << 10), "{reader}: there are seeds, and each is small");
    seeds
}

/// Reads an input, and names it if it fails.
fn read(reader: &str, what: &str, bytes: &[u8]) {
    let done = std::panic::catch_unwind(|| check(reader, bytes));
    assert!(done.is_ok(), "{reader}, {what}: failed on {:?}", String::from_utf8_lossy(bytes));
}

/// Mutates a seed: replaces bytes, makes lengths and numbers extreme, duplicates or removes parts, or replaces the end by
/// that of another seed.
fn changed(seed: &[u8], other: &[u8], key: Key) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let mut drawn = 0;
    let mut draw = |below: usize| {
        drawn += 1;
        (key.bits(drawn) % below.max(1) as u64) as usize
    };
    for _ in 0..1 + draw(4) {
        let at = draw(bytes.len());
        let end = (at + 1 + draw(16)).min(bytes.len());
        match draw(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw(8),
            1 if at < bytes.len() => bytes[at] = draw(256) as u8,
            2 => bytes[at..end].fill([0, 0xff, 0x7f, 0x80][draw(4)]),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].repeat(1 + draw(40));
                bytes.splice(at..at, part);
            }
            5 => {
                let words: [&[u8]; 9] = [b"-1", b"0", b"1e999", b"18446744073709551616", b"null", b"[]", b"{}", b"\"\"", b"NaN"];
                bytes.splice(at..end, words[draw(9)].to_vec());
            }
            6 => {
                let from = draw(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let to = draw(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

#[test]
fn every_seed_is_read_whole_truncated_and_mutated() {
    for reader in READERS {
        let seeds = seeds(reader.name);
        for (name, seed) in &seeds {
            read(reader.name, name, seed);
            // Prefixes of a long seed are tried at every third byte.
            let step = if seed.len() > 2000 { 3 } else { 1 };
            (0..seed.len()).step_by(step).for_each(|length| read(reader.name, name, &seed[..length]));
        }
        let list: Vec<&Vec<u8>> = seeds.values().collect();
        for n in 0..CHANGES {
            let key = Key::new(n, reader.name);
            let [seed, other] = [0, 1].map(|which| list[(key.bits(which) >> 8) as usize % list.len()]);
            read(reader.name, &format!("change {n}"), &changed(seed, other, key.child(2)));
        }
    }
}

#[test]
fn every_reader_has_a_fuzz_target() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for reader in READERS {
        assert!(manifest.contains(&format!("fuzz_targets/{}.rs", reader.name)), "{}", reader.name);
    }
    assert_eq!(manifest.matches("[[bin]]").count(), READERS.len());
}

#[test]
fn the_peak_of_held_memory_is_measured() {
    let most = allocator::most(|| {
        drop(std::hint::black_box(vec![0u8; 3 << 20]));
        drop(std::hint::black_box(vec![0u8; 2 << 20]));
    });
    assert!((3 << 20..(3 << 20) + 4096).contains(&most), "{most}");
}
