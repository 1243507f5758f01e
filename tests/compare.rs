//! Comparison of synthetic runs with known results.

use crate::train::{Scratch, run};
use signet::runner::{Axis, Command, CompareReport, CompareRequest, Divergence, Event, Loss, Losses, Metrics, Runner, Stop, Term, TrainConfig};
use std::path::{Path, PathBuf};

/// A run of ten steps whose final held-out KL divergence is `kl`, and a tenth less at step 6.
fn write_run(folder: &Path, name: &str, config: &TrainConfig, kl: f64) -> PathBuf {
    let run = folder.join(name);
    std::fs::create_dir_all(run.join("checkpoints")).unwrap();
    std::fs::write(run.join("run.toml"), toml::to_string(config).unwrap()).unwrap();
    let line = |step: u64| {
        let kl = if step == 6 { kl - 0.1 } else { kl + 10.0 - step as f64 };
        let held_out = step.is_multiple_of(2).then_some(Losses::new([
            (Term::Ad, 2.0 + kl),
            (Term::Ar, 3.0 + kl),
            (Term::KL, kl),
            (Term::Of(Divergence::Reverse), 2.0 * kl),
            (Term::Of(Divergence::Js), kl / 10.0),
        ]));
        let metrics = Metrics {
            step,
            tokens: 64 * step,
            loss: 9.0 / step as f64,
            ad: Some(2.0),
            ar: 3.0,
            kl: Some(kl),
            norm: Some(1.0),
            lr: 1e-3,
            flip_ratio: if step == 10 { 0.002 } else { 0.5 },
            flips: vec![0.5; 7],
            taken: true,
            seconds: step as f64,
            held_out,
            ..Default::default()
        };
        serde_json::to_string(&metrics).unwrap() + "\n"
    };
    std::fs::write(run.join("metrics.jsonl"), (1..=10).map(line).collect::<String>()).unwrap();
    run
}

fn ten_steps() -> TrainConfig {
    TrainConfig { steps: 10, ..TrainConfig::default() }
}

/// Three seeds of `ad` and `ar` each, and one run of Jensen–Shannon.
fn write_seven_runs(folder: &Path) {
    for seed in 1..=3 {
        let ad = TrainConfig { seed, ..ten_steps() };
        write_run(folder, &format!("ad-{seed}"), &ad, 1.0 + seed as f64);
        write_run(folder, &format!("ar-{seed}"), &TrainConfig { loss: Loss::Ar, ..ad }, 4.0);
    }
    write_run(folder, "js", &TrainConfig { divergence: Divergence::Js, ..ten_steps() }, 1.5);
}

fn compare(runs: &[PathBuf], out: Option<PathBuf>) -> Result<CompareReport, String> {
    let mut report = None;
    let request = CompareRequest { runs: runs.to_vec(), out, axis: Axis::Tokens };
    let result = Runner::new(Stop::default()).run(Command::Compare(request), &mut |event| {
        if let Event::Compared(compared) = event {
            report = Some(*compared);
        }
    });
    result.map(|()| report.expect("a comparison was reported")).map_err(|error| format!("{error:#}"))
}

#[test]
fn runs_that_differ_in_the_seed_are_averaged() {
    let scratch = Scratch::new("compare");
    let (folder, out) = (scratch.path("runs"), scratch.path("both.svg"));
    write_seven_runs(&folder);
    let report = compare(&[folder], Some(out.clone())).unwrap();
    let names: Vec<(&str, usize)> = report.groups.iter().map(|group| (&group.name[..], group.runs.len())).collect();
    assert_eq!(names, [("divergence forward, loss ad", 3), ("loss ar", 3), ("divergence js", 1)]);
    assert!(report.warnings.is_empty() && report.best_by == "kl", "{report:?}");
    let near = |average: Option<signet::runner::Average>, mean: f64, deviation: Option<f64>| {
        let average = average.unwrap();
        let same = (average.mean - mean).abs() < 1e-12 && average.deviation.zip(deviation).is_none_or(|(a, b)| (a - b).abs() < 1e-12);
        assert!(same && average.deviation.is_some() == deviation.is_some(), "{average:?}, not {mean} ± {deviation:?}");
    };
    let ad = &report.groups[0];
    near(ad.average("kl"), 3.0, Some(1.0));
    near(ad.average("reverse"), 6.0, Some(2.0));
    near(ad.average("js"), 0.3, Some(0.1));
    near(ad.average("ar"), 6.0, Some(1.0));
    near(ad.average("best"), 2.9, Some(1.0));
    near(ad.average("flips"), 0.002, Some(0.0));
    near(ad.average("steps"), 10.0, Some(0.0));
    near(report.groups[1].average("kl"), 4.0, Some(0.0));
    near(report.groups[2].average("tokens"), 640.0, None);
    assert_eq!(ad.runs[0].best, Some((6, 1.9)));
    let drawn = std::fs::read_to_string(out).unwrap();
    for word in ["loss ar", "divergence js", "tokens", "<polygon", "KL(student||teacher)", "standard deviation"] {
        assert!(drawn.contains(word), "{word}");
    }
}

