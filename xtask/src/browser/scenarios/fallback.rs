//! A browser without WebGPU shows the page without console errors, with the reason why it computes on the CPU.

use super::load::{no_console_errors, wait_until_started};
use crate::browser::page::wait_for_text;
use crate::browser::{Browser, DESKTOP, PATIENCE, Scene, Window};

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(Window { webgpu: false, ..DESKTOP })?;
    browser.navigate(&server.url())?;
    let there = browser.eval_async("Boolean(await navigator.gpu?.requestAdapter())")?;
    if there != false {
        return Err("this Chromium has WebGPU, though it was started without".into());
    }
    let ready = wait_until_started(&browser)?;
    let line = wait_for_text(&browser, "Chat and training run on the CPU", PATIENCE)?;
    if !line.contains("WebGPU") {
        return Err(format!("the page does not say why it computes on the CPU: {line}"));
    }
    no_console_errors(&browser)?;
    Ok(format!("ready {ready:.0} ms; {line}"))
}
