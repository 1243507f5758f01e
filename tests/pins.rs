//! Pinned outputs, on which other programs rely: help texts, names in `--json` and in files, and bytes of packed and
//! exported models. They are in `tests/pins/`; docs/settings.md is generated from the table of settings. After an intended
//! change, update them with `UPDATE_PINS=1 cargo test pins` and review the difference.

mod json;
mod settings;

use crate::shared::root;
use crate::train::{SMALL, Scratch, signet, text};
use json::Names;
use std::fmt::Write;
use std::path::PathBuf;

/// Models without training: a dense one, and a student.
const MODELS: [(&str, &str); 2] =
    [("TINY", concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/gguf/tiny.gguf")), ("FBI", concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/published/fbi"))];
/// A small run that writes every kind of file.
const RUN: &str = "train --device cpu --name run --steps 2 --warmup 1 --seq 16 --batch 1 --sample-every 2 --sample-tokens 4 --eval-every 2 --eval-batches 1";

/// Compares with the pinned output `name`.
fn pinned(name: &str, now: &str) {
    compare_file(&format!("tests/pins/{name}"), now);
}

/// Compares with a file, or writes it.
fn compare_file(file: &str, now: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_PINS").is_some() {
        return std::fs::write(&path, now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let gone = before.lines().filter(|line| !now.lines().any(|other| other == *line)).map(|line| format!("\n- {line}"));
    let new = now.lines().filter(|line| !before.lines().any(|other| other == *line)).map(|line| format!("\n+ {line}"));
    let difference: String = gone.chain(new).take(40).collect();
    assert!(before == now, "{file} differs; if that is meant: UPDATE_PINS=1 cargo test pins{difference}");
}

/// A folder with files of a run.
struct Folder(Scratch);

impl Folder {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        std::fs::write(scratch.path("small.json"), SMALL).unwrap();
        let corpus = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/corpus.txt")).unwrap();
        std::fs::write(scratch.path("some.txt"), corpus.split_inclusive('\n').take(3).collect::<String>()).unwrap();
        Self(scratch)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Runs a command in the folder and returns its standard output.
    fn run(&self, arguments: &str) -> String {
        self.run_with_input(arguments, "")
    }

    /// The same, with something on standard input.
    fn run_with_input(&self, arguments: &str, input: &str) -> String {
        std::fs::write(self.path("input"), input).unwrap();
        let arguments: Vec<&str> =
            arguments.split_whitespace().map(|word| MODELS.iter().find(|(name, _)| *name == word).map_or(word, |(_, path)| path)).collect();
        let input = std::fs::File::open(self.path("input")).unwrap();
        let output = signet(&arguments).current_dir(self.path("")).stdin(input).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// All files below a folder, by relative path.
    fn files(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let (mut found, mut left) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = left.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => left.push(path),
                    false => found.push(path.strip_prefix(&root).unwrap().display().to_string().replace('\\', "/")),
                }
            }
        }
        found.sort();
        found
    }
}

/// The help of a command and its subcommands.
fn help(path: &[&str], to: &mut String) {
    let shown = signet(&[path, &["--help"]].concat()).output().unwrap();
    let shown = text(&shown).replace("\r\n", "\n");
    write!(to, "$ signet {}\n{shown}\n", [path, &["--help"]].concat().join(" ")).unwrap();
    let below = shown.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split_once("\n\n").map_or(rest, |(list, _)| list));
    for name in below.lines().filter_map(|line| line.trim_start().split(' ').next()).filter(|name| *name != "help") {
        help(&[path, &[name]].concat(), to);
    }
}

#[test]
fn every_help_text() {
    let mut all = String::new();
    help(&[], &mut all);
    assert!(all.matches("\n$ signet ").count() > 20, "{all}");
    pinned("help.txt", &all.replace("signet.exe", "signet"));
}