#[test]
fn the_table_is_markdown_csv_or_json() {
    let scratch = Scratch::new("compare-table");
    let folder = scratch.path("runs");
    write_seven_runs(&folder);
    let (good, printed) = run(&["compare", folder.to_str().unwrap()]);
    let row = printed.lines().find(|line| line.starts_with("| divergence forward, loss ad |")).unwrap_or_else(|| panic!("{printed}"));
    assert!(good && row.contains(" 3.0000 ± 1.0000 |") && row.contains(" 2.9000 ± 1.0000 |") && row.contains("| 2.00e-3 |"), "{printed}");
    let widths: Vec<usize> = printed.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]) && widths.len() == 5, "{printed}");
    let (good, printed) = run(&["compare", "--csv", folder.to_str().unwrap()]);
    assert!(good && printed.starts_with("group,runs,best_by,kl,kl_sd,") && printed.contains("\"divergence forward, loss ad\",3,kl,3,1,6,2,"), "{printed}");
    assert!(printed.contains("\"divergence js\",1,kl,1.5,,3,,"), "{printed}");
    let (good, printed) = run(&["compare", "--json", folder.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert!(good && json["groups"][0]["kl"]["deviation"] == 1.0 && json["groups"][1]["runs"][2]["seed"] == 3, "{printed}");
}

#[test]
fn runs_that_cannot_be_compared_are_warned_about() {
    let scratch = Scratch::new("compare-warned");
    let folder = scratch.path("runs");
    let one = write_run(&folder, "one", &ten_steps(), 1.0);
    let other = |name: &str, config: TrainConfig| write_run(&folder, name, &config, 1.0);
    let warned = |other: &Path, words: &[&str]| {
        let report = compare(&[one.clone(), other.into()], None).unwrap();
        let printed = report.warnings.join("\n");
        assert!(words.iter().all(|word| printed.contains(word)), "{printed}");
    };
    warned(&other("shorter", TrainConfig { seq: 64, ..ten_steps() }), &["held-out text differs", "64 tokens", "seq 128"]);
    warned(&other("text", TrainConfig { data: vec!["x.txt".into()], ..ten_steps() }), &["held-out text", "x.txt", "embedded"]);
    warned(&other("cached", TrainConfig { teacher_cache: Some("c".into()), ..ten_steps() }), &["teachers differ", "cache c at"]);
    warned(&other("unfinished", TrainConfig { steps: 99, ..ten_steps() }), &["unfinished: at step 10 of 99"]);
    let twice = other("again", ten_steps());
    warned(&twice, &["seed 11111 occurs twice"]);
    // Changed on the way, it is another experiment.
    std::fs::write(twice.join("changes.jsonl"), "{\"step\":3,\"lr\":0.5}\n").unwrap();
    assert_eq!(compare(&[one.clone(), twice], None).unwrap().groups.len(), 2);
    // A run without a teacher has no divergences, so the best run is chosen by next-token loss.
    let alone = other("alone", TrainConfig { loss: Loss::Ar, ..ten_steps() });
    let text = std::fs::read_to_string(alone.join("metrics.jsonl")).unwrap();
    let untaught = text.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        fields.retain(|name, _| !["kl", "ad"].contains(&&name[..]));
        if let Some(held) = fields.get_mut("held_out") {
            *held = serde_json::json!({ "ad": 0.0, "ar": 2.5, "kl": 0.0 });
        }
        line.to_string() + "\n"
    });
    std::fs::write(alone.join("metrics.jsonl"), untaught.collect::<String>()).unwrap();
    let report = compare(&[one, alone], None).unwrap();
    assert_eq!(
        (&report.best_by[..], report.groups[1].average("kl"), report.groups[1].average("js"), report.groups[1].average("best").unwrap().mean),
        ("ar", None, None, 2.5)
    );
}

#[test]
fn a_path_without_a_run_is_refused_by_name() {
    let scratch = Scratch::new("compare-refused");
    let (folder, empty) = (scratch.path("runs"), scratch.path("pictures"));
    std::fs::create_dir_all(&empty).unwrap();
    let one = write_run(&folder, "one", &ten_steps(), 1.0);
    let refused = |runs: &[PathBuf], out: Option<&str>, words: &[&str]| {
        let printed = compare(runs, out.map(|out| scratch.path(out))).unwrap_err();
        assert!(words.iter().all(|word| printed.contains(word)), "{printed}");
    };
    refused(&[one.clone(), empty.clone()], None, &["pictures", "not a run", "contains none"]);
    refused(&[scratch.path("nothing")], None, &["nothing", "no such directory"]);
    refused(&[one.clone(), one.clone()], None, &["one", "twice"]);
    refused(std::slice::from_ref(&one), Some("curves.pdf"), &["curves.pdf", ".svg or .png"]);
    let new = folder.join("new");
    std::fs::create_dir_all(&new).unwrap();
    std::fs::write(new.join("run.toml"), "steps = 3\n").unwrap();
    refused(&[one.clone(), new.clone()], None, &["new", "no step"]);
    std::fs::write(new.join("run.toml"), "steps = \"many\"\n").unwrap();
    refused(&[one, new], None, &["run.toml", "steps"]);
}
