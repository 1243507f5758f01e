//! A conversation: three turns with the same tokens as the native program for the same seed, frames that never
//! stall meanwhile, and on WebGPU a streamed reply that is stopped.

use super::load::{no_console_errors, wait_until_started};
use crate::browser::page::{conversation, enabled, fill, press, text, wait_for_text};
use crate::browser::{Browser, Chromium, DESKTOP, PATIENCE, Scene, wait};
use crate::program;
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// User messages whose replies have no near-ties in the logits.
const MESSAGES: [&str; 3] = ["hello there", "what do you like to do?", "that sounds fun, tell me more about it"];
const SEED: &str = "7";
const TOKENS: &str = "48";
const TEMPERATURE: &str = "0.8";
/// Maximum milliseconds of a frame while the engine is busy.
const FRAME: f64 = 500.0;

pub(super) fn run(scene: &Scene) -> Result<String, String> {
    let server = scene.serve()?;
    let browser = scene.chromium(DESKTOP)?;
    browser.navigate(&format!("{}#temperature={TEMPERATURE}&seed={SEED}&max_tokens={TOKENS}&model=embedded", server.url()))?;
    wait_until_started(&browser)?;
    press(&browser, "Chat")?;
    let native = native()?;
    browser.script(
        "globalThis.slowest = 0; let last = performance.now();
        const frame = (now) => { slowest = Math.max(slowest, now - last); last = now; requestAnimationFrame(frame); }; requestAnimationFrame(frame);",
    )?;
    for (n, message) in MESSAGES.iter().enumerate() {
        send(&browser, message)?;
        let messages = wait("the end of a reply", PATIENCE, || {
            Ok(Some(conversation(&browser)?).filter(|messages| messages.len() == 2 * n + 2 && !enabled(&browser, "Stop").unwrap_or(true)))
        })
        .map_err(|error| format!("{error}; the page shows: {}", text(&browser).unwrap_or_default().replace('\n', " | ")))?;
        let (here, there) = (messages[2 * n + 1].1.trim(), native[n].as_str());
        if here != there {
            return Err(format!("to {message:?} with seed {SEED} the page replies {here:?} and the native program {there:?}"));
        }
    }
    let slowest = browser.script("return slowest;")?.as_f64().unwrap_or(f64::INFINITY);
    if slowest > FRAME {
        return Err(format!("a frame took {slowest:.0} ms while replies were made, more than {FRAME}"));
    }
    let speed = wait_for_text(&browser, "tokens/s, first after", PATIENCE)?;
    scene.save_screenshot(&browser, "chat")?;
    let stopped = stop(&browser, server.url())?;
    no_console_errors(&browser)?;
    Ok(format!("three turns as native, slowest frame {slowest:.0} ms; {speed}; {stopped}"))
}

pub(super) fn send(browser: &dyn Browser, message: &str) -> Result<(), String> {
    fill(browser, "Message", message)?;
    press(browser, "Send")
}

/// Stops a long reply after it has grown. On SwiftShader, because the CPU device fills the demo student's context
/// before a stop arrives.
fn stop(browser: &Chromium, url: String) -> Result<String, String> {
    browser.navigate("about:blank")?;
    let settings = "localStorage.setItem('settings', JSON.stringify({ chat: { device: '0' } }));";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": settings }))?;
    // At this temperature, all tokens are about equally likely, so few replies end soon.
    browser.navigate(&format!("{url}#temperature=5&top_k=0&top_p=1&max_tokens=4096&seed=1&model=embedded"))?;
    wait_until_started(browser)?;
    press(browser, "Chat")?;
    send(browser, "go on for ever")?;
    let length = || Ok::<_, String>(conversation(browser)?.last().filter(|(who, _)| who != "You").map_or(0, |(_, reply)| reply.len()));
    let first = wait("the first words", PATIENCE, || Ok(Some(length()?).filter(|length| *length > 0)))?;
    wait("more words", PATIENCE, || Ok((length()? > first).then_some(())))?;
    press(browser, "Stop")?;
    let line = wait_for_text(browser, "; stopped", PATIENCE)?;
    Ok(format!("stopped on WebGPU: {line}"))
}

/// Returns the replies of the native program.
fn native() -> Result<Vec<String>, String> {
    let arguments = ["chat", "embedded", "--device", "cpu", "--seed", SEED, "--max-tokens", TOKENS, "--temperature", TEMPERATURE];
    let mut child = Command::new(program::native()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("signet chat: {error}"))?;
    let written = child.stdin.take().expect("piped").write_all(MESSAGES.map(|message| format!("{message}\n")).concat().as_bytes());
    let output = child.wait_with_output().map_err(|error| format!("signet chat: {error}"))?;
    let replies: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect();
    if written.is_err() || replies.len() != MESSAGES.len() {
        return Err(format!("the native program gave {} replies to {} messages", replies.len(), MESSAGES.len()));
    }
    Ok(replies)
}
