//! Processes that get in each other's way: writers of one output.

use crate::infer::student as golden_student;
use crate::train::{Scratch, run, signet, teacher, text};
use signet::model::ModelFile;
use std::path::Path;
use std::process::{Child, Output, Stdio};

/// Runs two commands at the same time.
fn both(commands: [&[&str]; 2]) -> [Output; 2] {
    let start = |arguments| signet(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    commands.map(start).map(|child: Child| child.wait_with_output().unwrap())
}

fn hidden(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn two_writers_of_one_file_leave_a_whole_one_even_of_the_longest_name() {
    let scratch = Scratch::new("two-packs");
    let models = [teacher(&scratch), golden_student()].map(|path| path.display().to_string());
    let out = scratch.path(&("n".repeat(250 - ".signet".len()) + ".signet")).display().to_string();
    let alone = scratch.path("alone.signet").display().to_string();
    let whole = models.each_ref().map(|model| {
        let (good, said) = run(&["pack", model, &alone]);
        assert!(good, "{said}");
        std::fs::read(&alone).unwrap()
    });
    for _ in 0..12 {
        let outputs = both([&["pack", &models[0], &out], &["pack", &models[1], &out]]);
        assert!(outputs.iter().all(|output| output.status.success()), "{}", outputs.each_ref().map(text).concat());
        let written = std::fs::read(&out).unwrap();
        assert!(whole.contains(&written), "{} bytes that are neither model", written.len());
    }
    assert!(hidden(&scratch.path("")).is_empty());
}

#[test]
fn of_two_exports_to_one_place_one_is_whole_and_the_other_refused() {
    let scratch = Scratch::new("two-exports");
    let models = [teacher(&scratch), golden_student()].map(|path| path.display().to_string());
    for n in 0..6 {
        let out = scratch.path(&format!("out-{n}")).display().to_string();
        let outputs = both([&["export", "--dense", &models[0], &out], &["export", "--dense", &models[1], &out]]);
        let [first, second] = outputs.each_ref().map(|output| output.status.success());
        assert!(first != second, "{}", outputs.each_ref().map(text).concat());
        let refused = text(&outputs[usize::from(first)]);
        assert!(refused.contains("already"), "{refused}");
        let (config, source) = [&out, &models[usize::from(second)]].map(|path| ModelFile::open(Path::new(path)).unwrap().config).into();
        assert_eq!(config.hidden_size, source.hidden_size);
    }
    assert!(hidden(&scratch.path("")).is_empty());
}
