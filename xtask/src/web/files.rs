//! Size, hash and compressed size of each file of the page, and `files.json`, the list that the page and its
//! service worker read.

use base64::Engine;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

/// Maximum size of the code in bytes, compressed with Brotli, which all browsers support.
pub(crate) const BUDGET: usize = 4_000_000;
/// Folder of models and texts, which do not count as code.
const ASSETS: &str = "assets/";
/// Assets that the chat needs, cached from the start; others are cached on first use.
const AT_ONCE: [&str; 2] = ["assets/student.signet", "assets/tokenizer.json"];
/// Files that the service worker does not cache: itself, and the list.
const UNLISTED: &str = "sw.js";
const LIST: &str = "files.json";

/// One file.
pub(crate) struct File {
    /// Relative path, with slashes.
    name: String,
    bytes: usize,
    /// Compressed sizes in bytes.
    gzip: usize,
    brotli: usize,
    /// SHA-256 in the format of the `integrity` attribute.
    hash: String,
}

impl File {
    /// Returns true if the file counts toward the budget.
    fn code(&self) -> bool {
        !self.name.starts_with(ASSETS)
    }
}

/// Reads the page's files in `folder`, sorted by name.
pub(crate) fn read(folder: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    files.retain(|file| file.name != LIST);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn collect(folder: &Path, below: &str, files: &mut Vec<File>) -> Result<(), String> {
    let describe = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(describe)? {
        let entry = entry.map_err(describe)?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
            continue;
        }
        let content = std::fs::read(entry.path()).map_err(|error| format!("{}: {error}", entry.path().display()))?;
        let code = !name.starts_with(ASSETS);
        let (gzip, brotli) = if code { (gzip(&content), brotli(&content)) } else { (0, 0) };
        let hash = format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&content)));
        files.push(File { name, bytes: content.len(), gzip, brotli, hash });
    }
    Ok(())
}

/// Size after gzip at the best level, which all hosts support.
fn gzip(content: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).and_then(|()| encoder.finish()).map_or(content.len(), |packed| packed.len())
}

/// Size after Brotli at level 9, which many hosts support.
fn brotli(content: &[u8]) -> usize {
    let mut packed = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &*content, &mut packed, &parameters).map_or(content.len(), |_| packed.len())
}

/// A hash of all files, as the version's name.
pub(crate) fn version(files: &[File]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(format!("{} {}\n", file.name, file.hash));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the content of `files.json`.
pub(crate) fn list(files: &[File], version: &str) -> String {
    let listed = files.iter().filter(|file| file.name != UNLISTED);
    let entries: Vec<_> = listed
        .map(|file| json!({ "name": file.name, "bytes": file.bytes, "integrity": file.hash, "at_once": file.code() || AT_ONCE.contains(&&*file.name) }))
        .collect();
    serde_json::to_string_pretty(&json!({ "version": version, "files": entries })).expect("plain values")
}

/// Prints all sizes; fails if the code is over the budget.
pub(crate) fn weigh(files: &[File]) -> Result<String, String> {
    println!("{:<24} {:>12} {:>12} {:>12}", "file", "bytes", "gzip", "brotli");
    for file in files {
        match file.code() {
            true => println!("{:<24} {:>12} {:>12} {:>12}", file.name, file.bytes, file.gzip, file.brotli),
            false => println!("{:<24} {:>12}", file.name, file.bytes),
        }
    }
    let sum = |of: fn(&File) -> usize| files.iter().filter(|file| file.code()).map(of).sum::<usize>();
    let (bytes, gzip, brotli) = (sum(|file| file.bytes), sum(|file| file.gzip), sum(|file| file.brotli));
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let line = format!("code: {:.2} MB, {:.2} MB with gzip, {:.2} MB with Brotli", megabytes(bytes), megabytes(gzip), megabytes(brotli));
    match brotli <= BUDGET {
        true => Ok(line),
        false => Err(format!("{line}: over the budget of {:.1} MB with Brotli", megabytes(BUDGET))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, gzip: usize, hash: &str) -> File {
        File { name: name.into(), bytes: 2 * gzip, gzip, brotli: gzip, hash: hash.into() }
    }

    #[test]
    fn code_over_the_budget_is_refused_and_models_do_not_count() {
        weigh(&[file("signet_bg.wasm", BUDGET, ""), file("assets/teacher.signet", BUDGET, "")]).unwrap();
        let error = weigh(&[file("signet_bg.wasm", BUDGET, ""), file("signet.js", 1, "")]).unwrap_err();
        assert!(error.contains("over the budget"), "{error}");
    }

    #[test]
    fn any_change_changes_the_version() {
        let versions = ["a", "b"].map(|hash| version(&[file("page.js", 1, hash)]));
        assert_ne!(versions[0], versions[1]);
        assert_ne!(versions[0], version(&[file("pages.js", 1, "a")]));
        assert_eq!(versions[0].len(), 16);
    }

    #[test]
    fn the_file_list_marks_files_that_are_cached_at_once() {
        let list = list(&["assets/student.signet", "assets/teacher.signet", "page.js", "sw.js"].map(|name| file(name, 1, "sha256-x")), "v");
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let files: Vec<_> = list["files"].as_array().unwrap().iter().map(|file| (file["name"].as_str().unwrap(), file["at_once"].as_bool().unwrap())).collect();
        assert_eq!(files, [("assets/student.signet", true), ("assets/teacher.signet", false), ("page.js", true)]);
    }
}
