//! The conformance that the page runs by itself, on SwiftShader's WebGPU: every case that is run passes.

use super::load::quiet;
use crate::browser::{Browser, DESKTOP, Scene, wait};
use serde_json::Value;
use std::time::Duration;

/// Cases that are run here. All of them would take a program that imitates a GPU too long for every test.
const FILTER: &str = "matmul";
/// Longest that one more of them is waited for.
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
    scene.shot(&browser, "devices")?;
    quiet(&browser)?;
    judge(&report)
}

/// The state and text of the report, however long its cases take one after the other.
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

/// What a report says in a line; what is wrong with it.
fn judge(report: &Value) -> Result<String, String> {
    let device = report["device"].as_str().unwrap_or_default();
    if !device.contains("webgpu") {
        return Err(format!("the conformance ran on {device:?}, not on WebGPU"));
    }
    let rows = report["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum::<u64>();
    let models = report["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wrong: Vec<&Value> = models.iter().filter(|model| !model["failure"].is_null()).collect();
    if count("failed") > 0 || !wrong.is_empty() || !report["cut"].is_null() {
        let told: Vec<&Value> = rows.iter().flat_map(|row| row["failures"].as_array()).flatten().chain(wrong).collect();
        return Err(format!("{} of {} comparisons failed, cut {}: {told:?}", count("failed"), count("cases"), report["cut"]));
    }
    match count("cases") {
        0 => Err("nothing was compared".into()),
        cases => Ok(format!("{cases} comparisons of {FILTER} on {device}")),
    }
}
