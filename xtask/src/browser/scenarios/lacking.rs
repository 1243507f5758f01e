//! A browser that cannot draw the page, or cannot read its module, says what is missing and which have it.

use super::load::started;
use crate::browser::{Browser, DESKTOP, Scene};
use serde_json::json;

/// What is taken away before the page's own scripts run, and what the page must name.
const TAKEN: [(&str, &str); 3] = [
    ("HTMLCanvasElement.prototype.getContext = () => null;", "WebGL 2"),
    ("WebAssembly.validate = () => false;", "vector instructions (SIMD)"),
    ("delete globalThis.WebAssembly;", "WebAssembly"),
];

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    for (taken, named) in TAKEN {
        let browser = scene.chromium(DESKTOP)?;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": taken }))?;
        browser.navigate(&server.url())?;
        match started(&browser) {
            Err(said) if said.contains(named) && said.contains("Firefox 114") => {}
            Err(said) => return Err(format!("without {named} the page should name it: {said}")),
            Ok(_) => return Err(format!("without {named} the page starts all the same")),
        }
    }
    Ok(format!("{} ways", TAKEN.len()))
}
