//! The page opens again when there is no network, and so does what it has used.

use super::load::{quiet, started};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let url = server.url();
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&url)?;
    started(&browser)?;
    kept(&browser)?;
    // Not kept from the start, but once it was used.
    let corpus = "(await (await fetch('assets/corpus.txt')).arrayBuffer()).byteLength";
    let bytes = browser.promised(corpus)?;
    quiet(&browser)?;
    drop(server);
    browser.navigate(&format!("{url}?a=setting"))?;
    let ready = started(&browser)?;
    for (name, wanted) in [("assets/corpus.txt", bytes.as_u64()), ("assets/student.signet", None)] {
        let found = browser.promised(&format!("(await (await fetch('{name}')).arrayBuffer()).byteLength"))?.as_u64();
        if found.is_none() || wanted.is_some_and(|wanted| found != Some(wanted)) {
            return Err(format!("without a network {name} has {found:?} bytes, and {wanted:?} with it"));
        }
    }
    if browser.promised("await fetch('assets/teacher.signet')").is_ok() {
        return Err("a file that was never used came without a network: the server still runs".into());
    }
    Ok(format!("ready {ready:.0} ms without a server"))
}

/// Waits until the page is kept for use without a network.
pub(super) fn kept(browser: &dyn Browser) -> Result<(), String> {
    let active = "(await navigator.serviceWorker.getRegistration())?.active?.state === 'activated'";
    wait("a service worker that has all files", PATIENCE, || Ok((browser.promised(active)? == true).then_some(())))
}
