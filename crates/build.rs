//! Names the sources of the library that a program is built with. Both programs have this script: `signet` compares its
//! own with those of the app beside it, which may have been built long before.

#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};

/// The files of the library, from the repository's root.
const LIBRARY: [&str; 4] = ["src", "shaders", "build.rs", "Cargo.lock"];

fn main() {
    let root = Path::new("../..");
    let mut files = Vec::new();
    for name in LIBRARY {
        println!("cargo:rerun-if-changed={}", root.join(name).display());
        list(&root.join(name), &mut files);
    }
    files.sort();
    // FNV-1a: any change changes it, and nobody forges it.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let content = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for byte in content.into_iter().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    println!("cargo:rustc-env=SIGNET_SOURCES={hash:016x}");
}

/// Adds a file, or all files below a folder; hidden ones are an editor's.
fn list(path: &Path, files: &mut Vec<PathBuf>) {
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return files.push(path.into()) };
    entries.filter_map(Result::ok).for_each(|entry| list(&entry.path(), files));
}
