//! Circles of `use` between the modules of a folder: none may use another that uses it, directly or through others. A
//! module that lists the modules below it is no part of a cycle; what it re-exports counts as the module's where it is.

use super::source::{Source, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// The modules of each module, by its path from the crate's root, and which of their siblings each uses.
type Uses = BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>>;

/// A crate's files: its folder, and the path by which it names itself.
const CRATES: [&str; 4] = ["src/", "crates/app/src/", "crates/cli/src/", "xtask/isa/src/"];

/// Every cycle, as its folder and what uses what in it.
pub(super) fn cycles(tree: &Tree) -> Vec<(String, Vec<String>)> {
    CRATES.iter().flat_map(|folder| in_crate(folder, tree)).collect()
}

fn in_crate(folder: &str, tree: &Tree) -> Vec<(String, Vec<String>)> {
    let files: Vec<(&str, Source)> =
        tree.iter().filter(|(path, _)| path.starts_with(folder) && path.ends_with(".rs")).map(|(path, text)| (&path[..], Source::new(path, text))).collect();
    let modules: BTreeSet<Vec<String>> = files.iter().map(|(path, _)| super::module(path)).collect();
    let mut exports = Exports::default();
    for (path, source) in &files {
        exports.add(&super::module(path), source, &modules);
    }
    let mut uses = Uses::new();
    for (path, source) in &files {
        let here = super::module(path);
        for (_, used) in source.paths(&here) {
            let used = exports.resolve(used, &modules);
            // The two modules at which the paths part are siblings.
            let shared = here.iter().zip(&used).take_while(|(one, other)| one == other).count();
            let (Some(one), Some(other)) = (here.get(shared), used.get(shared)) else { continue };
            if modules.contains(&[&here[..shared], std::slice::from_ref(other)].concat()) {
                uses.entry(here[..shared].to_vec()).or_default().entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    let named = |parent: &[String]| format!("{folder}{}", parent.join("/"));
    let arrows = |graph: &BTreeMap<String, BTreeSet<String>>, cycle: &[String]| {
        let mut arrows = Vec::new();
        for one in cycle {
            arrows.extend(graph[one].iter().filter(|other| *other != one && cycle.contains(other)).map(|other| format!("{one} → {other}")));
        }
        arrows
    };
    uses.iter().flat_map(|(parent, graph)| components(graph).into_iter().map(move |cycle| (named(parent), arrows(graph, &cycle)))).collect()
}

/// Names that a module offers of those below it: by module and name, where they are.
#[derive(Default)]
struct Exports(BTreeMap<(Vec<String>, String), Vec<String>>);

impl Exports {
    fn add(&mut self, here: &[String], source: &Source, modules: &BTreeSet<Vec<String>>) {
        for at in source.words("use") {
            let before = source.code[..at].trim_end();
            if !(before.ends_with("pub") || before.ends_with(')')) {
                continue;
            }
            let text = source.code[at + 3..].split(';').next().unwrap_or_default();
            for mut path in source.tree_of(text, here) {
                let name = path.pop().unwrap_or_default();
                if !modules.contains(&path) || path == here {
                    continue;
                }
                self.0.insert((here.to_vec(), name), path);
            }
        }
    }

    /// The path of what is used, through what modules offer of others.
    fn resolve(&self, mut path: Vec<String>, modules: &BTreeSet<Vec<String>>) -> Vec<String> {
        for _ in 0..4 {
            let depth = (0..=path.len()).rev().find(|&depth| modules.contains(&path[..depth])).unwrap_or(0);
            let Some(name) = path.get(depth) else { return path };
            let Some(there) = self.0.get(&(path[..depth].to_vec(), name.clone())) else { return path };
            path = [&there[..], &path[depth..]].concat();
        }
        path
    }
}

/// The sets of modules that reach each other, of more than one.
fn components(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &str| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from.to_string()]);
        while let Some(at) = left.pop() {
            left.extend(graph.get(&at).into_iter().flatten().filter(|next| seen.insert((*next).clone())).cloned());
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|name| (name, reach(name))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for (name, there) in &reached {
        let cycle: Vec<String> = there.iter().filter(|other| reached.get(other).is_some_and(|back| back.contains(*name))).cloned().collect();
        if cycle.len() > 1 && !found.contains(&cycle) {
            found.push(cycle);
        }
    }
    found
}
