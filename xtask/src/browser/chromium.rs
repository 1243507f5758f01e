//! Headless Chromium through chromedriver: W3C WebDriver, and the DevTools protocol where that lacks a command.

use super::process::{Group, Profile, wait};
use super::{Browser, PATIENCE, SCRIPT, Window};
use crate::web::http::{Head, write_head};
use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Flags for a headless Chromium, as any user, with a temporary profile.
const HEADLESS: [&str; 7] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
];
/// WebGL without a GPU.
const WEBGL: [&str; 4] = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"];
/// WebGPU without a GPU: all of these flags are needed to present its frames.
const WEBGPU: [&str; 4] = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan,WebGPU", "--use-vulkan=swiftshader"];
/// No WebGPU.
const NO_WEBGPU: [&str; 2] = ["--disable-features=WebGPU,WebGPUService", "--disable-blink-features=WebGPU"];

/// A running Chromium.
pub(crate) struct Chromium {
    port: u16,
    session: String,
    // Drop order: end the processes before their folder is removed.
    _processes: Group,
    _profile: Profile,
}

/// Sends a WebDriver request; returns its value.
fn ask(port: u16, method: &str, path: &str, body: Option<&Value>, patience: Duration) -> Result<Value, String> {
    let describe = |error: std::io::Error| format!("chromedriver, {method} {path}: {error}");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(describe)?;
    stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience))).map_err(describe)?;
    let body = body.map_or_else(String::new, Value::to_string);
    let headers = [("host", format!("127.0.0.1:{port}")), ("content-type", "application/json".into()), ("content-length", body.len().to_string())];
    write_head(&mut stream, &format!("{method} {path} HTTP/1.1"), &headers).and_then(|()| stream.write_all(body.as_bytes())).map_err(describe)?;
    let mut input = BufReader::new(stream);
    let head = Head::read(&mut input)?.ok_or(format!("chromedriver, {method} {path}: no answer"))?;
    let answer: Value = serde_json::from_slice(&head.body(&mut input)?).map_err(|error| format!("chromedriver, {method} {path}: {error}"))?;
    let value = &answer["value"];
    match value.get("error").and_then(Value::as_str) {
        Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default())),
        None => Ok(value.clone()),
    }
}

/// Returns an unused port.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

impl Chromium {
    /// Starts a browser with the options of `window`.
    pub(crate) fn start(target: &Path, window: &Window) -> Result<Self, String> {
        let profile = Profile::new(target)?;
        let port = free_port()?;
        let mut processes = Group::start(Command::new("chromedriver").arg(format!("--port={port}")).current_dir(profile.path()))?;
        wait("chromedriver", PATIENCE, || Ok(ask(port, "GET", "/status", None, PATIENCE)?["ready"].as_bool().filter(|ready| *ready)))?;
        let mut flags: Vec<String> =
            HEADLESS.iter().chain(&WEBGL).chain(if window.webgpu { &WEBGPU[..] } else { &NO_WEBGPU[..] }).map(|flag| (*flag).into()).collect();
        flags.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        flags.push(format!("--window-size={},{}", window.size.0, window.size.1));
        if window.dark {
            flags.push("--force-dark-mode".into());
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": flags },
            "timeouts": { "script": SCRIPT.as_millis() as u64, "pageLoad": PATIENCE.as_millis() as u64 },
        } } });
        let session = ask(port, "POST", "/session", Some(&wanted), 2 * PATIENCE)?;
        if let Some(process) = session["capabilities"]["goog:processID"].as_u64() {
            processes.and(process);
        }
        let id = session["sessionId"].as_str().ok_or("chromedriver gives no session")?.to_owned();
        let chromium = Self { port, session: id, _processes: processes, _profile: profile };
        // Set the size of the viewport, without window decorations.
        let screen = json!({ "width": window.size.0, "height": window.size.1, "deviceScaleFactor": 1, "mobile": false });
        chromium.devtools("Emulation.setDeviceMetricsOverride", screen)?;
        let scheme = if window.dark { "dark" } else { "light" };
        chromium.devtools("Emulation.setEmulatedMedia", json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }))?;
        Ok(chromium)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("/session/{}/{path}", self.session);
        ask(self.port, method, &path, (method == "POST").then_some(body), PATIENCE + Duration::from_secs(10))
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> Result<Value, String> {
        self.ask("POST", "goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Opens another tab and switches to it.
    pub(crate) fn new_tab(&self) -> Result<(), String> {
        let tab = self.ask("POST", "window/new", &json!({ "type": "tab" }))?;
        self.ask("POST", "window", &json!({ "handle": tab["handle"] })).map(|_| ())
    }

    /// Returns console messages since the last call: level and text.
    pub(crate) fn console(&self) -> Result<Vec<(String, String)>, String> {
        let lines = self.ask("POST", "se/log", &json!({ "type": "browser" }))?;
        let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Ok(lines.as_array().into_iter().flatten().map(|line| (text(line, "level"), text(line, "message"))).collect())
    }
}

impl Browser for Chromium {
    fn navigate(&self, url: &str) -> Result<(), String> {
        self.ask("POST", "url", &json!({ "url": url })).map(|_| ())
    }

    fn script(&self, code: &str) -> Result<Value, String> {
        self.ask("POST", "execute/sync", &json!({ "script": code, "args": [] }))
    }

    fn eval_async(&self, code: &str) -> Result<Value, String> {
        let script = super::async_script(code);
        super::async_result(self.ask("POST", "execute/async", &json!({ "script": script, "args": [] }))?)
    }

    fn screenshot(&self) -> Result<Vec<u8>, String> {
        let picture = self.ask("GET", "screenshot", &Value::Null)?;
        base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap_or_default()).map_err(|error| format!("a screenshot: {error}"))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        ask(self.port, "DELETE", &format!("/session/{}", self.session), None, Duration::from_secs(5)).ok();
    }
}
