//! Managing runs through the runner: listing, following, renaming, trash, and export.

use crate::shared::{Scratch, line, recorded};
use signet::platform::Lock;
use signet::runner::{Command, Event, MetricsPosition, RunInfo, Runner, Stop};
use std::path::{Path, PathBuf};

/// The events of a command, or its error.
pub(crate) fn ask(command: Command) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    Runner::new(Stop::default()).run(command, &mut |event| events.push(event)).map_err(|error| format!("{error:#}"))?;
    Ok(events)
}

fn list(folder: &Path) -> (bool, Vec<RunInfo>, usize) {
    match ask(Command::ListRuns { folder: folder.into() }).unwrap().remove(0) {
        Event::Runs { found, runs, trashed, .. } => (found, runs, trashed),
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = list(folder).1.into_iter().map(|run| run.name).collect();
    names.sort();
    names
}

#[test]
fn a_folder_listing_includes_broken_runs() {
    let scratch = Scratch::new("runs-list");
    let folder = scratch.path("runs");
    assert_eq!(list(&folder), (false, vec![], 0));
    let (whole, broken) = (recorded(&folder, "whole", 5), recorded(&folder, "broken", 3));
    let text = std::fs::read_to_string(broken.join("run.toml")).unwrap();
    std::fs::write(broken.join("run.toml"), text.replace("steps = 100", "steps = \"many\"")).unwrap();
    std::fs::create_dir_all(folder.join("holiday pictures")).unwrap();
    std::fs::write(folder.join("notes.txt"), "no run").unwrap();
    let held = Lock::try_acquire(&whole.join(".lock")).unwrap().unwrap();
    let (found, runs, _) = list(&folder);
    assert!(found && runs.len() == 2, "{runs:?}");
    let run = |name: &str| runs.iter().find(|run| run.name == name).unwrap();
    let (whole, broken) = (run("whole"), run("broken"));
    assert_eq!((whole.step(), whole.config.as_ref().unwrap().steps, &whole.checkpoints[..], whole.training), (5, 100, &[2][..], true));
    assert_eq!((whole.held_out.unwrap().0, whole.held_out_kl(), whole.problem.as_ref()), (4, Some(0.5), None));
    assert!((whole.perplexity().unwrap() - 3f64.exp()).abs() < 1e-9 && whole.modified > 1e9);
    assert!(broken.problem.as_ref().is_some_and(|problem| problem.contains("run.toml") && problem.contains("steps")), "{broken:?}");
    assert_eq!((broken.step(), broken.training), (3, false));
    drop(held);
    assert!(list(&folder).1.iter().all(|run| !run.training));
}

#[test]
fn a_run_is_followed_until_it_is_removed() {
    let scratch = Scratch::new("runs-follow");
    let run = recorded(&scratch.path("runs"), "growing", 3);
    let follow = |from: MetricsPosition| {
        let events = ask(Command::FollowRun { path: run.clone(), from, pieces: 0 })?;
        let (mut steps, mut end, mut again, mut broken) = (Vec::new(), from, false, Vec::new());
        for event in events {
            let Event::RunMetrics { until, restarted, metrics, broken: lines, .. } = event else { panic!("{event:?}") };
            steps.extend(metrics.iter().map(|metrics| metrics.step));
            broken.extend(lines);
            (end, again) = (until, again | restarted);
        }
        Ok::<_, String>((steps, end, again, broken))
    };
    let (steps, place, ..) = follow(MetricsPosition::default()).unwrap();
    assert_eq!(steps, [1, 2, 3]);
    let file = run.join("metrics.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.clone() + &line(4) + "no step\n" + &line(5) + "{\"step\": 6").unwrap();
    let (steps, place, restarted, broken) = follow(place).unwrap();
    assert_eq!((steps, restarted), (vec![4, 5], false));
    assert!(broken.len() == 1 && broken[0].contains("metrics.jsonl: line 5"), "{broken:?}");
    std::fs::write(&file, line(1)).unwrap();
    let (steps, place, restarted, _) = follow(place).unwrap();
    assert_eq!((steps, restarted), (vec![1], true));
    std::fs::remove_dir_all(&run).unwrap();
    let gone = follow(place).unwrap_err();
    assert!(gone.contains("growing") && gone.contains("deleted"), "{gone}");
}

#[test]
fn a_run_is_renamed_unless_the_name_is_taken_or_it_is_training() {
    let scratch = Scratch::new("runs-rename");
    let folder = scratch.path("runs");
    let (a, b) = (recorded(&folder, "a", 2), recorded(&folder, "b", 2));
    let rename = |path: &Path, name: &str| ask(Command::RenameRun { path: path.into(), name: name.into() });
    for (name, why) in [("", "empty"), ("x/y", "'/'"), ("..", "dot"), ("con.txt", "Windows"), ("COM1", "Windows"), ("what?", "'?'"), ("end.", "dot")] {
        let printed = rename(&a, name).unwrap_err();
        assert!(printed.contains(why), "{name:?}: {printed}");
    }
    let printed = rename(&a, "b").unwrap_err();
    assert!(printed.contains("exists") && printed.contains("another name"), "{printed}");
    let held = Lock::try_acquire(&b.join(".lock")).unwrap();
    for command in [Command::RenameRun { path: b.clone(), name: "c".into() }, Command::TrashRun { path: b.clone() }] {
        let printed = ask(command).unwrap_err();
        assert!(printed.contains("being trained") && printed.contains("Stop"), "{printed}");
    }
    drop(held);
    let Event::Renamed { to, .. } = rename(&b, "console, größer").unwrap().remove(0) else { panic!() };
    assert_eq!((to.join("run.toml").is_file(), names(&folder)), (true, vec!["a".to_string(), "console, größer".into()]));
    assert!(rename(&b, "d").unwrap_err().contains("no such run"));
    std::fs::create_dir_all(folder.join("pictures")).unwrap();
    assert!(rename(&folder.join("pictures"), "d").unwrap_err().contains("not a run"));
    assert!(!folder.join("pictures/.lock").exists());
}

#[test]
fn trashed_runs_are_restored_until_the_trash_is_emptied() {
    let scratch = Scratch::new("runs-trash");
    let folder = scratch.path("runs");
    let trash = |name: &str| match ask(Command::TrashRun { path: folder.join(name) }).unwrap().remove(0) {
        Event::Trashed { from, to } => (from, to),
        other => panic!("{other:?}"),
    };
    recorded(&folder, "a", 2);
    let (from, first) = trash("a");
    recorded(&folder, "a", 3);
    let (_, second) = trash("a");
    assert!(first != second && from == folder.join("a"));
    let (_, runs, trashed) = list(&folder);
    assert_eq!((runs.len(), trashed), (0, 2));
    ask(Command::RestoreRun { from: first.clone(), to: from.clone() }).unwrap();
    assert_eq!(list(&folder).1[0].step(), 2);
    let taken = ask(Command::RestoreRun { from: second.clone(), to: from.clone() }).unwrap_err();
    assert!(taken.contains("exists") && second.join("run.toml").exists(), "{taken}");
    assert!(ask(Command::RestoreRun { from: from.clone(), to: folder.join("b") }).unwrap_err().contains("not in the trash"));
    let emptied = ask(Command::EmptyTrash { folder: folder.clone() }).unwrap();
    assert!(matches!(emptied[..], [Event::TrashEmptied { runs: 1, .. }]), "{emptied:?}");
    assert!(!second.exists() && from.join("run.toml").exists());
    assert!(ask(Command::RestoreRun { from: second, to: folder.join("b") }).unwrap_err().contains("no longer in the trash"));
}

#[test]
fn curves_and_tables_of_several_runs_are_written_atomically() {
    let scratch = Scratch::new("runs-export");
    let folder = scratch.path("runs");
    let runs = vec![recorded(&folder, "first", 40), recorded(&folder, "second", 30)];
    let write = |runs: &[PathBuf], name: &str, replace| ask(Command::Export { runs: runs.to_vec(), out: scratch.path(name), replace });
    let export = |runs: &[PathBuf], name: &str| write(runs, name, true);
    for name in ["both.svg", "both.PNG", "both.csv", "one.svg"] {
        export(if name.starts_with("both") { &runs } else { &runs[..1] }, name).unwrap();
    }
    let svg = std::fs::read_to_string(scratch.path("both.svg")).unwrap();
    assert!(svg.contains("first") && svg.contains("second"));
    assert!(std::fs::read_to_string(scratch.path("one.svg")).unwrap().contains("block 1"));
    assert!(std::fs::read(scratch.path("both.PNG")).unwrap().starts_with(b"\x89PNG"));
    let csv = std::fs::read_to_string(scratch.path("both.csv")).unwrap();
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows.len() == 71 && rows[0].starts_with("run,step,tokens,") && rows[0].ends_with(",flips_1_down"), "{}", rows[0]);
    assert!(rows[2].starts_with("first,2,128,4,") && rows[70].starts_with("second,30,"), "{} {}", rows[2], rows[70]);
    assert!(rows.iter().all(|row| row.split(',').count() == rows[0].split(',').count()));
    for (name, why) in [("both.xls", ".csv"), ("both", ".svg"), ("no folder/both.svg", "no folder"), ("no folder/both.csv", "no folder")] {
        let printed = export(&runs, name).unwrap_err();
        assert!(printed.contains(why), "{name}: {printed}");
    }
    let printed = write(&runs, "both.svg", false).unwrap_err();
    assert!(printed.contains("exists") && std::fs::read_to_string(scratch.path("both.svg")).unwrap() == svg, "{printed}");
    // A missing run does not affect earlier output.
    let gone = [runs[0].clone(), folder.join("gone")];
    for name in ["both.svg", "both.csv"] {
        let before = std::fs::read(scratch.path(name)).unwrap();
        let printed = export(&gone, name).unwrap_err();
        assert!(printed.contains("gone") && std::fs::read(scratch.path(name)).unwrap() == before, "{printed}");
    }
    let (good, printed) = crate::train::run(&["curves", runs[0].to_str().unwrap(), "--out", scratch.path("cli.png").to_str().unwrap()]);
    assert!(good && printed.contains("1 run") && scratch.path("cli.png").exists(), "{printed}");
    assert!(export(&[], "both.svg").is_err());
}

#[test]
fn an_archive_holds_every_file_of_its_runs() {
    let scratch = Scratch::new("runs-zip");
    let (one, other) = (recorded(&scratch.path("runs"), "same", 40), recorded(&scratch.path("more"), "same", 3));
    // Longer than the read buffer.
    let weights: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(one.join("checkpoints/step-00000002/model.safetensors"), &weights).unwrap();
    std::fs::write(one.join(".lock"), "").unwrap();
    let out = scratch.path("runs.zip");
    ask(Command::Export { runs: vec![one.clone(), other.clone()], out: out.clone(), replace: false }).unwrap();
    let mut archive = zip::ZipArchive::new(std::fs::File::open(&out).unwrap()).unwrap();
    let mut names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    names.sort();
    let files = ["checkpoints/step-00000002/model.safetensors", "metrics.jsonl", "run.toml"];
    assert_eq!(names, [files.map(|file| format!("same-2/{file}"))[1..].to_vec(), files.map(|file| format!("same/{file}")).to_vec()].concat());
    for (name, path) in
        names.iter().map(|name| (name, name.replacen("same-2", "more/same", 1).replacen("same/", "runs/same/", usize::from(!name.starts_with("same-2")))))
    {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut archive.by_name(name).unwrap(), &mut bytes).unwrap();
        assert_eq!(bytes, std::fs::read(scratch.path(&path)).unwrap(), "{name}");
    }
    // A run without weights has no model, and a model is of one run.
    for runs in [vec![other.clone()], vec![one, other]] {
        ask(Command::Export { runs, out: scratch.path("m.signet"), replace: false }).unwrap_err();
    }
    assert!(!scratch.path("m.signet").exists());
}
