//! Firefox shows the page, and falls back to the CPU where it has no WebGPU, and names the setting
//! that withholds it.

use super::load::started;
use crate::browser::page::reads;
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, Window};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.firefox(Window { webgpu: false, ..DESKTOP })?;
    browser.navigate(&server.url())?;
    let ready = started(&browser)?;
    if browser.promised("Boolean(await navigator.gpu?.requestAdapter())")? != false {
        return Err("this Firefox has WebGPU, though it was started without".into());
    }
    let line = reads(&browser, "Chat and training run on the CPU", PATIENCE)?;
    if !line.contains("dom.webgpu.enabled") {
        return Err(format!("the page does not say which setting withholds WebGPU: {line}"));
    }
    scene.shot(&browser, "firefox")?;
    Ok(format!("ready {ready:.0} ms; {line}"))
}
