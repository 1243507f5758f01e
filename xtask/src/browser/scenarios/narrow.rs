//! On a phone with the dark theme: nothing is wider than the screen, and a conversation works by accessible names.

use super::chat::send;
use super::load::{no_console_errors, wait_until_started};
use crate::browser::page::{conversation, press};
use crate::browser::{Browser, PATIENCE, Scene, Window, wait};

const PHONE: Window = Window { size: (360, 640), dark: true, webgpu: true };

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(PHONE)?;
    browser.navigate(&format!("{}#max_tokens=24&seed=1&model=embedded", server.url()))?;
    wait_until_started(&browser)?;
    press(&browser, "Chat")?;
    send(&browser, "hello there")?;
    let replied = || Ok(conversation(&browser)?.get(1).is_some_and(|(_, reply)| !reply.trim().is_empty()).then_some(()));
    wait("a reply", PATIENCE, replied)?;
    scene.save_screenshot(&browser, "phone")?;
    let width = browser.script("return document.documentElement.scrollWidth - innerWidth;")?;
    if width.as_f64().is_none_or(|over| over > 0.0) {
        return Err(format!("the page is {width} pixels wider than the screen"));
    }
    press(&browser, "Train")?;
    scene.save_screenshot(&browser, "phone-train")?;
    no_console_errors(&browser)?;
    Ok("a conversation on a phone".into())
}
