//! A browser without WebGPU still shows the page, without an error on its console, and is told why it
//! computes on the CPU.

use super::load::{quiet, started};
use crate::browser::page::reads;
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, Window};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(Window { webgpu: false, ..DESKTOP })?;
    browser.navigate(&server.url())?;
    let there = browser.promised("Boolean(await navigator.gpu?.requestAdapter())")?;
    if there != false {
        return Err("this Chromium has WebGPU, though it was started without".into());
    }
    let ready = started(&browser)?;
    let line = reads(&browser, "Chat and training run on the CPU", PATIENCE)?;
    if !line.contains("WebGPU") {
        return Err(format!("the page does not say why it computes on the CPU: {line}"));
    }
    quiet(&browser)?;
    Ok(format!("ready {ready:.0} ms; {line}"))
}
