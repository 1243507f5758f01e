//! Firefox on a virtual display (its headless mode has no WebGL, which the page needs), through Marionette:
//! length-prefixed JSON messages over TCP.

use super::chromium::free_port;
use super::process::{Group, Profile, wait};
use super::{Browser, PATIENCE, SCRIPT, Window};
use crate::display::Display;
use base64::Engine;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Maximum length of a message in bytes; a screenshot fits.
const MESSAGE: usize = 256 << 20;

/// Preferences of the profile: no background requests, prompts or telemetry.
const SETTINGS: &str = "\
user_pref('app.normandy.enabled', false);
user_pref('app.update.enabled', false);
user_pref('browser.shell.checkDefaultBrowser', false);
user_pref('browser.startup.homepage_override.mstone', 'ignore');
user_pref('browser.startup.page', 0);
user_pref('datareporting.policy.dataSubmissionEnabled', false);
user_pref('network.captive-portal-service.enabled', false);
user_pref('network.connectivity-service.enabled', false);
user_pref('remote.prefs.recommended', true);
user_pref('toolkit.telemetry.server', '');
user_pref('webgl.force-enabled', true);
";

/// A running Firefox.
pub(crate) struct Firefox {
    stream: RefCell<BufReader<TcpStream>>,
    number: Cell<u64>,
    // Drop order: end the processes before their folder is removed.
    _processes: Group,
    _display: Display,
    _profile: Profile,
}

impl Firefox {
    /// Starts a browser with the options of `window`.
    pub(crate) fn start(target: &Path, window: &Window) -> Result<Self, String> {
        let profile = Profile::new(target)?;
        let port = free_port()?;
        let scheme = if window.dark { 0 } else { 1 };
        let settings = format!(
            "{SETTINGS}user_pref('marionette.port', {port});\nuser_pref('layout.css.prefers-color-scheme.content-override', {scheme});\nuser_pref('dom.webgpu.enabled', {});\n",
            window.webgpu
        );
        std::fs::write(profile.path().join("user.js"), settings).map_err(|error| format!("a profile for Firefox: {error}"))?;
        let display = Display::start()?;
        let mut command = Command::new("firefox-esr");
        command.args(["--marionette", "--no-remote", "--profile"]).arg(profile.path());
        command.args(["--width", &window.size.0.to_string(), "--height", &window.size.1.to_string()]);
        command.env("HOME", profile.path()).env("DISPLAY", display.name()).env_remove("WAYLAND_DISPLAY").env("MOZ_CRASHREPORTER_DISABLE", "1");
        let processes = Group::start(&mut command)?;
        let stream = wait("Firefox", 2 * PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(Some).map_err(|error| error.to_string()))?;
        let patience = PATIENCE + Duration::from_secs(10);
        stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience))).map_err(|error| error.to_string())?;
        let firefox = Self { stream: RefCell::new(BufReader::new(stream)), number: Cell::new(0), _processes: processes, _display: display, _profile: profile };
        let hello = firefox.receive()?;
        if hello["marionetteProtocol"] != 3 {
            return Err(format!("Firefox speaks another protocol: {hello}"));
        }
        firefox.ask("WebDriver:NewSession", &json!({}))?;
        let limit = PATIENCE.as_millis() as u64;
        firefox.ask("WebDriver:SetTimeouts", &json!({ "script": SCRIPT.as_millis() as u64, "pageLoad": limit }))?;
        Ok(firefox)
    }

    fn receive(&self) -> Result<Value, String> {
        let mut stream = self.stream.borrow_mut();
        let describe = |error: std::io::Error| format!("Firefox: {error}");
        let mut length = Vec::new();
        (&mut *stream).take(20).read_until(b':', &mut length).map_err(describe)?;
        let digits = String::from_utf8_lossy(&length);
        let length: usize = digits.trim_end_matches(':').parse().map_err(|_| format!("Firefox: a message of length {digits:?}"))?;
        if length > MESSAGE {
            return Err(format!("Firefox: a message of {length} bytes is too long"));
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text).map_err(describe)?;
        serde_json::from_slice(&text).map_err(|error| format!("Firefox: {error}"))
    }

    fn ask(&self, command: &str, parameters: &Value) -> Result<Value, String> {
        let number = self.number.get() + 1;
        self.number.set(number);
        let message = json!([0, number, command, parameters]).to_string();
        let sent = self.stream.borrow_mut().get_mut().write_all(format!("{}:{message}", message.len()).as_bytes());
        sent.map_err(|error| format!("Firefox, {command}: {error}"))?;
        let answer = self.receive()?;
        if answer[1] != number {
            return Err(format!("Firefox, {command}: an answer to another question"));
        }
        match answer[2]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer[2]["message"].as_str().unwrap_or_default())),
            None => Ok(answer[3].clone()),
        }
    }
}

impl Browser for Firefox {
    fn navigate(&self, url: &str) -> Result<(), String> {
        self.ask("WebDriver:Navigate", &json!({ "url": url })).map(|_| ())
    }

    fn script(&self, code: &str) -> Result<Value, String> {
        Ok(self.ask("WebDriver:ExecuteScript", &json!({ "script": code, "args": [] }))?["value"].clone())
    }

    fn eval_async(&self, code: &str) -> Result<Value, String> {
        let answer = self.ask("WebDriver:ExecuteAsyncScript", &json!({ "script": super::async_script(code), "args": [] }))?;
        super::async_result(answer["value"].clone())
    }

    fn screenshot(&self) -> Result<Vec<u8>, String> {
        let picture = self.ask("WebDriver:TakeScreenshot", &json!({ "full": false }))?;
        let text = picture["value"].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| format!("a screenshot: {error}"))
    }
}
