//! A model from a URL: a file that is no model is refused, an interrupted download resumes, and the model opens
//! without a network later.

use super::chat::send;
use super::load::wait_until_started;
use super::offline::wait_until_cached;
use crate::browser::page::{conversation, enabled, fill, has, press, wait_for_text};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let url = server.url();
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&url)?;
    wait_until_started(&browser)?;
    wait_until_cached(&browser)?;
    press(&browser, "Chat")?;
    if !has(&browser, "Address of a packed model")? {
        press(&browser, "Models from the network")?;
    }
    fetch(&browser, &format!("{url}index.html"))?;
    wait_for_text(&browser, "is not a model", PATIENCE)?;
    press(&browser, "Dismiss this error")?;
    // The connection breaks once, half-way.
    server.cut_once(2_000_000);
    fetch(&browser, &format!("{url}assets/student.signet"))?;
    wait_for_text(&browser, "student.signet (", PATIENCE)?;
    drop(server);
    browser.navigate(&format!("{url}?again#max_tokens=12&seed=1"))?;
    wait_until_started(&browser)?;
    press(&browser, "Chat")?;
    press(&browser, "Open student.signet")?;
    wait_for_text(&browser, "student.signet on ", PATIENCE)?;
    send(&browser, "hello there")?;
    let done = || Ok(Some(conversation(&browser)?).filter(|messages| messages.len() == 2 && !enabled(&browser, "Stop").unwrap_or(true)));
    let messages = wait("the end of a reply", PATIENCE, done)?;
    match messages[1].1.trim() {
        "" => Err("the model that was fetched says nothing".into()),
        _ => Ok("what is no model was refused; a model came in spite of a cut, and opened without a server".into()),
    }
}

fn fetch(browser: &dyn Browser, address: &str) -> Result<(), String> {
    fill(browser, "Address of a packed model", address)?;
    press(browser, "Fetch")
}
