//! The invariants of ARCHITECTURE.md, as far as the source text shows them. Each rule reports `file:line: problem`; the
//! last test violates each rule once.

mod cycles;
mod errors;
mod names;
mod source;

use signet::ops::ALL;
use source::{Source, Tree, tree};

/// Maximum lines of a file.
const LINES: usize = 500;

/// The modules that a module may name, where this is stricter than the order in `lib.rs`.
const ONLY: &[(&str, &[&str])] = &[("platform", &[]), ("device", &["platform"])];

/// The only module of the library that front ends may name.
const FACES: &str = "runner";

/// Modules that operations share.
const SHARED_BY_OPS: &[&str] = &["group", "check_operands", "TASK", "control"];
/// The operation that may name others, since it has kernels for their sequences.
const FUSED: &str = "fused";
/// Files in `src/ops` that are not operations.
const NO_OPS: &[&str] = &["group", "mod", "control"];

/// Words that only `platform` may use: target conditions, and calls that clippy.toml reserves for it but cannot see in
/// code for the page only.
const PLATFORM_ONLY: &[&str] = &[
    "memmap2",
    "rayon",
    "std::thread",
    "std::time",
    "std::fs",
    "std::net",
    "target_arch",
    "target_os",
    "target_family",
    "cfg(windows",
    "cfg!(windows",
    "cfg(unix",
    "cfg!(unix",
];

/// Files in which window and page differ.
const FRONTS: &[&str] = &[
    "crates/app/src/main.rs",
    "crates/app/src/lib.rs",
    "crates/app/src/native.rs",
    "crates/app/src/web.rs",
    "crates/app/src/pick.rs",
    "crates/cli/src/app.rs",
];

/// Files whose header must declare that they are pure.
const PURE: &[&str] = &[
    "src/data/batches.rs",
    "src/graph/count.rs",
    "src/graph/plan.rs",
    "src/graph/recompute.rs",
    "src/infer/sampler.rs",
    "src/train/changes.rs",
    "src/train/guard.rs",
    "src/train/schedule.rs",
];
/// Words that a pure file must not contain.
const IMPURE: &[&str] = &["platform", "device", "Machine", "std::io", "std::env", "println!", "async", "await"];

/// Markers of unfinished work, split so that this file has none.
const PROMISES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore")];

/// Absolute paths of a developer's machine.
const MACHINE_PATHS: &[&str] = &["/work/", "/root/", "/home/", "/tmp/", "C:\\Users"];

/// The violations found.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
}

impl Findings {
    fn add(&mut self, path: &str, line: usize, what: &str, why: &str) {
        self.problems.push(format!("{path}:{line}: {what}: {why}"));
    }
}

/// The module path of a file in a crate: `src/ops/add.rs` is in `ops`, `add`.
fn module(path: &str) -> Vec<String> {
    let inner = path.split_once("src/").map_or(path, |(_, inner)| inner).trim_end_matches(".rs");
    inner.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).map(String::from).collect()
}

/// The files of the library.
fn sources(tree: &Tree) -> Vec<(&str, Source)> {
    below("src/", tree)
}

fn below<'a>(folder: &str, tree: &'a Tree) -> Vec<(&'a str, Source)> {
    let files = tree.iter().filter(|(path, _)| path.starts_with(folder) && path.ends_with(".rs"));
    files.map(|(path, text)| (path.as_str(), Source::new(path, text))).collect()
}

/// A module imports only modules declared above it in `lib.rs`, and some even fewer.
fn layers(tree: &Tree, found: &mut Findings) {
    let order: Vec<&str> = tree["src/lib.rs"].lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let place = |name: &str| order.iter().position(|known| *known == name);
    for (path, source) in sources(tree) {
        let here = module(path);
        let Some((own, at)) = here.first().and_then(|own| Some((own, place(own)?))) else { continue };
        for (offset, used) in source.paths(&here) {
            let Some((other, there)) = used.first().and_then(|other| Some((other, place(other)?))) else { continue };
            let (line, what) = (source.line(offset), used.join("::"));
            if there > at {
                found.add(path, line, &what, "comes later in src/lib.rs; a module imports only those above it");
            }
            if let Some((_, only)) = ONLY.iter().find(|(name, _)| name == own)
                && other != own
                && !only.contains(&other.as_str())
            {
                found.add(path, line, &what, &format!("{own} may name {only:?} only"));
            }
        }
    }
}

/// Front ends name only the runner; files in which window and page differ also the platform.
fn front_ends(tree: &Tree, found: &mut Findings) {
    for (path, source) in below("crates/", tree) {
        for (offset, used) in source.rooted("signet", &[]) {
            let known = used.first().is_none_or(|first| first == FACES || FRONTS.contains(&path) && first == "platform");
            if !known {
                found.add(path, source.line(offset), &used.join("::"), "a front end may name signet::runner only");
            }
        }
    }
}

