//! The repository's texts as the rules read them: Rust without comments, strings and tests, the
//! strings apart, and the paths that it names.

use crate::shared::root;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// Folders that are read; besides these, the files at the root.
const FOLDERS: [&str; 10] = ["src", "crates", "shaders", "tests", "fuzz", "xtask", "docs", "web", ".ci", ".github"];
/// Reference figures and what a build left.
const SKIPPED: [&str; 5] = ["golden", "dist", "dist.part", "target", "node_modules"];
const KINDS: [&str; 8] = ["rs", "wgsl", "toml", "md", "yml", "js", "html", "css"];

/// Texts by path from the root, with `/` between folders.
pub(super) type Tree = BTreeMap<String, String>;

/// The repository.
pub(super) fn tree() -> Tree {
    let root = root();
    let mut tree = Tree::new();
    read(root, root, false, &mut tree);
    for folder in FOLDERS.map(|name| root.join(name)).iter().filter(|folder| folder.exists()) {
        read(root, folder, true, &mut tree);
    }
    tree
}

fn read(root: &Path, folder: &Path, deep: bool, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if deep && !SKIPPED.contains(&name.as_str()) {
                read(root, &path, true, tree);
            }
        } else if KINDS.contains(&path.extension().unwrap_or_default().to_string_lossy().as_ref()) || path.ends_with(".ci/run") {
            let parts = path.strip_prefix(root).expect("in the repository").iter().map(|part| part.to_string_lossy());
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            tree.insert(parts.collect::<Vec<_>>().join("/"), text);
        }
    }
}

/// A Rust file, as far as it is no test.
pub(super) struct Source {
    /// The text with comments, strings and tests as spaces; every byte stays where it was.
    pub(super) code: String,
    /// String literals, with their offsets.
    pub(super) strings: Vec<(usize, String)>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let is_test = path.starts_with("tests/") || path.ends_with("/tests.rs");
        let (mut code, mut strings) = lex(text);
        let tests = if is_test { std::iter::once(0..text.len()).collect() } else { test_items(&code) };
        strings.retain(|(offset, _)| !tests.iter().any(|test| test.contains(offset)));
        for test in tests {
            blank(&mut code, test);
        }
        Source { code: String::from_utf8(code).expect("whole characters were blanked"), strings }
    }

    /// The line of an offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.code.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// Returns the positions at which `word` stands alone, not as part of a longer name.
    pub(super) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let bytes = self.code.as_bytes();
        let edge = move |inside: u8, outside: Option<&u8>| !(name(Some(&inside)) && name(outside));
        let found = self.code.match_indices(word).map(|(at, _)| at);
        found.filter(move |&at| {
            let end = at + word.len();
            edge(bytes[at], at.checked_sub(1).map(|before| &bytes[before])) && edge(bytes[end - 1], bytes.get(end))
        })
    }

    /// The paths of a tree as after `use`, resolved from `module`; one that begins with a name below it is taken from there.
    pub(super) fn tree_of(&self, text: &str, module: &[String]) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        Paths { rest: text, at: 0, found: &mut found }.tree(module.to_vec());
        found.into_iter().map(|(_, path)| path).collect()
    }

    /// Every path of this crate that is named, resolved from `module`, with its offset.
    pub(super) fn paths(&self, module: &[String]) -> Vec<(usize, Vec<String>)> {
        ["crate", "super", "self"].iter().flat_map(|root| self.rooted(root, module)).collect()
    }

    /// Every path that begins with `root`, a keyword or a crate; without the crate's name.
    pub(super) fn rooted(&self, root: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        for at in self.words(root) {
            // Not within a path that was found at its beginning.
            if !self.code[..at].trim_end().ends_with("::") && self.code[at + root.len()..].trim_start().starts_with("::") {
                Paths { rest: &self.code[at..], at, found: &mut found }.tree(module.to_vec());
            }
        }
        let named = |path: &mut Vec<String>| drop((path.first().is_some_and(|first| first == root)).then(|| path.remove(0)));
        found.iter_mut().for_each(|(_, path)| named(path));
        found
    }
}

/// Reads one path, or a tree of them as after `use`.
struct Paths<'a> {
    rest: &'a str,
    at: usize,
    found: &'a mut Vec<(usize, Vec<String>)>,
}

