//! Firefox without WebGPU shows the page, falls back to the CPU, and the page names the preference that enables it.

use super::load::wait_until_started;
use crate::browser::page::wait_for_text;
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, Window};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.firefox(Window { webgpu: false, ..DESKTOP })?;
    browser.navigate(&server.url())?;
    let ready = wait_until_started(&browser)?;
    if browser.eval_async("Boolean(await navigator.gpu?.requestAdapter())")? != false {
        return Err("this Firefox has WebGPU, though it was started without".into());
    }
    let line = wait_for_text(&browser, "Chat and training run on the CPU", PATIENCE)?;
    if !line.contains("dom.webgpu.enabled") {
        return Err(format!("the page does not say which setting withholds WebGPU: {line}"));
    }
    scene.save_screenshot(&browser, "firefox")?;
    Ok(format!("ready {ready:.0} ms; {line}"))
}