/// Names of operations: the stems in `src/ops`.
fn operations(tree: &Tree) -> Vec<&str> {
    let stems = tree.keys().filter_map(|path| path.strip_prefix("src/ops/")?.strip_suffix(".rs"));
    stems.filter(|stem| !stem.contains('/') && !NO_OPS.contains(stem)).collect()
}

/// Operations do not name each other, and the graph names none of them.
fn operations_apart(tree: &Tree, found: &mut Findings) {
    let operations = operations(tree);
    for (path, source) in sources(tree) {
        let here = module(path);
        if here.len() == 2 && here[0] == "ops" && here[1] != FUSED {
            for (offset, used) in source.paths(&here) {
                let shared = used.get(1).is_none_or(|name| SHARED_BY_OPS.contains(&name.as_str()) || *name == here[1]);
                if used.first().is_some_and(|first| first == "ops") && !shared {
                    found.add(path, source.line(offset), &used.join("::"), "operations do not import each other");
                }
            }
        }
        if here.first().is_some_and(|first| first == "graph") {
            for (offset, text) in &source.strings {
                if operations.iter().any(|name| text == name || text.starts_with(&format!("{name}/"))) {
                    found.add(path, source.line(*offset), text, "the graph names no operation");
                }
            }
        }
    }
}

/// Every operation has a shader of the same name, an entry in `ALL`, and cases; every shader has an operation.
fn operations_whole(tree: &Tree, found: &mut Findings) {
    let operations = operations(tree);
    let listed = |name: &str| ALL.iter().any(|family| family.name == name && !(family.cases)().is_empty());
    for name in &operations {
        let path = format!("src/ops/{name}.rs");
        if !tree.contains_key(&format!("shaders/{name}.wgsl")) {
            found.add(&path, 1, name, "there is no shader of this name");
        }
        if !listed(name) {
            found.add(&path, 1, name, "has no cases in ops::ALL");
        }
    }
    let shaders = tree.keys().filter_map(|path| path.strip_prefix("shaders/")?.strip_suffix(".wgsl"));
    // `x.tier.wgsl` has further kernels of `x`.
    let of = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    for name in shaders.filter(|name| !name.starts_with("shared/") && !operations.contains(&of(name).as_str())) {
        found.add(&format!("shaders/{name}.wgsl"), 1, name, "there is no operation of this name");
    }
}

/// Only `platform` depends on the target, and only `readback` maps buffers.
fn places(tree: &Tree, found: &mut Findings) {
    // A build script is no part of what it builds.
    let front_ends = below("crates/", tree).into_iter().filter(|(path, _)| !path.ends_with("/build.rs"));
    for (path, source) in sources(tree).into_iter().chain(front_ends) {
        if !path.starts_with("src/platform/") && !FRONTS.contains(&path) {
            for (word, offset) in PLATFORM_ONLY.iter().flat_map(|word| source.words(word).map(move |offset| (word, offset))) {
                found.add(path, source.line(offset), word, "belongs in src/platform");
            }
        }
        for offset in source.words("mapped_at_creation: true") {
            found.add(path, source.line(offset), "mapped_at_creation", "only src/device/readback.rs maps buffers");
        }
    }
}

/// The opening comment of a file, after a shader's `#variants`.
fn header(path: &str, text: &str) -> String {
    let mark = if path.ends_with(".rs") { "//!" } else { "//" };
    let lines = text.lines().skip_while(|line| line.starts_with("#variants"));
    lines.map_while(|line| line.strip_prefix(mark)).collect::<Vec<_>>().join(" ")
}

/// Files declared pure are pure, and those that must be are declared so.
fn pure(tree: &Tree, found: &mut Findings) {
    for (path, source) in sources(tree) {
        let says = header(path, &tree[path]).to_lowercase().split(|c: char| !c.is_alphabetic()).any(|word| word == "pure");
        if PURE.contains(&path) && !says {
            found.add(path, 1, "header", "must say that the file is pure");
        }
        for (word, offset) in IMPURE.iter().filter(|_| says).flat_map(|word| source.words(word).map(move |offset| (word, offset))) {
            found.add(path, source.line(offset), word, "the file is called pure");
        }
    }
}

/// Every file has an opening comment and at most the maximum of lines, and has no unfinished work and no absolute path.
fn files(tree: &Tree, found: &mut Findings) {
    for (path, text) in tree {
        let (rust, shader) = (path.ends_with(".rs"), path.ends_with(".wgsl"));
        if (rust || shader) && header(path, text).trim().is_empty() {
            found.add(path, 1, "header", "a file opens with what it is for");
        }
        if (rust || shader) && text.lines().count() > LINES {
            found.add(path, LINES, "length", "a file past 500 lines is two things");
        }
        for (n, line) in text.lines().enumerate() {
            for word in PROMISES.iter().filter(|word| line.contains(**word)) {
                found.add(path, n + 1, word, "do it, or open an issue");
            }
            for place in MACHINE_PATHS.iter().filter(|place| !rust && line.contains(**place)) {
                found.add(path, n + 1, place, "a path of one machine");
            }
        }
        if rust {
            let source = Source::new(path, text);
            for (offset, place) in
                source.strings.iter().flat_map(|(at, text)| MACHINE_PATHS.iter().filter(|place| text.contains(**place)).map(move |p| (at, p)))
            {
                found.add(path, source.line(*offset), place, "a path of one machine");
            }
        }
    }
}

