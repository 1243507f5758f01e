//! Names within a crate: no two modules and no two types at module level have the same name, so that a search for a name
//! finds one thing.

use super::module;
use super::source::{Source, Tree, tree};
use std::collections::BTreeMap;

/// The source folders of the crates.
const CRATES: [&str; 4] = ["src/", "crates/app/src/", "crates/cli/src/", "xtask/src/"];
/// Keywords that declare a type.
const TYPES: [&str; 5] = ["struct", "enum", "union", "trait", "type"];
/// The modules that implement one interface for two targets.
const TARGETS: [&str; 2] = ["src/platform/native", "src/platform/web"];
/// The folder with a module for each command, which bears the name of its command.
const COMMANDS: &str = "src/runner/commands/";
/// The folder whose modules bear the name of the part that they measure.
const BENCHMARKS: &str = "src/bench/";

/// The declarations of each name, as file and line.
type Declarations<'a> = BTreeMap<String, Vec<(&'a str, usize)>>;

/// Returns the names that a crate uses for two things, each with its files.
fn shared_names(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let commands = tree.get(&format!("{COMMANDS}mod.rs")).map_or(Vec::new(), |text| command_words(text));
    for folder in CRATES {
        let (mut modules, mut types) = (Declarations::new(), Declarations::new());
        for (path, text) in tree.iter().filter(|(path, _)| path.starts_with(folder) && path.ends_with(".rs")) {
            if let Some(name) = module(path).pop().filter(|name| name != "tests" && !is_named_for_another(path, name, &commands)) {
                modules.entry(name).or_default().push((path, 1));
            }
            let source = Source::new(path, text);
            for (n, line) in source.code.lines().enumerate() {
                types.entry(declared_type(line).unwrap_or_default().into()).or_default().push((path, n + 1));
            }
        }
        types.remove("");
        for (kind, declarations) in [("module", modules), ("type", types)] {
            for (name, mut places) in declarations {
                if counterparts(&places) {
                    places.retain(|(path, _)| !path.starts_with(TARGETS[1]));
                }
                if let [(path, line), others @ ..] = &places[..]
                    && !others.is_empty()
                {
                    let others: Vec<String> = others.iter().map(|(path, line)| format!("{path}:{line}")).collect();
                    found.push(format!("{path}:{line}: {kind} {name}: has the name of {}; rename the more specific one", others.join(", ")));
                }
            }
        }
    }
    found
}

/// Returns the name of the type that a line declares at module level: rustfmt indents all others.
fn declared_type(line: &str) -> Option<&str> {
    let item = line.strip_prefix("pub ").or_else(|| Some(line.strip_prefix("pub(")?.split_once(") ")?.1)).unwrap_or(line);
    let (keyword, rest) = item.split_once(' ')?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    TYPES.contains(&keyword).then(|| &rest[..end])
}

/// Returns true for a module that has the name of its command (`eval` of `Evaluate`), or of the part that it measures.
fn is_named_for_another(path: &str, name: &str, commands: &[String]) -> bool {
    path.starts_with(BENCHMARKS) || path.starts_with(COMMANDS) && commands.iter().any(|word| word.starts_with(name))
}

/// Returns true if a name is declared once for each target.
fn counterparts(places: &[(&str, usize)]) -> bool {
    TARGETS.iter().all(|target| places.iter().filter(|(path, _)| path.starts_with(target)).count() == 1)
}

/// Returns the words of the names of all commands, in lower case: `open` and `weights` for `OpenWeights`.
fn command_words(text: &str) -> Vec<String> {
    let variants = text.split_once("pub enum Command {").and_then(|(_, rest)| rest.split_once("\n}")).map_or("", |(variants, _)| variants);
    let mut words: Vec<String> = Vec::new();
    for line in variants.lines().filter_map(|line| line.strip_prefix("    ")) {
        let name = &line[..line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len())];
        for c in name.chars() {
            match words.last_mut() {
                Some(word) if c.is_lowercase() => word.push(c),
                _ => words.push(c.to_lowercase().collect()),
            }
        }
    }
    words
}

/// Returns the shared names of a tree with these files.
fn shared_names_of(files: &[(&str, &str)]) -> Vec<String> {
    shared_names(&files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect())
}

#[test]
fn each_name_of_a_crate_is_used_for_one_thing() {
    let shared = shared_names(&tree());
    assert!(shared.is_empty(), "\n{}", shared.join("\n"));
}

#[test]
fn a_name_of_two_types_or_modules_of_a_crate_is_reported() {
    let shared = shared_names_of(&[
        ("src/a/one.rs", "pub(crate) struct Slot<T>(T);\nfn f() {\n    struct Inner;\n}\n"),
        ("src/b.rs", "// enum Slot\n\npub type Slot = u32;\nstruct Inner;\n#[cfg(test)]\nmod tests {\n    struct Scratch;\n}\n"),
        ("src/c/one/mod.rs", "struct Scratch;\n"),
        ("src/c/tests.rs", "struct Scratch;\n"),
        ("src/d/tests.rs", "struct Slot;\n"),
        ("crates/app/src/b.rs", "enum Slot {}\n"),
    ]);
    let expected = [
        "src/a/one.rs:1: module one: has the name of src/c/one/mod.rs:1; rename the more specific one",
        "src/a/one.rs:1: type Slot: has the name of src/b.rs:3; rename the more specific one",
    ];
    assert_eq!(shared, expected);
}

#[test]
fn counterparts_of_targets_commands_and_benchmarks_may_share_a_name() {
    let commands = "pub enum Command {\n    /// Opens.\n    OpenWeights {\n        path: PathBuf,\n    },\n    Train(Box<TrainRequest>),\n}\n";
    let allowed = [
        ("src/platform/native/lock.rs", "pub struct Lock;\n"),
        ("src/platform/web/lock.rs", "pub struct Lock;\n"),
        ("src/runner/commands/mod.rs", commands),
        ("src/runner/commands/weights.rs", ""),
        ("src/model/weights.rs", ""),
        ("src/runner/commands/train/mod.rs", ""),
        ("src/bench/train.rs", ""),
        ("src/train/mod.rs", ""),
    ];
    assert_eq!(shared_names_of(&allowed), [""; 0]);
    let third =
        shared_names_of(&[&allowed[..], &[("src/data/lock.rs", "enum Lock {}\n"), ("src/data/path.rs", ""), ("src/runner/commands/path.rs", "")]].concat());
    let expected = ["src/data/lock.rs:1: module lock", "src/data/path.rs:1: module path", "src/data/lock.rs:1: type Lock"];
    assert!(third.len() == 3 && third.iter().zip(expected).all(|(problem, expected)| problem.starts_with(expected)), "{third:?}");
}
