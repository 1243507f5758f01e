//! In a browser without a required feature, the page names the feature and browsers that have it.

use super::load::wait_until_started;
use crate::browser::{Browser, DESKTOP, Scene};
use serde_json::json;

/// Scripts that disable a feature before the page loads, and the feature that the page must name.
const DISABLED: [(&str, &str); 3] = [
    ("HTMLCanvasElement.prototype.getContext = () => null;", "WebGL 2"),
    ("WebAssembly.validate = () => false;", "vector instructions (SIMD)"),
    ("delete globalThis.WebAssembly;", "WebAssembly"),
];

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    for (script, named) in DISABLED {
        let browser = scene.chromium(DESKTOP)?;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }))?;
        browser.navigate(&server.url())?;
        match wait_until_started(&browser) {
            Err(message) if message.contains(named) && message.contains("Firefox 114") => {}
            Err(message) => return Err(format!("without {named} the page should name it: {message}")),
            Ok(_) => return Err(format!("without {named} the page starts all the same")),
        }
    }
    Ok(format!("{} ways", DISABLED.len()))
}
