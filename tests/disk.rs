//! Conflicts between processes on disk: two writers of one output, runs moved during training, records with gaps, and
//! leftovers of killed processes.

use crate::infer::student as golden_student;
use crate::train::{Scratch, as_str, run, signet, student, teacher, text};
use signet::model::ModelFile;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs two commands concurrently.
fn run_both(commands: [&[&str]; 2]) -> [Output; 2] {
    let start = |arguments| signet(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    commands.map(start).map(|child: Child| child.wait_with_output().unwrap())
}

fn hidden(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn two_writers_of_one_file_leave_it_complete_even_with_the_longest_name() {
    let scratch = Scratch::new("two-packs");
    let models = [teacher(&scratch), golden_student()].map(|path| path.display().to_string());
    let out = scratch.path(&("n".repeat(250 - ".signet".len()) + ".signet")).display().to_string();
    let alone = scratch.path("alone.signet").display().to_string();
    let whole = models.each_ref().map(|model| {
        let (good, printed) = run(&["pack", model, &alone]);
        assert!(good, "{printed}");
        std::fs::read(&alone).unwrap()
    });
    for _ in 0..12 {
        let outputs = run_both([&["pack", &models[0], &out], &["pack", &models[1], &out]]);
        assert!(outputs.iter().all(|output| output.status.success()), "{}", outputs.each_ref().map(text).concat());
        let written = std::fs::read(&out).unwrap();
        assert!(whole.contains(&written), "{} bytes that are neither model", written.len());
    }
    assert!(hidden(&scratch.path("")).is_empty());
}

#[test]
fn of_two_exports_to_one_path_one_completes_and_the_other_is_refused() {
    let scratch = Scratch::new("two-exports");
    let models = [teacher(&scratch), golden_student()].map(|path| path.display().to_string());
    for n in 0..6 {
        let out = scratch.path(&format!("out-{n}")).display().to_string();
        let outputs = run_both([&["export", "--dense", &models[0], &out], &["export", "--dense", &models[1], &out]]);
        let [first, second] = outputs.each_ref().map(|output| output.status.success());
        assert!(first != second, "{}", outputs.each_ref().map(text).concat());
        let refused = text(&outputs[usize::from(first)]);
        assert!(refused.contains("already"), "{refused}");
        let (config, source) = [&out, &models[usize::from(second)]].map(|path| ModelFile::open(Path::new(path)).unwrap().config).into();
        assert_eq!(config.hidden_size, source.hidden_size);
    }
    assert!(hidden(&scratch.path("")).is_empty());
}

/// The arguments of a run named `run`, with some options replaced.
fn arguments_with(scratch: &Scratch, values: &[(&str, &str)]) -> Vec<String> {
    let mut arguments = student(scratch, &teacher(scratch), "run", "cpu");
    for (option, value) in values {
        let at = arguments.iter().position(|argument| argument == option).expect("an option of the student");
        arguments[at + 1] = value.to_string();
    }
    arguments
}

/// Starts a run and waits for its first record.
fn start_run(scratch: &Scratch, arguments: &[String]) -> (Child, PathBuf) {
    let path = scratch.path("runs/run");
    let child = signet(&as_str(arguments)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !path.join("metrics.jsonl").exists() && begun.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(2));
    }
    (child, path)
}

#[test]
fn a_moved_run_stops_if_another_run_has_its_path() {
    let scratch = Scratch::new("moved");
    let arguments = arguments_with(&scratch, &[("--steps", "100000")]);
    let (first, path) = start_run(&scratch, &arguments);
    // The directory of another run, complete and locked.
    let other = scratch.path("other");
    std::fs::create_dir_all(other.join("checkpoints")).unwrap();
    std::fs::write(other.join("run.toml"), "steps = 3").unwrap();
    let held = signet::platform::Lock::try_acquire(&other.join(".lock")).unwrap().unwrap();
    // Between the two renames the first process may recreate its directory.
    let swap = |n: usize| {
        std::fs::rename(&path, scratch.path(&format!("runs/moved-{n}"))).unwrap();
        std::fs::rename(&other, &path).is_ok()
    };
    assert!((0..100).any(swap), "the run was never replaced");
    let output = first.wait_with_output().unwrap();
    assert!(!output.status.success() && text(&output).contains("another run"), "{}", text(&output));
    assert!(!text(&output).contains("Resume it with"), "{}", text(&output));
    assert!(!path.join("metrics.jsonl").exists() && std::fs::read_dir(path.join("checkpoints")).unwrap().next().is_none());
    assert!(scratch.path("runs/moved-0/metrics.jsonl").exists());
    drop(held);
}

#[test]
fn missing_metrics_are_reported_on_resume() {
    let scratch = Scratch::new("gaps");
    let arguments = arguments_with(&scratch, &[("--steps", "10"), ("--sample-every", "0")]);
    let (good, printed) = run(&as_str(&arguments));
    assert!(good, "{printed}");
    let last = || std::fs::remove_dir_all(scratch.path("runs/run/checkpoints/step-00000010")).unwrap();
    let resume = || run(&as_str(&[&arguments[..], &["--resume".to_string()]].concat()));
    last();
    let (good, printed) = resume();
    assert!(good && !printed.contains("steps without a line"), "{printed}");
    let file = scratch.path("runs/run/metrics.jsonl");
    let lines: Vec<String> = std::fs::read_to_string(&file).unwrap().split_inclusive('\n').map(String::from).collect();
    assert_eq!(lines.len(), 10);
    // Up to step 7, which has a checkpoint.
    let damaged = [&lines[..2], &["\0\0\0\n".to_string()], &lines[4..7], &lines[5..6]].concat().concat();
    std::fs::write(&file, damaged.clone() + &lines[7..].concat()).unwrap();
    last();
    let (good, printed) = resume();
    let faults = ["steps without a line: 3 to 4", "steps with several lines: 6", "damaged lines: 3", "out of order"];
    assert!(good && faults.iter().all(|fault| printed.contains(fault)), "{printed}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(&damaged), "what was found is not kept as it is");
    assert!(std::fs::read_to_string(scratch.path("runs/run/log.txt")).unwrap().contains("steps without a line: 3 to 4"));
}
