//! Sweeps on the command line: killed and resumed, finished runs skipped, and errors before the start.

use crate::train::{Scratch, run, signet, teacher, text};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const STEPS: u64 = 12;

/// Writes a sweep of four runs and returns its path.
fn file(scratch: &Scratch, grid: &str) -> PathBuf {
    let made = scratch.path("runs/teacher/checkpoints/step-00000008");
    let teacher = if made.exists() { made } else { teacher(scratch) };
    let (model, path) = (scratch.path("small.json"), scratch.path("sweep.toml"));
    let base = format!(
        "[base]\nmodel = {model:?}\nteacher = {teacher:?}\nsteps = {STEPS}\nwarmup = 2\nbatch = 2\nseq = 32\neval_every = 4\neval_batches = 2\nsample_every = 0\ncheckpoint_every = 4\n\n"
    );
    std::fs::write(&path, base + grid).unwrap();
    path
}

const GRID: &str = "[grid]\nloss = [\"ad\", \"ar\"]\nseed = [1, 2]\n";
const NAMES: [&str; 4] = ["loss-ad_seed-1", "loss-ad_seed-2", "loss-ar_seed-1", "loss-ar_seed-2"];

fn arguments<'a>(file: &'a Path, runs: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", file.to_str().unwrap(), "--runs", runs.to_str().unwrap(), "--device", "cpu"], more].concat()
}

