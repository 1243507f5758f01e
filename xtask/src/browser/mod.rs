//! The page in real browsers: Chromium through chromedriver and Firefox through Marionette, both without
//! a display, each scenario in a profile of its own.

mod chromium;
mod firefox;
pub(crate) mod page;
mod process;
mod scenarios;

pub(crate) use chromium::Chromium;
pub(crate) use firefox::Firefox;
pub(crate) use process::{Profile, wait};

use crate::program;
use crate::steps::Outcome;
use crate::system::{self, found};
use crate::web;
use crate::web::server::{Server, Site};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest that one thing is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Longest that a script takes: one that a reload has swept away never ends.
const SCRIPT: Duration = Duration::from_secs(30);
/// Debian's packages, and the programs that they bring.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "firefox-esr"];
const PROGRAMS: [&str; 2] = ["chromedriver", "firefox-esr"];
/// The path that the page is served under, to see that it needs none of its own.
const UNDER: &str = "/some/path/";

/// How a browser is opened.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    /// Width and height of the page.
    pub(crate) size: (u32, u32),
    /// What the page is told that the visitor prefers.
    pub(crate) dark: bool,
    /// Whether there is WebGPU.
    pub(crate) webgpu: bool,
}

/// A desktop's.
pub(crate) const DESKTOP: Window = Window { size: (1280, 860), dark: false, webgpu: true };

/// What scenarios ask of every browser.
pub(crate) trait Browser {
    /// Goes to an address, and waits until it is loaded.
    fn navigate(&self, url: &str) -> Result<(), String>;
    /// The value of the body of a function.
    fn script(&self, code: &str) -> Result<Value, String>;
    /// The value that the promise of an expression settles to.
    fn promised(&self, code: &str) -> Result<Value, String>;
    /// What is seen, as a PNG.
    fn screenshot(&self) -> Result<Vec<u8>, String>;
}

/// A script that hands over what a promise settles to, or how it failed.
fn settled(code: &str) -> String {
    format!(
        "const done = arguments[arguments.length - 1]; (async () => ({code}))().then((value) => done({{ value }}), (error) => done({{ error: String(error) }}));"
    )
}

/// What such a script handed over.
fn unsettled(answer: Value) -> Result<Value, String> {
    match answer["error"].as_str() {
        Some(error) => Err(format!("a script: {error}")),
        None => Ok(answer["value"].clone()),
    }
}

/// What is needed from the system and of a build, ready.
pub(crate) struct Scene {
    target: PathBuf,
    /// Where pictures are kept, if at all.
    shots: Option<PathBuf>,
}

impl Scene {
    /// Serves the page under a path of its own, at any port that is free.
    pub(crate) fn serve(&self) -> Result<Server, String> {
        self.serve_folder(&web::dist())
    }

    /// As [`Scene::serve`], another folder.
    pub(crate) fn serve_folder(&self, folder: &Path) -> Result<Server, String> {
        Server::start(Site::new(UNDER, folder), 0)
    }

    /// A folder of its own; removed when dropped.
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

    /// Keeps a picture, if pictures are kept.
    pub(crate) fn shot(&self, browser: &dyn Browser, name: &str) -> Result<(), String> {
        let Some(folder) = &self.shots else { return Ok(()) };
        let path = folder.join(format!("web-{name}.png"));
        std::fs::write(&path, browser.screenshot()?).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Runs the scenarios whose names hold `filter`; prints a line for each.
pub(crate) fn run(shots: Option<&Path>, filter: &str) -> Result<String, String> {
    let scene = Scene { target: program::target(), shots: shots.map(Path::to_owned) };
    let chosen: Vec<_> = scenarios::ALL.iter().filter(|(name, _)| name.contains(filter)).collect();
    if chosen.is_empty() {
        return Err(format!("no scenario's name holds {filter:?}; there are: {}", scenarios::ALL.map(|(name, _)| name).join(", ")));
    }
    let mut failed = Vec::new();
    for (name, scenario) in &chosen {
        let start = Instant::now();
        let (word, said) = match scenario(&scene) {
            Ok(said) => ("passed", said),
            Err(error) => {
                failed.push(*name);
                ("FAILED", error)
            }
        };
        println!("{name:<12} {word} {:>6.1} s  {said}", start.elapsed().as_secs_f64());
    }
    if failed.is_empty() { Ok(format!("{} scenarios", chosen.len())) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Installs the browsers; an error where that is not possible.
pub(crate) fn prepare() -> Result<(), String> {
    if PROGRAMS.iter().all(|program| found(program)) {
        return Ok(());
    }
    match system::install(&PACKAGES) {
        Outcome::Passed(_) => Ok(()),
        Outcome::Skipped(why) | Outcome::Failed(why) => Err(format!("{} are needed: {why}", PROGRAMS.join(" and "))),
    }
}

/// As a command of its own.
pub(crate) fn alone(shots: Option<&Path>, filter: &str, built: bool) -> Result<(), String> {
    prepare()?;
    if !built {
        println!("{}", web::build(false)?);
    }
    println!("{}", run(shots, filter)?);
    Ok(())
}

/// All scenarios as a step of the tests, on the page that was built before.
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
        Ok(said) => Outcome::Passed(said),
        Err(error) => Outcome::Failed(error),
    }
}
