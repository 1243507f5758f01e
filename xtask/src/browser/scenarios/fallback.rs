//! A browser without WebGPU still shows the page, without an error on its console.

use super::load::{quiet, started};
use crate::browser::{Browser, DESKTOP, Scene, Window};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(Window { webgpu: false, ..DESKTOP })?;
    browser.navigate(&server.url())?;
    let there = browser.promised("Boolean(await navigator.gpu?.requestAdapter())")?;
    if there != false {
        return Err("this Chromium has WebGPU, though it was started without".into());
    }
    let ready = started(&browser)?;
    quiet(&browser)?;
    Ok(format!("ready {ready:.0} ms"))
}
