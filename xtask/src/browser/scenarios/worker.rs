//! The engine's worker fails: another replaces it, and the conversation continues.

use super::chat::send;
use super::load::wait_until_started;
use crate::browser::page::{conversation, enabled, press, text};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};
use serde_json::json;

/// Records every worker that the page starts.
const WATCHED: &str = "globalThis.workers = [];
    globalThis.Worker = class extends Worker { constructor(...all) { super(...all); if (all[1]?.name === 'signet') workers.push(this); } };";

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(DESKTOP)?;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCHED }))?;
    browser.navigate(&format!("{}#max_tokens=12&seed=1&model=embedded", server.url()))?;
    wait_until_started(&browser)?;
    press(&browser, "Chat")?;
    let reply = |turns: usize| {
        let done = || Ok(Some(conversation(&browser)?).filter(|messages| messages.len() == 2 * turns && !enabled(&browser, "Stop").unwrap_or(true)));
        wait("the end of a reply", PATIENCE, done)
            .map_err(|error| format!("{error}; the page shows: {}", text(&browser).unwrap_or_default().replace('\n', " | ")))
    };
    send(&browser, "hello there")?;
    let before = reply(1)?;
    // An invalid message, on which the engine fails.
    browser.script("workers.at(-1).postMessage({ text: 'nonsense' });")?;
    wait("another worker", PATIENCE, || Ok((browser.script("return workers.length;")? == 2).then_some(())))?;
    send(&browser, "and you?")?;
    let after = reply(2)?;
    if after[..2] != before[..] || after[3].1.trim().is_empty() {
        return Err(format!("the conversation was {before:?} before the worker failed, and {after:?} after it"));
    }
    Ok("the conversation went on in another worker".into())
}
