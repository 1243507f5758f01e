//! Firefox shows the page, and falls back to the CPU where it has no WebGPU.

use super::load::started;
use crate::browser::{Browser, DESKTOP, Scene, Window};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.firefox(Window { webgpu: false, ..DESKTOP })?;
    browser.navigate(&server.url())?;
    let ready = started(&browser)?;
    if browser.promised("Boolean(await navigator.gpu?.requestAdapter())")? != false {
        return Err("this Firefox has WebGPU, though it was started without".into());
    }
    scene.shot(&browser, "firefox")?;
    Ok(format!("ready {ready:.0} ms"))
}
