//! Tests of the page in real browsers: Chromium through chromedriver and Firefox through Marionette, without a
//! display, with a new profile for each scenario.

mod chromium;
mod marionette;
pub(crate) mod page;
mod process;
mod scenarios;

pub(crate) use chromium::Chromium;
pub(crate) use marionette::Firefox;
pub(crate) use process::{Profile, wait};

use crate::program;
use crate::steps::Outcome;
use crate::system::{self, found};
use crate::web;
use crate::web::server::{Server, Site};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Timeout of one condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Timeout of a script: one that a reload interrupts never ends.
const SCRIPT: Duration = Duration::from_secs(30);
// Debian's packages, and the programs in them.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "firefox-esr"];
const PROGRAMS: [&str; 2] = ["chromedriver", "firefox-esr"];
/// The path of the page, to check that it does not depend on being at the root.
const BASE_PATH: &str = "/some/path/";

/// Options of a browser.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    /// Width and height of the page.
    pub(crate) size: (u32, u32),
    /// True if the visitor prefers the dark theme.
    pub(crate) dark: bool,
    /// True to enable WebGPU.
    pub(crate) webgpu: bool,
}

/// A desktop browser.
pub(crate) const DESKTOP: Window = Window { size: (1280, 860), dark: false, webgpu: true };

/// A browser under test.
pub(crate) trait Browser {
    /// Opens a URL and waits until it is loaded.
    fn navigate(&self, url: &str) -> Result<(), String>;
    /// Runs a function body; returns its value.
    fn script(&self, code: &str) -> Result<Value, String>;
    /// Awaits an expression; returns its value.
    fn eval_async(&self, code: &str) -> Result<Value, String>;
    /// Returns a screenshot as PNG.
    fn screenshot(&self) -> Result<Vec<u8>, String>;
}

/// Wraps an expression in a script that returns its awaited value or its error.
fn async_script(code: &str) -> String {
    format!(
        "const done = arguments[arguments.length - 1]; (async () => ({code}))().then((value) => done({{ value }}), (error) => done({{ error: String(error) }}));"
    )
}

/// Unwraps the result of such a script.
fn async_result(answer: Value) -> Result<Value, String> {
    match answer["error"].as_str() {
        Some(error) => Err(format!("a script: {error}")),
        None => Ok(answer["value"].clone()),
    }
}

/// The environment of scenarios: builds and folders.
pub(crate) struct Scene {
    target: PathBuf,
    /// Folder for screenshots, if they are kept.
    shots: Option<PathBuf>,
}

impl Scene {
    /// Serves the page under a path other than the root, at an unused port.
    pub(crate) fn serve(&self) -> Result<Server, String> {
        self.serve_folder(&web::dist())
    }

    /// Like [`Scene::serve`], for another folder.
    pub(crate) fn serve_folder(&self, folder: &Path) -> Result<Server, String> {
        Server::start(Site::new(BASE_PATH, folder), 0)
    }

    /// Creates a folder that is removed when dropped.
    pub(crate) fn folder(&self) -> Result<Profile, String> {
        Profile::new(&self.target)
    }

    /// Opens Chromium.
    pub(crate) fn chromium(&self, window: Window) -> Result<Chromium, String> {
        Chromium::start(&self.target, &window)
    }

    /// Opens Firefox.
    pub(crate) fn firefox(&self, window: Window) -> Result<Firefox, String> {
        Firefox::start(&self.target, &window)
    }

    /// Saves a screenshot, if they are kept.
    pub(crate) fn save_screenshot(&self, browser: &dyn Browser, name: &str) -> Result<(), String> {
        let Some(folder) = &self.shots else { return Ok(()) };
        let path = folder.join(format!("web-{name}.png"));
        std::fs::write(&path, browser.screenshot()?).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Runs the scenarios whose names contain `filter`; prints a line for each.
pub(crate) fn run(shots: Option<&Path>, filter: &str) -> Result<String, String> {
    let scene = Scene { target: program::target(), shots: shots.map(Path::to_owned) };
    let chosen: Vec<_> = scenarios::ALL.iter().filter(|(name, _)| name.contains(filter)).collect();
    if chosen.is_empty() {
        return Err(format!("no scenario's name contains {filter:?}. Scenarios: {}", scenarios::ALL.map(|(name, _)| name).join(", ")));
    }
    let mut failed = Vec::new();
    for (name, scenario) in &chosen {
        let start = Instant::now();
        let (word, line) = match scenario(&scene) {
            Ok(line) => ("passed", line),
            Err(error) => {
                failed.push(*name);
                ("FAILED", error)
            }
        };
        println!("{name:<12} {word} {:>6.1} s  {line}", start.elapsed().as_secs_f64());
    }
    if failed.is_empty() { Ok(format!("{} scenarios", chosen.len())) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Installs the browsers.
pub(crate) fn prepare() -> Result<(), String> {
    if PROGRAMS.iter().all(|program| found(program)) {
        return Ok(());
    }
    match system::install(&PACKAGES) {
        Outcome::Passed(_) => Ok(()),
        Outcome::Skipped(why) | Outcome::Failed(why) => Err(format!("{} are needed: {why}", PROGRAMS.join(" and "))),
    }
}

/// Runs the scenarios as `cargo xtask browser`.
pub(crate) fn run_command(shots: Option<&Path>, filter: &str, built: bool) -> Result<(), String> {
    prepare()?;
    if !built {
        println!("{}", web::build(false)?);
    }
    println!("{}", run(shots, filter)?);
    Ok(())
}

/// Runs all scenarios as a step of the tests, on the page built before.
pub(crate) fn step() -> Outcome {
    if let Err(why) = prepare() {
        return Outcome::Skipped(format!("the page is not tried in a browser: {why}"));
    }
    if !web::dist().join("index.html").is_file() {
        return match web::prepare() {
            Ok(()) => Outcome::Failed("there is no page to try".into()),
            Err(why) => Outcome::Skipped(format!("there is no page to try: {why}")),
        };
    }
    match run(None, "") {
        Ok(line) => Outcome::Passed(line),
        Err(error) => Outcome::Failed(error),
    }
}
