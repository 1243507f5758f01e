//! A new version of the page is downloaded, offered, and activated on request.

use super::load::{no_console_errors, wait_until_started};
use super::offline::wait_until_cached;
use crate::browser::page::{has, press};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};
use crate::web;
use std::path::Path;

/// A comment in the new version's style sheet.
const NEW: &str = "/* new */";

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let folder = scene.folder()?;
    copy(&web::dist(), folder.path())?;
    let server = scene.serve_folder(folder.path())?;
    let browser = scene.chromium(DESKTOP)?;
    let new = || Ok::<_, String>(browser.eval_async("(await (await fetch('style.css')).text())")?.as_str().is_some_and(|style| style.contains(NEW)));
    browser.navigate(&server.url())?;
    wait_until_started(&browser)?;
    wait_until_cached(&browser)?;
    let style = folder.path().join("style.css");
    let text = std::fs::read_to_string(&style).map_err(|error| error.to_string())?;
    std::fs::write(&style, text + NEW).map_err(|error| error.to_string())?;
    web::publish(folder.path(), true)?;
    browser.navigate(&server.url())?;
    wait_until_started(&browser)?;
    wait("the offer of a new version", PATIENCE, || Ok(has(&browser, "Reload")?.then_some(())))?;
    if new()? {
        return Err("the new version was activated before it was requested".into());
    }
    scene.save_screenshot(&browser, "update")?;
    press(&browser, "Reload")?;
    // Polled without a request that the old service worker would answer: a busy one is not replaced.
    let one = "(await caches.keys()).length === 1 && !(await navigator.serviceWorker.getRegistration()).waiting && document.getElementById('update').hidden";
    wait("the new version in the place of the old", PATIENCE, || Ok((browser.eval_async(one)? == true).then_some(())))?;
    wait_until_started(&browser)?;
    if has(&browser, "Reload")? {
        return Err("the new version is still offered after it was taken".into());
    }
    if !new()? {
        return Err("the old version is still shown".into());
    }
    no_console_errors(&browser)?;
    Ok("taken when asked for".into())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let describe = |error: std::io::Error| format!("{}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(describe)?;
    for entry in std::fs::read_dir(from).map_err(describe)? {
        let entry = entry.map_err(describe)?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &place)? } else { std::fs::copy(&path, &place).map(|_| ()).map_err(describe)? }
    }
    Ok(())
}
