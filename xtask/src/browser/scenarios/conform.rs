//! The conformance check that the URL starts, on SwiftShader's WebGPU: all selected cases pass.

use super::load::no_console_errors;
use crate::browser::{Browser, DESKTOP, Scene, wait};
use serde_json::Value;
use std::time::Duration;

/// The selected cases: a software adapter is too slow for all.
const FILTER: &str = "matmul";
/// Timeout of one further case.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&format!("{}?conform=1&filter={FILTER}", server.url()))?;
    let certified = report(&browser)?;
    let text = certified[1].as_str().unwrap_or_default();
    if certified[0] != "done" {
        return Err(format!("there is no report: {text}"));
    }
    let report: Value = serde_json::from_str(text).map_err(|error| format!("the report is no JSON ({error})"))?;
    scene.save_screenshot(&browser, "devices")?;
    no_console_errors(&browser)?;
    check_report(&report)
}

/// Waits for state and text of the report, as long as cases make progress.
fn report(browser: &dyn Browser) -> Result<Value, String> {
    let script = "const it = document.getElementById('conformance');
        const done = document.getElementById('mirror').textContent.match(/\\d+ of \\d+/);
        return [it && [it.dataset.state, it.textContent], done && done[0]];";
    let mut seen = Value::Null;
    loop {
        let next = |seen: &Value| Ok(Some(browser.script(script)?).filter(|next| !next[0].is_null() || next[1] != *seen));
        let next = wait("another case of the conformance, or its report", PATIENCE, || next(&seen))?;
        if !next[0].is_null() {
            return Ok(next[0].clone());
        }
        seen = next[1].clone();
    }
}

/// Checks a report; returns a summary.
fn check_report(report: &Value) -> Result<String, String> {
    let device = report["device"].as_str().unwrap_or_default();
    if !device.contains("webgpu") {
        return Err(format!("the conformance ran on {device:?}, not on WebGPU"));
    }
    let rows = report["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum::<u64>();
    let models = report["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wrong: Vec<&Value> = models.iter().filter(|model| !model["failure"].is_null()).collect();
    if count("failed") > 0 || !wrong.is_empty() || !report["cut"].is_null() {
        let failures: Vec<&Value> = rows.iter().flat_map(|row| row["failures"].as_array()).flatten().chain(wrong).collect();
        return Err(format!("{} of {} comparisons failed, cut {}: {failures:?}", count("failed"), count("cases"), report["cut"]));
    }
    match count("cases") {
        0 => Err("nothing was compared".into()),
        cases => Ok(format!("{cases} comparisons of {FILTER} on {device}")),
    }
}
