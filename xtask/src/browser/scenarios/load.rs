//! The page paints within two seconds, without console errors or requests to other origins. On a slow machine it
//! may take a few times as long as a page of one word.

use crate::browser::{Browser, Chromium, DESKTOP, PATIENCE, Scene, wait};

/// Maximum milliseconds until the first paint,
const MAX_PAINT: f64 = 2_000.0;
/// or this multiple of the time for a page of one word.
const MAX_RATIO: f64 = 4.0;

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(DESKTOP)?;
    let least = first_paint(&browser, "data:text/html,word")?;
    let paint = first_paint(&browser, &server.url())?;
    if paint > MAX_PAINT.max(MAX_RATIO * least) {
        return Err(format!(
            "the first paint came after {paint:.0} ms, later than {MAX_PAINT} ms and {MAX_RATIO} times the {least:.0} ms of a page of one word"
        ));
    }
    let ready = wait_until_started(&browser)?;
    let elsewhere =
        browser.script("return performance.getEntriesByType('resource').map((it) => it.name).filter((it) => new URL(it).origin !== location.origin);")?;
    if elsewhere.as_array().is_none_or(|all| !all.is_empty()) {
        return Err(format!("the page asks other origins: {elsewhere}"));
    }
    scene.save_screenshot(&browser, "start")?;
    no_console_errors(&browser)?;
    Ok(format!("first paint {paint:.0} ms, ready {ready:.0} ms"))
}

/// Returns milliseconds until the first paint of a page.
fn first_paint(browser: &Chromium, address: &str) -> Result<f64, String> {
    browser.navigate(address)?;
    let script = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null;";
    wait("the first paint", PATIENCE, || Ok(browser.script(script)?.as_f64()))
}

/// Waits until the module runs; returns milliseconds since the navigation.
pub(super) fn wait_until_started(browser: &dyn Browser) -> Result<f64, String> {
    let script = "const shell = document.getElementById('shell');
        return shell.hidden ? performance.now() : shell.classList.contains('failed') ? document.getElementById('status').textContent : null;";
    let seen = wait("the page", PATIENCE, || Ok(Some(browser.script(script)?).filter(|seen| !seen.is_null())))?;
    seen.as_f64().ok_or(format!("the page says: {seen}"))
}

/// Fails if there are errors on the console.
pub(super) fn no_console_errors(browser: &Chromium) -> Result<(), String> {
    let lines = browser.console()?;
    match lines.iter().find(|(level, _)| level == "SEVERE") {
        Some((_, text)) => Err(format!("on the console: {text}")),
        None => Ok(()),
    }
}
