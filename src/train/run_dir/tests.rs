//! Tests of run directories that are moved or deleted, or left behind by a killed process.

use super::*;
use crate::platform::{exists, list, make_dir};

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("signet-run-dir-{name}-{}", std::process::id()));
    remove_dir(&dir).unwrap();
    make_dir(&dir).unwrap();
    dir
}

fn create(path: &Path, steps: u64) -> Result<RunDir, RunError> {
    RunDir::create(path, &TrainConfig { steps, ..TrainConfig::default() }, &Variants::default())
}

fn line(step: u64) -> Metrics {
    Metrics { step, ..Metrics::default() }
}

// Windows cannot rename a directory with an open file.
#[cfg(unix)]
#[test]
fn a_moved_run_does_not_write_into_the_one_in_its_place() {
    let dir = scratch("moved");
    let (path, moved) = (dir.join("run"), dir.join("moved"));
    let mut first = create(&path, 10).unwrap();
    first.record(&line(1)).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    assert!(matches!(first.record(&line(2)), Err(RunError::Gone(_))));
    let mut second = create(&path, 20).unwrap();
    let refused = |result: Result<(), RunError>| assert!(matches!(result, Err(RunError::Replaced(_))), "{result:?}");
    let attack = |first: &mut RunDir| {
        refused(first.record(&line(2)));
        refused(first.log("note"));
        refused(first.sample(2, "text"));
        refused(first.curves("<svg/>"));
        refused(first.write_changes(&Changes::default()));
        refused(first.cut(0).map(drop));
        refused(first.prune(0, &[]));
        refused(first.sync());
        refused(first.recreate().map(drop));
    };
    attack(&mut first);
    second.record(&line(1)).unwrap();
    drop(second);
    attack(&mut first);
    assert_eq!(std::fs::read_to_string(path.join("metrics.jsonl")).unwrap(), std::fs::read_to_string(moved.join("metrics.jsonl")).unwrap());
    assert!(RunDir::open(&path).is_ok() && std::fs::read_to_string(path.join("run.toml")).unwrap().contains("steps = 20"));
    // The moved run is still locked.
    assert!(matches!(RunDir::open(&moved), Err(RunError::InUse(_))));
    remove_dir(&dir).unwrap();
}

#[test]
fn a_deleted_run_is_recreated_and_locked() {
    let dir = scratch("deleted");
    let path = dir.join("run");
    let mut run = create(&path, 10).unwrap();
    for deleted in [&path, &path.join(LOCK)] {
        let _ = std::fs::remove_file(deleted).or_else(|_| std::fs::remove_dir_all(deleted));
        assert!(!run.is_in_place());
        assert_eq!(run.recreate().unwrap(), deleted == &path);
        assert!(run.is_in_place());
        run.record(&line(1)).unwrap();
        assert!(matches!(RunDir::open(&path), Err(RunError::InUse(_))));
    }
    // Another process is creating a run there.
    std::fs::remove_dir_all(&path).unwrap();
    make_dir(&path).unwrap();
    let other = RunDir::lock(&path).unwrap();
    assert!(matches!(run.recreate(), Err(RunError::InUse(_))));
    drop(other);
    remove_dir(&dir).unwrap();
}

#[test]
fn leftovers_of_a_killed_process_are_removed_when_a_run_is_opened() {
    let dir = scratch("litter");
    let path = dir.join("run");
    drop(create(&path, 10).unwrap());
    let checkpoints = path.join("checkpoints");
    for part in [".step-00000005.part", ".signet-0123456789abcdef.part", ".other"] {
        make_dir(&checkpoints.join(part)).unwrap();
        std::fs::write(checkpoints.join(part).join("model.safetensors"), "half").unwrap();
    }
    for part in [".curves.svg.part", ".signet-0123456789abcdef.part", ".my.part"] {
        std::fs::write(path.join(part), "half").unwrap();
    }
    let (run, _) = RunDir::open(&path).unwrap();
    assert_eq!(list(&checkpoints).unwrap(), [".other"]);
    assert!(exists(&path.join(".my.part")) && list(&path).unwrap().iter().filter(|name| name.ends_with(".part")).count() == 1);
    drop(run);
    remove_dir(&dir).unwrap();
}

#[test]
fn a_run_whose_settings_are_deleted_keeps_its_metrics() {
    let dir = scratch("settings");
    let path = dir.join("run");
    let mut run = create(&path, 10).unwrap();
    run.record(&line(1)).unwrap();
    std::fs::remove_file(path.join("run.toml")).unwrap();
    assert!(run.recreate().unwrap());
    run.record(&line(2)).unwrap();
    let recorded = run.run_record(&Changes::default()).metrics;
    assert_eq!(recorded.bytes, std::fs::metadata(path.join("metrics.jsonl")).unwrap().len());
    assert!(recorded.is_prefix_of(&path.join("metrics.jsonl")).unwrap());
    drop(run);
    remove_dir(&dir).unwrap();
}

#[test]
fn missing_variants_are_not_replaced_by_portable_ones() {
    let dir = scratch("variants");
    let path = dir.join("run");
    drop(create(&path, 10).unwrap());
    std::fs::remove_file(path.join("variants.json")).unwrap();
    let (mut run, _) = RunDir::open(&path).unwrap();
    // No checkpoint has a copy: the run may be of a version without a choice.
    assert!(run.variants().is_ok() && !run.has_variants());
    let metrics = GrowingFile::default().lines();
    run.record = Some(RunRecord { settings: String::new(), variants: "{}".into(), changes: String::new(), metrics });
    let error = run.variants().unwrap_err().to_string();
    assert!(error.contains("variants.json: it is missing") && error.contains(" check --repair ") && !error.contains("Delete"), "{error}");
    drop(run);
    remove_dir(&dir).unwrap();
}

#[test]
fn samples_of_any_length_are_cut() {
    let dir = scratch("samples");
    let path = dir.join("run");
    let mut run = create(&path, 10).unwrap();
    run.sample(1, "text").unwrap();
    run.sample(2, &"x".repeat(platform::SETTINGS_LIMIT as usize)).unwrap();
    run.cut(1).unwrap();
    assert_eq!(std::fs::read_to_string(path.join(SAMPLES)).unwrap(), samples::entry(1, "text"));
    drop(run);
    remove_dir(&dir).unwrap();
}
