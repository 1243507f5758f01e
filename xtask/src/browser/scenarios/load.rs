//! The page comes up: seen within two seconds, without an error on the console, and without a request to
//! another origin. On a machine that needs long for any page, it may take a few times as long as one of a word.

use crate::browser::{Browser, Chromium, DESKTOP, PATIENCE, Scene, wait};

/// The page must be seen after so many milliseconds,
const PAINT: f64 = 2_000.0;
/// or so many times what a page of one word takes.
const TIMES: f64 = 4.0;

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(DESKTOP)?;
    let least = painted(&browser, "data:text/html,word")?;
    let paint = painted(&browser, &server.url())?;
    if paint > PAINT.max(TIMES * least) {
        return Err(format!("the first paint came after {paint:.0} ms, later than {PAINT} ms and {TIMES} times the {least:.0} ms of a page of one word"));
    }
    let ready = started(&browser)?;
    let elsewhere =
        browser.script("return performance.getEntriesByType('resource').map((it) => it.name).filter((it) => new URL(it).origin !== location.origin);")?;
    if elsewhere.as_array().is_none_or(|all| !all.is_empty()) {
        return Err(format!("the page asks other origins: {elsewhere}"));
    }
    scene.shot(&browser, "start")?;
    quiet(&browser)?;
    Ok(format!("first paint {paint:.0} ms, ready {ready:.0} ms"))
}

/// Milliseconds until something of a page is seen.
fn painted(browser: &Chromium, address: &str) -> Result<f64, String> {
    browser.navigate(address)?;
    let script = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null;";
    wait("the first paint", PATIENCE, || Ok(browser.script(script)?.as_f64()))
}

/// Waits until the module runs; milliseconds since the page was asked for.
pub(super) fn started(browser: &dyn Browser) -> Result<f64, String> {
    let script = "const shell = document.getElementById('shell');
        return shell.hidden ? performance.now() : shell.classList.contains('failed') ? document.getElementById('status').textContent : null;";
    let seen = wait("the page", PATIENCE, || Ok(Some(browser.script(script)?).filter(|seen| !seen.is_null())))?;
    seen.as_f64().ok_or(format!("the page says: {seen}"))
}

/// Fails if the console has an error.
pub(super) fn quiet(browser: &Chromium) -> Result<(), String> {
    let lines = browser.console()?;
    match lines.iter().find(|(level, _)| level == "SEVERE") {
        Some((_, text)) => Err(format!("on the console: {text}")),
        None => Ok(()),
    }
}