fn weights(runs: &Path, name: &str) -> Vec<u8> {
    std::fs::read(runs.join(name).join(format!("checkpoints/step-{STEPS:08}/model.safetensors"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The events of a kind among lines of JSON.
fn events(printed: &str, kind: &str) -> Vec<serde_json::Value> {
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    printed.lines().map(event).filter(|event| event["event"] == kind).collect()
}

#[test]
fn a_killed_sweep_resumes_to_the_same_bits_and_skips_finished_runs() {
    let scratch = Scratch::new("sweep-killed");
    let file = file(&scratch, GRID);
    let (whole, killed) = (scratch.path("whole"), scratch.path("killed"));
    let (good, printed) = run(&arguments(&file, &whole, &[]));
    assert!(good && printed.contains("4 of 4 runs are done") && printed.contains("run 3 of 4: loss-ar_seed-1"), "{printed}");
    let mut child = signet(&arguments(&file, &killed, &["--json"])).stdout(Stdio::piped()).spawn().unwrap();
    // In the second run, after its first checkpoint.
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut second = lines.skip_while(|line| !line.contains("\"sweep_run\"") || !line.contains("\"n\":2"));
    assert!(second.any(|line| line.contains("\"saved\"")));
    child.kill().unwrap();
    child.wait().unwrap();
    // The started run keeps its model; the others need the original file.
    let shape = std::fs::read_to_string(scratch.path("small.json")).unwrap();
    std::fs::write(scratch.path("small.json"), shape.replace("72", "80")).unwrap();
    let (good, printed) = run(&arguments(&file, &killed, &["--dry-run"]));
    assert!(good && printed.contains("keeps the shape of its checkpoint"), "{printed}");
    std::fs::write(scratch.path("small.json"), shape).unwrap();
    let output = signet(&arguments(&file, &killed, &["--json"])).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<u64> = events(&printed, "sweep_planned")[0]["runs"].as_array().unwrap().iter().map(|run| run["step"].as_u64().unwrap()).collect();
    assert!(steps[0] == STEPS && (4..STEPS).contains(&steps[1]) && steps[2..] == [0, 0], "{steps:?}");
    let begun: Vec<u64> = events(&printed, "sweep_run").iter().map(|run| run["n"].as_u64().unwrap()).collect();
    assert_eq!(begun, [2, 3, 4]);
    for name in NAMES {
        assert!(weights(&whole, name) == weights(&killed, name), "{name} came to other weights");
    }
    let (good, printed) = run(&arguments(&file, &killed, &["--json"]));
    assert!(good && events(&printed, "sweep_run").is_empty() && events(&printed, "sweep_ended")[0]["done"] == 4, "{printed}");
    let (good, printed) = run(&arguments(&file, &killed, &["--dry-run"]));
    assert!(good && printed.contains("loss-ad_seed-2  done") && printed.contains("4 runs, 0 to do"), "{printed}");
}

#[test]
fn a_stopped_sweep_saves_and_prints_how_to_resume() {
    use signet::runner::{Command, Event, Runner, Stop, SweepRequest, TrainEvent};
    let scratch = Scratch::new("sweep-stopped");
    let (file, folder, stop) = (file(&scratch, GRID), scratch.path("runs of it"), Stop::default());
    let request = SweepRequest { file, folder: folder.clone(), device: "cpu".into(), memory: None, dry: false };
    let (mut at, mut ended) = (0, None);
    let result = Runner::new(stop.clone()).run(Command::Sweep(Box::new(request)), &mut |event| match event {
        Event::SweepRun { n, .. } => at = n,
        Event::Train(TrainEvent::Step(metrics)) if (at, metrics.step) == (2, 2) => stop.request(),
        Event::SweepEnded { done, of, failed } => ended = Some((done, of, failed.len())),
        _ => {}
    });
    result.unwrap();
    assert_eq!((at, ended), (2, Some((1, 4, 0))));
    let saved = std::fs::read_dir(folder.join(NAMES[1]).join("checkpoints")).unwrap().count();
    assert!(saved == 1 && !folder.join(NAMES[2]).exists(), "{saved} checkpoints");
}

#[test]
fn invalid_combinations_are_refused_before_the_first_run() {
    let scratch = Scratch::new("sweep-refused");
    let runs = scratch.path("refused");
    for (grid, words) in [
        ("[grid]\nloss = [\"ad\", \"mixed\"]\n", &["grid.loss = \"mixed\"", "unknown variant"][..]),
        ("[grid]\nseed = [1]\ntemprature = [2.0]\n", &["grid.temprature = 2.0", "unknown field"]),
        ("[grid]\nlr = []\n", &["grid.lr", "empty"]),
        // Each alone is valid.
        ("[grid]\nloss = [\"ar\", \"ad\"]\nteacher = [\"none\"]\n", &["loss-ad_teacher-none", "setting teacher"]),
        ("[grid]\nseed = [1]\ndata = [[], [\"no such file.txt\"]]\n", &["data-no-such-file.txt_seed-1", "no such file.txt"]),
        ("[grid]\nseq = [32, 4096]\n", &["seq-4096", "context"]),
    ] {
        let (good, printed) = run(&arguments(&file(&scratch, grid), &runs, &[]));
        assert!(!good && words.iter().all(|word| printed.contains(word)) && printed.contains("sweep.toml"), "{grid}: {printed}");
        assert!(!runs.exists(), "{grid}: something was begun");
    }
    let (good, printed) = run(&arguments(&file(&scratch, GRID), &runs, &["--dry-run"]));
    assert!(good && printed.contains("loss-ar_seed-2  12 steps") && printed.contains("4 to do: 0.003 M tokens") && !runs.exists(), "{printed}");
    let (good, printed) = run(&arguments(&file(&scratch, GRID), &runs, &["--memory", "1MB"]));
    assert!(!good && printed.contains("loss-ad_seed-1: does not fit") && !runs.exists(), "{printed}");
    let (good, printed) = run(&arguments(&scratch.path("none.toml"), &runs, &[]));
    assert!(!good && printed.contains("none.toml"), "{printed}");
}

#[test]
fn a_run_with_other_settings_is_not_resumed() {
    let scratch = Scratch::new("sweep-other");
    let runs = scratch.path("other");
    assert!(run(&arguments(&file(&scratch, "[grid]\nseed = [1]\n"), &runs, &[])).0);
    let changed = std::fs::read_to_string(scratch.path("sweep.toml")).unwrap().replace("warmup = 2", "warmup = 3");
    std::fs::write(scratch.path("sweep.toml"), changed).unwrap();
    let (good, printed) = run(&arguments(&scratch.path("sweep.toml"), &runs, &[]));
    assert!(!good && printed.contains("seed-1") && printed.contains("warmup was 2, is 3"), "{printed}");
}
