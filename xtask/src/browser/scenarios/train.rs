//! A run of 20 steps in the page: stopped, resumed after a reload, and its loss compared with that of the native
//! program with the same settings.

use super::load::{no_console_errors, wait_until_started};
use crate::browser::page::{fill, press, text, wait_for_text};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};
use crate::program;
use serde_json::Value;
use std::process::Command;

const STEPS: &str = "20";
const WARMUP: &str = "5";
const BATCH: &str = "2";
const SEQ: &str = "64";
/// Names of stored settings and folders; with other names, users would lose their data.
const STORED: &str = "settings | models signet";
/// Steps before the stop.
const STOP_AT: u64 = 6;
/// Maximum relative difference of the losses: WebAssembly's shorter vectors change the order of summation, and
/// the page shows four digits.
const TOLERANCE: f64 = 2e-3;

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&server.url())?;
    wait_until_started(&browser)?;
    press(&browser, "Train")?;
    for (field, value) in [("Steps", STEPS), ("Warm-up", WARMUP), ("Batch", BATCH), ("Sequence length", SEQ)] {
        fill(&browser, field, value)?;
    }
    press(&browser, "Start")?;
    wait("the first steps", 2 * PATIENCE, || Ok(step(&browser)?.filter(|step| *step >= STOP_AT))).map_err(|error| with_page_text(&browser, error))?;
    scene.save_screenshot(&browser, "training")?;
    press(&browser, "Stop")?;
    let stopped = wait_for_text(&browser, "everything is saved", PATIENCE)?;
    // The app stores its settings at intervals, when it draws.
    let kept = "document.getElementById('signet').dispatchEvent(new PointerEvent('pointermove', { clientX: 9, clientY: 9, bubbles: true }));
        return Object.values(localStorage).some((it) => it.includes('run-1'));";
    wait("that the app remembers the run", PATIENCE, || Ok((browser.script(kept)? == true).then_some(())))?;
    let stored = "await (async () => { const folders = await Array.fromAsync((await navigator.storage.getDirectory()).keys());
        return Object.keys(localStorage).sort().join(' ') + ' | ' + folders.sort().join(' '); })()";
    let stored = browser.eval_async(stored)?;
    if stored != STORED {
        return Err(format!("the page keeps what it remembers under {stored}, not under {STORED:?}"));
    }
    browser.navigate(&format!("{}?again", server.url()))?;
    wait_until_started(&browser)?;
    press(&browser, "Train")?;
    press(&browser, "Resume")?;
    wait_for_text(&browser, "finished after 20 steps", 2 * PATIENCE)?;
    let shown = wait_for_text(&browser, "loss ", PATIENCE)?;
    let here: f64 = shown.trim_start_matches("loss ").parse().map_err(|_| format!("the page shows no loss but {shown:?}"))?;
    let there = native(scene)?;
    if (here / there - 1.0).abs() > TOLERANCE {
        return Err(format!("after {STEPS} steps the page's loss is {here} and the native program's {there}"));
    }
    scene.save_screenshot(&browser, "trained")?;
    no_console_errors(&browser)?;
    Ok(format!("loss {here}, native {there:.4}; {stopped}"))
}

/// Returns the step that the page shows.
fn step(browser: &dyn Browser) -> Result<Option<u64>, String> {
    let ending = format!(" of {STEPS}");
    Ok(text(browser)?.lines().find_map(|line| line.strip_prefix("step ")?.strip_suffix(ending.as_str())?.parse().ok()))
}

fn with_page_text(browser: &dyn Browser, error: String) -> String {
    format!("{error}; the page shows: {}", text(browser).unwrap_or_default().replace('\n', " | "))
}

/// Returns the last loss of the native program.
fn native(scene: &Scene) -> Result<f64, String> {
    let folder = scene.folder()?;
    let arguments = ["train", "--device", "cpu", "--json", "--name", "run", "--steps", STEPS, "--warmup", WARMUP, "--batch", BATCH, "--seq", SEQ];
    let output = Command::new(program::native()?).args(arguments).current_dir(folder.path()).output().map_err(|error| format!("signet train: {error}"))?;
    if !output.status.success() {
        return Err(format!("signet train: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let lines = std::fs::read_to_string(folder.path().join("runs/run/metrics.jsonl")).map_err(|error| format!("metrics.jsonl: {error}"))?;
    let last = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter_map(|line| line["loss"].as_f64()).next_back();
    last.ok_or("the native program recorded no loss".into())
}
