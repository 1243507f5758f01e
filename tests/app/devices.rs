//! The Devices tab: conformance checks with report, stopping, errors, and benchmarks.

use super::Driver;
use crate::shared::Scratch;
use egui_kittest::kittest::Queryable;
use signet_app::Tab;

/// Opens the tab with a filter of cases.
fn filtered(scratch: &Scratch, filter: &str) -> Driver {
    let mut driver = Driver::new(&scratch.0, Tab::Devices);
    driver.wait_for("Run conformance");
    if !filter.is_empty() {
        let field = driver.harness.get_by_label("Only cases with");
        field.focus();
        field.type_text(filter);
        driver.harness.run_steps(3);
    }
    driver
}

#[test]
fn conformance_runs_to_its_end_and_its_report_is_saved() {
    let scratch = Scratch::new("conformance");
    let mut driver = filtered(&scratch, "swiglu: ");
    driver.click("Run conformance");
    driver.wait_until("its end", |app| app.shows("passed: ", true));
    assert!(driver.shows("Conformance of CPU", false) && driver.shows("swiglu", false) && !driver.shows("rope", false));
    driver.click("Save report");
    driver.wait_until("the file's name", |app| app.shows("conformance-cpu.json", true));
    let saved = std::fs::read_to_string(scratch.0.join("conformance-cpu.json")).unwrap();
    let report: signet::runner::Report = serde_json::from_str(&saved).unwrap();
    assert!(report.passed() && report.cases() > 3);
    assert!(driver.shows(&format!("passed: {} comparisons", report.cases()), false));
    assert!(std::fs::read_to_string(scratch.0.join("conformance-cpu.md")).unwrap().starts_with("# Conformance of CPU"));
    // A second report does not replace the first.
    driver.click("Save report");
    driver.wait_until("another name", |app| app.shows("conformance-cpu-2.json", true));
}

#[test]
fn stopping_keeps_results() {
    let scratch = Scratch::new("stopped");
    let mut driver = filtered(&scratch, "");
    driver.click("Run conformance");
    driver.wait_until("a first case", |app| app.shows("comparisons so far", true) && !app.shows("0 comparisons so far, 0 failed", false));
    let begun = std::time::Instant::now();
    driver.click("Stop");
    driver.wait_until("the stop", |app| app.shows("CPU: stopped after ", true));
    assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}", begun.elapsed());
    assert!(driver.shows("cases passed", false) && driver.shows("Save report", false));
    driver.click("Copy report");
    driver.wait_for("Run conformance");
}

#[test]
fn a_filter_without_matches_is_reported_in_place() {
    let scratch = Scratch::new("nothing");
    let mut driver = filtered(&scratch, "no such operation");
    driver.click("Run conformance");
    driver.wait_until("the failure", |app| app.shows("the conformance failed on CPU", true));
}

#[test]
fn a_benchmark_is_run_and_saved() {
    let scratch = Scratch::new("benchmark");
    let mut driver = filtered(&scratch, "");
    driver.click("Benchmark");
    driver.click("Dispatches");
    driver.click("Run benchmark");
    driver.wait_until("its result", |app| app.shows("a dependent dispatch", true) && app.shows("Save benchmarks", false));
    driver.click("Save benchmarks");
    driver.wait_until("the file's name", |app| app.shows("benchmarks.txt", true));
    assert!(std::fs::read_to_string(scratch.0.join("benchmarks.txt")).unwrap().contains("a dependent dispatch: "));
}