impl Paths<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        let eaten = rest.strip_prefix(token);
        self.rest = eaten.unwrap_or(rest);
        eaten.is_some()
    }

    fn tree(&mut self, mut path: Vec<String>) {
        loop {
            if self.eat("{") {
                while !self.eat("}") && !self.rest.is_empty() {
                    self.tree(path.clone());
                    self.eat(",");
                }
                return;
            }
            let end = self.rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            match name {
                "crate" => path.clear(),
                "super" => drop(path.pop()),
                "self" => {}
                "" => self.rest = &self.rest[self.rest.chars().next().map_or(0, char::len_utf8)..],
                _ => path.push(name.into()),
            }
            if name.is_empty() || !self.eat("::") {
                if self.eat("as ") {
                    self.rest = self.rest.trim_start_matches(|c: char| c == '_' || c.is_alphanumeric());
                }
                return self.found.push((self.at, path));
            }
            self.rest = self.rest.trim_start();
        }
    }
}

fn blank(code: &mut [u8], range: Range<usize>) {
    code[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// The code, and the strings in it.
fn lex(text: &str) -> (Vec<u8>, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let (mut code, mut strings) = (bytes.to_vec(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(open) = raw_string(rest).filter(|_| at == 0 || !bytes[at - 1].is_ascii_alphanumeric() && bytes[at - 1] != b'_') {
            let close = format!("\"{}", "#".repeat(open - 2));
            let end = rest[open..].find(&close).map_or(rest.len(), |end| open + end);
            strings.push((at, rest[open..end].to_owned()));
            at + (end + close.len()).min(rest.len())
        } else if let Some(body) = rest.strip_prefix('"') {
            let end = quoted(body, '"');
            strings.push((at, body[..end].to_owned()));
            at + end + 2
        } else if rest.starts_with("'\\") {
            at + 1 + quoted(&rest[1..], '\'') + 1
        } else if rest.starts_with('\'') && rest.chars().nth(2) == Some('\'') {
            at + rest.char_indices().nth(3).map_or(rest.len(), |(end, _)| end)
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let end = end.min(bytes.len());
        blank(&mut code, at..end);
        at = end;
    }
    (code, strings)
}

/// Bytes of a raw string's opening: `r##"` has 4.
fn raw_string(rest: &str) -> Option<usize> {
    let marks = rest.strip_prefix('r')?.bytes().take_while(|&byte| byte == b'#').count();
    (rest.as_bytes().get(1 + marks) == Some(&b'"')).then_some(marks + 2)
}

/// Returns the index of the closing `mark` of a quoted text, or the length of `rest`.
fn quoted(rest: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == mark => return at,
            _ => {}
        }
    }
    rest.len()
}

/// The items under `#[cfg(test)]`.
fn test_items(code: &[u8]) -> Vec<Range<usize>> {
    let text = String::from_utf8_lossy(code);
    let mut items = Vec::new();
    for (start, attribute) in text.match_indices("#[cfg(test)]") {
        let mut depth = 0;
        let ends = |(_, byte): &(usize, u8)| {
            depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
            depth == 0 && matches!(byte, b';' | b'}')
        };
        let from = start + attribute.len();
        let end = text.bytes().enumerate().skip(from).find(ends).map_or(text.len(), |(end, _)| end + 1);
        items.push(start..end);
    }
    items
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let text = "use crate::{a, b::{C as D, self}};\n// crate::x\nlet s = \"crate::y\"; let c = '\"'; let l: &'a str = r#\"crate::\"z\"\"#;\nsuper::e::f(crate::g);\n#[cfg(test)]\nmod tests { use crate::h; }\n";
    let source = Source::new("src/m/n.rs", text);
    let mut paths: Vec<String> = source.paths(&["m".into(), "n".into()]).into_iter().map(|(_, path)| path.join("::")).collect();
    paths.sort();
    assert_eq!(paths, ["a", "b", "b::C", "g", "m::e::f"]);
    assert_eq!(source.strings.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["crate::y", "crate::\"z\""]);
    assert_eq!(source.line(source.code.find("super").unwrap()), 4);
}
