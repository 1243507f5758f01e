//! The page, and files that it has used, open again without a network.

use super::load::{no_console_errors, wait_until_started};
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, wait};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let url = server.url();
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&url)?;
    wait_until_started(&browser)?;
    wait_until_cached(&browser)?;
    // Cached on first use, not at the start.
    let corpus = "(await (await fetch('assets/corpus.txt')).arrayBuffer()).byteLength";
    let bytes = browser.eval_async(corpus)?;
    no_console_errors(&browser)?;
    drop(server);
    browser.navigate(&format!("{url}?a=setting"))?;
    let ready = wait_until_started(&browser)?;
    for (name, wanted) in [("assets/corpus.txt", bytes.as_u64()), ("assets/student.signet", None)] {
        let found = browser.eval_async(&format!("(await (await fetch('{name}')).arrayBuffer()).byteLength"))?.as_u64();
        if found.is_none() || wanted.is_some_and(|wanted| found != Some(wanted)) {
            return Err(format!("without a network {name} has {found:?} bytes, and {wanted:?} with it"));
        }
    }
    if browser.eval_async("await fetch('assets/teacher.signet')").is_ok() {
        return Err("a file that was never used came without a network: the server still runs".into());
    }
    Ok(format!("ready {ready:.0} ms without a server"))
}

/// Waits until the service worker is active and has cached the page.
pub(super) fn wait_until_cached(browser: &dyn Browser) -> Result<(), String> {
    let active = "(await navigator.serviceWorker.getRegistration())?.active?.state === 'activated'";
    wait("a service worker that has all files", PATIENCE, || Ok((browser.eval_async(active)? == true).then_some(())))
}
