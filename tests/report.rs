//! `signet report`: on an adapter end to end, killed and resumed, and with a part that fails.

use crate::train::{Scratch, run, signet, text};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// The parts of the report in a folder, as far as they are on disk.
fn parts(folder: &Path) -> Vec<Value> {
    let Ok(bytes) = std::fs::read(folder.join("report.json")) else { return Vec::new() };
    // It is written atomically: always whole.
    let report: Value = serde_json::from_slice(&bytes).unwrap();
    report["parts"].as_array().unwrap().clone()
}

fn part(folder: &Path, name: &str) -> Value {
    parts(folder).into_iter().find(|part| part["name"] == name).unwrap_or_default()
}

/// Arguments of a quick report of some parts.
fn quick<'a>(folder: &'a str, device: &'a str, parts: &'a str) -> [&'a str; 8] {
    ["report", "--quick", "--device", device, "--out", folder, "--parts", parts]
}

#[test]
fn an_adapter_is_measured_and_compared_with_the_cpu_device() {
    let scratch = Scratch::new("report");
    let folder = scratch.path("out");
    let names = ["devices", "dispatch", "conform", "train-5M", "decode-130M", "first-steps", "first-steps-cpu"];
    let (good, printed) = run(&quick(folder.to_str().unwrap(), "0", &names.join(",")));
    assert!(good && printed.contains("the report is complete"), "{printed}");
    for name in names {
        let part = part(&folder, name);
        assert!(part["status"] == "done" && !part["results"].as_array().unwrap().is_empty(), "{part}");
    }
    let losses = |name: &str| -> Vec<f64> { part(&folder, name)["results"].as_array().unwrap().iter().filter_map(|result| result["loss"].as_f64()).collect() };
    let (device, cpu) = (losses(names[5]), losses(names[6]));
    assert!(device.len() == 2 && cpu.len() == 2, "{device:?} {cpu:?}");
    assert!(device.iter().zip(&cpu).all(|(a, b)| (a - b).abs() < 1e-3 * b), "{device:?} {cpu:?}");
    let skipped = part(&folder, "matmul");
    assert!(skipped["status"] == "skipped" && skipped["reason"].as_str().unwrap().contains("--parts"), "{skipped}");
    let markdown = std::fs::read_to_string(folder.join("report.md")).unwrap();
    for expected in ["A dependent dispatch costs", "passed,", "tokens/s**", "| packed |", "relative difference", "| curve | not run |"] {
        assert!(markdown.contains(expected), "{expected}: {markdown}");
    }
}

#[test]
fn a_killed_report_is_resumed_and_a_failed_part_costs_only_itself() {
    let scratch = Scratch::new("report-killed");
    let folder = scratch.path("out");
    let arguments = quick(folder.to_str().unwrap(), "cpu", "devices,conform,train-5M");
    let mut killed = signet(&arguments).spawn().unwrap();
    let begun = Instant::now();
    while part(&folder, "conform")["status"] != "running" {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", parts(&folder));
        std::thread::sleep(Duration::from_millis(5));
    }
    let (good, printed) = run(&arguments);
    assert!(!good && printed.contains("another `signet report` is writing it"), "{printed}");
    killed.kill().unwrap();
    killed.wait().unwrap();
    // An earlier report whose part ended twice with the machine, and one that is to be repeated.
    let path = folder.join("report.json");
    let mut report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let devices = report["parts"][0].clone();
    assert_eq!(devices["status"], "done");
    let train = report["parts"].as_array_mut().unwrap().iter_mut().find(|part| part["name"] == "train-5M").unwrap();
    (train["status"], train["starts"]) = ("running".into(), 2.into());
    std::fs::write(&path, report.to_string()).unwrap();
    let output = signet(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(part(&folder, "devices"), devices, "it is not run again");
    assert_eq!(part(&folder, "conform")["status"], "done", "{}", part(&folder, "conform"));
    let failed = part(&folder, "train-5M");
    assert!(failed["status"] == "failed" && failed["reason"].as_str().unwrap().contains("killed 2 times"), "{failed}");
}

#[test]
fn unusable_options_and_devices_are_reported() {
    let scratch = Scratch::new("report-bad");
    let folder = scratch.path("out");
    let (good, printed) = run(&quick(folder.to_str().unwrap(), "cpu", "devices,nothing"));
    assert!(!good && printed.contains("no part \"nothing\"") && printed.contains("devices, dispatch, conform"), "{printed}");
    // The report is made, and says so of each part.
    let (good, printed) = run(&quick(folder.to_str().unwrap(), "no such adapter", "dispatch"));
    assert!(good, "{printed}");
    let failed = part(&folder, "dispatch");
    assert!(failed["status"] == "failed" && failed["reason"].as_str().unwrap().contains("no such adapter"), "{failed}");
}
