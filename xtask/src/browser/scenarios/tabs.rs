//! Two tabs: the first keeps its files, the second says that it cannot store any, and both chat.

use super::chat::send;
use super::load::{no_console_errors, wait_until_started};
use crate::browser::page::{conversation, press, wait_for_text};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let address = format!("{}#max_tokens=8&seed=1&model=embedded", server.url());
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&address)?;
    wait_until_started(&browser)?;
    press(&browser, "Chat")?;
    chat(&browser)?;
    browser.new_tab()?;
    browser.navigate(&address)?;
    wait_until_started(&browser)?;
    press(&browser, "Chat")?;
    let notice = wait_for_text(&browser, "Not kept: ", PATIENCE)?;
    chat(&browser)?;
    no_console_errors(&browser)?;
    Ok(format!("both talk; the second says: {notice}"))
}

fn chat(browser: &dyn Browser) -> Result<(), String> {
    send(browser, "hello there")?;
    let replied = || Ok(conversation(browser)?.get(1).is_some_and(|(_, reply)| !reply.trim().is_empty()).then_some(()));
    wait("a reply", PATIENCE, replied)
}