fn problems(tree: &Tree) -> Vec<String> {
    let mut found = Findings::default();
    for rule in [layers, front_ends, operations_apart, operations_whole, places, pure, files, errors::errors] {
        rule(tree, &mut found);
    }
    found.problems
}

#[test]
fn the_repository_keeps_its_invariants() {
    let problems = problems(&tree());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn sibling_modules_do_not_import_each_other_in_cycles() {
    let cycles = cycles::cycles(&tree());
    let cycles: Vec<String> = cycles.iter().map(|(folder, arrows)| format!("{folder}: {}", arrows.join(", "))).collect();
    assert!(cycles.is_empty(), "\n{}", cycles.join("\n"));
}

#[test]
fn a_cycle_through_a_reexport_is_detected() {
    let mut tree = Tree::new();
    for (path, text) in [
        ("src/lib.rs", "mod a;"),
        ("src/a/mod.rs", "mod one; mod two; pub use two::Two; use one::One;"),
        ("src/a/one.rs", "use super::Two; pub struct One(Two);"),
        ("src/a/two.rs", "pub struct Two;"),
    ] {
        tree.insert(path.into(), text.into());
    }
    assert!(cycles::cycles(&tree).is_empty(), "a parent that lists its children is in none");
    tree.insert("src/a/two.rs".into(), "use crate::a::one::One; pub struct Two(Box<One>);".into());
    assert_eq!(cycles::cycles(&tree), [("src/a".to_string(), vec!["one → two".to_string(), "two → one".into()])]);
}

#[test]
fn every_rule_detects_a_violation() {
    let whole = tree();
    let violations = [
        ("src/device/gpu.rs", "use crate::graph::Tape;", "comes later in src/lib.rs"),
        ("src/device/gpu.rs", "use crate::rng::Key;", "device may name"),
        ("src/graph/plan.rs", "fn f() { crate::ops::Add; }", "comes later in src/lib.rs"),
        ("src/graph/plan.rs", "const NAME: &str = \"add/forward\";", "the graph names no operation"),
        ("crates/cli/src/main.rs", "use signet::{runner::Runner, model::Weights};", "a front end may name"),
        ("crates/app/src/train/mod.rs", "use signet::platform::page;", "a front end may name"),
        ("src/ops/add.rs", "use super::matmul::Matmul;", "do not import each other"),
        ("src/ops/add.rs", "use crate::ops::Matmul;", "do not import each other"),
        ("src/ops/minus.rs", "//! A difference.", "no shader of this name"),
        ("src/ops/minus.rs", "//! A difference.", "no cases in ops::ALL"),
        ("shaders/minus.wgsl", "// A difference.", "no operation of this name"),
        ("crates/app/src/shared.rs", "use std::time::Instant;", "belongs in src/platform"),
        ("src/graph/execute.rs", "const D: D = D { mapped_at_creation: true };", "readback.rs maps"),
        ("src/train/teach.rs", "use rayon::prelude::*;", "belongs in src/platform"),
        ("src/runner/mod.rs", "#[cfg(target_arch = \"wasm32\")] fn f() {}", "belongs in src/platform"),
        ("src/train/guard.rs", "fn f() { println!(); }", "called pure"),
        ("src/new.rs", "fn f() {}", "opens with what it is for"),
        ("shaders/shared/new.wgsl", "fn f() {}", "opens with what it is for"),
        ("src/rng.rs", concat!("// TO", "DO"), "do it, or open an issue"),
        ("src/rng.rs", concat!("fn f() { to", "do!() }"), "do it, or open an issue"),
        ("src/rng.rs", "fn f() -> Result<()> { bail!(\"something went wrong\") }", "names no value, action or option"),
        ("src/rng.rs", "const AT: &str = \"/home/me\";", "a path of one machine"),
        ("README.md", "cd /root/signet", "a path of one machine"),
        ("src/rng.rs", &"\n".repeat(LINES), "two things"),
    ];
    for (path, addition, expected) in violations {
        let mut tree = whole.clone();
        let text = tree.entry(path.into()).or_default();
        *text = if text.is_empty() { addition.into() } else { format!("{text}\n{addition}\n") };
        assert!(problems(&tree).iter().any(|problem| problem.starts_with(path) && problem.contains(expected)), "{path}: {addition}: {:?}", problems(&tree));
    }
    let unsaid = whole.iter().map(|(path, text)| (path.clone(), text.replace("Pure", "Good"))).collect();
    assert!(problems(&unsaid).iter().any(|problem| problem.starts_with("src/train/guard.rs:1: header: must say")));
}
