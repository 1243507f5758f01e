//! A second tab: the first keeps its files, the second says that it keeps nothing, and both talk.

use super::chat::say;
use super::load::{quiet, started};
use crate::browser::page::{conversation, press, reads};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let address = format!("{}#max_tokens=8&seed=1&model=embedded", server.url());
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&address)?;
    started(&browser)?;
    press(&browser, "Chat")?;
    talk(&browser)?;
    browser.new_tab()?;
    browser.navigate(&address)?;
    started(&browser)?;
    press(&browser, "Chat")?;
    let told = reads(&browser, "Not kept: ", PATIENCE)?;
    talk(&browser)?;
    quiet(&browser)?;
    Ok(format!("both talk; the second says: {told}"))
}

fn talk(browser: &dyn Browser) -> Result<(), String> {
    say(browser, "hello there")?;
    let replied = || Ok(conversation(browser)?.get(1).is_some_and(|(_, reply)| !reply.trim().is_empty()).then_some(()));
    wait("a reply", PATIENCE, replied)
}