#[test]
fn names_in_json() {
    let folder = Folder::new("pins-json");
    let mut names = Names::default();
    let run = format!("{RUN} --json --model small.json --data some.txt");
    names.lines("train", &folder.run(&run));
    names.lines("train --plan", &folder.run(&format!("{run} --plan")));
    std::fs::write(folder.path("sweep.toml"), SWEEP).unwrap();
    names.lines("sweep", &folder.run("sweep sweep.toml --json --device cpu"));
    names.lines("compare", &folder.run("compare runs/sweep --json"));
    names.lines("teach", &folder.run("teach --json --device cpu --seq 16 --top 4 --teacher TINY --data some.txt --out cache"));
    names.lines("data", &folder.run("data some.txt --json"));
    names.lines("chat", &folder.run_with_input("chat --json --device cpu --max-tokens 2", "Hello\n/reset\n"));
    names.lines("chat --plan", &folder.run("chat --plan --json --device cpu"));
    names.lines("generate", &folder.run("generate embedded --prompt Once --json --device cpu --max-tokens 2"));
    names.lines("eval", &folder.run(&format!("eval runs/run --json --device cpu --perplexity some.txt --window 32 --task boolq={} --limit 2", rows("boolq"))));
    names.lines("export", &folder.run("export runs/run dense --dense --json"));
    names.lines("check", &folder.run("check runs/run --json"));
    names.lines("inspect", &folder.run("inspect runs/run --json"));
    names.lines("landscape", &folder.run("landscape runs/run --json --device cpu --points 3 --window 16 --windows 1 --out landscape.json"));
    names.lines("landscape.json", &std::fs::read_to_string(folder.path("landscape.json")).unwrap());
    names.lines("pack", &folder.run("pack runs/run packed.signet --json"));
    names.lines("tokenizer train", &folder.run("tokenizer train some.txt --vocabulary 300 --out own.json --json"));
    names.lines("conform", &folder.run("conform --device cpu --json --filter add --seed 1"));
    names.lines("bench train", &folder.run("bench train --size tiny --seq 16 --batch 1 --steps 1 --device cpu --json"));
    names.lines("bench decode", &folder.run("bench decode --size tiny --prompt 4 --tokens 2 --device cpu --json"));
    pinned("json.txt", &names.to_string());
}

const SWEEP: &str = r#"
[base]
model = "small.json"
data = ["some.txt"]
teacher = "none"
loss = "ar"
steps = 2
warmup = 1
batch = 1
seq = 16
eval_batches = 1
sample_every = 0

[grid]
seed = [1, 2]
"#;

/// Rows of a task.
fn rows(task: &str) -> String {
    root().join(format!("tests/eval/rows/{task}.jsonl")).display().to_string()
}

#[test]
fn files_of_a_run_and_their_names() {
    let folder = Folder::new("pins-run");
    folder.run(&format!("{RUN} --model small.json --data some.txt"));
    folder.run("curves runs/run --out curves.csv");
    folder.run("teach --device cpu --seq 16 --top 4 --teacher TINY --data some.txt --out cache");
    let mut all = String::new();
    for (what, root) in [("run", "runs/run"), ("cache", "cache")] {
        for file in folder.files(root) {
            let path = folder.path(root).join(&file);
            writeln!(all, "{what}: {file}").unwrap();
            let names = match path.extension().and_then(|extension| extension.to_str()) {
                Some("json" | "jsonl") if !file.ends_with("tokenizer.json") => Names::of(&std::fs::read_to_string(path).unwrap()).to_string(),
                Some("safetensors" | "signet") => json::tensors(&path),
                Some("toml") => std::fs::read_to_string(path).unwrap().replace(&folder.path("").display().to_string(), "FOLDER/"),
                _ => String::new(),
            };
            names.lines().filter(|line| !line.is_empty()).for_each(|line| writeln!(all, "    {line}").unwrap());
        }
    }
    let csv = std::fs::read_to_string(folder.path("curves.csv")).unwrap();
    writeln!(all, "curves.csv\n    {}", csv.lines().next().unwrap()).unwrap();
    pinned("files.txt", &all);
}

/// The embedded models have the same bits on every machine, and so do files made from them.
#[test]
fn bytes_of_packed_and_exported_models() {
    let folder = Folder::new("pins-bytes");
    let mut all = String::new();
    for (name, command) in [
        ("student.signet", "pack FBI student.signet"),
        ("tiny.signet", "pack TINY tiny.signet"),
        ("dense", "export embedded dense --dense"),
        ("bf16", "export embedded bf16 --dense --dtype bf16"),
        ("latent", "export FBI latent --latent"),
        ("student.gguf", "export embedded student.gguf --gguf"),
    ] {
        folder.run(command);
        let files =
            if folder.path(name).is_dir() { folder.files(name).into_iter().map(|file| format!("{name}/{file}")).collect() } else { vec![name.to_string()] };
        for file in files {
            let bytes = std::fs::read(folder.path(&file)).unwrap();
            writeln!(all, "{command}: {file}, {} bytes, XXH3 {:016x}", bytes.len(), twox_hash::XxHash3_64::oneshot(&bytes)).unwrap();
        }
    }
    pinned("bytes.txt", &all);
}
