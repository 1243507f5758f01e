//! Test of the app in a window on a virtual display: train, close, resume. Also measures how much drawing slows
//! down training.

use crate::display::{CONTROL, DIGITS, Display, ENTER, SHIFT, SIZE};
use crate::program;
use crate::steps::Outcome;
use crate::system::found;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Timeout of one condition.
const PATIENCE: Duration = Duration::from_secs(600);
/// Steps of the run that is interrupted half-way.
const STEPS: u64 = 150;
/// Steps of a timed run, and the number of warm-up steps not counted.
const TIMED: (u64, u64) = (300, 40);

/// The scenario as a step of the tests.
pub(crate) fn step() -> Outcome {
    if !found("Xvfb") {
        return Outcome::Skipped("there is no Xvfb to open a window on".into());
    }
    match scenario(None) {
        Ok(line) => Outcome::Passed(line),
        Err(error) => Outcome::Failed(error),
    }
}

/// Trains, closes the app and resumes. `shots` is the folder for screenshots.
pub(crate) fn scenario(shots: Option<&Path>) -> Result<String, String> {
    let session = Session::new(&format!("steps = {STEPS}\neval_every = 25\nsample_every = 50\nwarmup = 10\n"))?;
    let shot = |name: &str| shots.map_or(Ok(()), |folder| session.display.save(&folder.join(format!("app-{name}.png"))));
    let mut app = session.open(&["--config", "form.toml"])?;
    session.rest(1.5);
    shot("form")?;
    session.display.press(&[CONTROL, ENTER])?;
    session.wait("the first steps", || session.step("run-1") >= STEPS / 3)?;
    shot("training")?;
    session.display.close(app.window)?;
    session.rest(1.0);
    shot("closing")?;
    session.display.press(&[ENTER])?;
    app.ended("after it was asked to save and close")?;
    let stopped = session.step("run-1");
    if stopped >= STEPS || !session.checkpoint("run-1", stopped).is_dir() {
        return Err(format!("the run was not saved at step {stopped}, where it stopped"));
    }
    let mut app = session.open(&[])?;
    session.rest(1.5);
    session.display.press(&[CONTROL, SHIFT, ENTER])?;
    session.wait("the end of the run", || session.checkpoint("run-1", STEPS).is_dir())?;
    session.rest(1.0);
    shot("finished")?;
    for (name, key) in ["runs", "chat", "weights", "devices"].iter().zip(&DIGITS[1..]) {
        session.display.press(&[CONTROL, *key])?;
        session.rest(2.0);
        if shots.is_some() {
            session.fill(name)?;
        }
        shot(name)?;
    }
    session.display.close(app.window)?;
    app.ended("after its run had ended")?;
    Ok(format!("trained, was closed at step {stopped} of {STEPS}, and went on to the end"))
}

/// Measures `train` and the app alternately: tokens/s, and the time of drawing.
pub(crate) fn measure() -> Result<(), String> {
    let session = Session::new(&format!("steps = {}\neval_every = 0\nsample_every = 0\ncheckpoint_every = 0\nwarmup = 10\n", TIMED.0))?;
    let mut lines = Vec::new();
    for round in 1..=3 {
        let train = session.train(&format!("train-{round}"))?;
        let (untouched, rest, _) = session.measure_app(false)?;
        let (touched, _, p99) = session.measure_app(true)?;
        let line = format!(
            "round {round}: train {train:.0} tokens/s; app untouched {untouched:.0} ({:.3} x, {rest:.2} frames/s); touched {touched:.0} ({:.3} x, drawing {p99:.2} ms at the 99th percentile)",
            untouched / train,
            touched / train
        );
        println!("{line}");
        lines.push(line);
    }
    Ok(())
}

/// Records a GIF of a run in training.
pub(crate) fn record_gif(out: &Path) -> Result<(), String> {
    let session = Session::new("steps = 400\neval_every = 25\nsample_every = 50\nwarmup = 20\n")?;
    let mut app = session.open(&["--config", "form.toml"])?;
    session.rest(1.0);
    session.display.press(&[CONTROL, ENTER])?;
    let mut pictures = Vec::new();
    while !session.checkpoint("run-1", 400).is_dir() {
        pictures.push(session.display.picture()?);
        session.rest(1.0);
        if pictures.len() > 150 {
            return Err("the run does not end".into());
        }
    }
    session.rest(1.0);
    pictures.push(session.display.picture()?);
    session.display.close(app.window)?;
    app.ended("after its run had ended")?;
    // About twenty frames are enough.
    let every = pictures.len().div_ceil(20);
    let chosen = pictures.iter().rev().step_by(every).collect::<Vec<_>>();
    write_gif(out, chosen.into_iter().rev())
}

fn write_gif<'a>(out: &Path, pictures: impl Iterator<Item = &'a Vec<u8>>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", out.display());
    let file = std::fs::File::create(out).map_err(|error| text(&error))?;
    let (width, height) = (SIZE.0 / 2, SIZE.1 / 2);
    let mut encoder = gif::Encoder::new(file, width, height, &[]).map_err(|error| text(&error))?;
    encoder.set_repeat(gif::Repeat::Infinite).map_err(|error| text(&error))?;
    for picture in pictures {
        let mut frame = gif::Frame::from_rgb_speed(width, height, &halved(picture), 10);
        frame.delay = 40;
        encoder.write_frame(&frame).map_err(|error| text(&error))?;
    }
    Ok(())
}

/// Halves width and height: the mean of 2 × 2 pixels.
fn halved(picture: &[u8]) -> Vec<u8> {
    let (width, height) = (usize::from(SIZE.0), usize::from(SIZE.1));
    let at = |x: usize, y: usize, channel: usize| u16::from(picture[3 * (y * width + x) + channel]);
    let mut half = Vec::with_capacity(picture.len() / 4);
    for y in (0..height - 1).step_by(2) {
        for x in (0..width - 1).step_by(2) {
            half.extend((0..3).map(|c| ((at(x, y, c) + at(x + 1, y, c) + at(x, y + 1, c) + at(x + 1, y + 1, c)) / 4) as u8));
        }
    }
    half
}

/// A display, and a folder for all files that the app writes.
struct Session {
    program: PathBuf,
    display: Display,
    folder: PathBuf,
}

/// The running app.
struct App {
    process: Child,
    window: u32,
}

impl Session {
    fn new(form: &str) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("signet-window-{}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("form.toml"), form))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { program: program::native()?, display: Display::start()?, folder })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder).env("DISPLAY", self.display.name()).env_remove("WAYLAND_DISPLAY");
        // Do not read or write the user's own files.
        for (variable, folder) in
            [("HOME", "."), ("XDG_DATA_HOME", "data"), ("XDG_CACHE_HOME", "cache"), ("XDG_CONFIG_HOME", "config"), ("XDG_RUNTIME_DIR", ".")]
        {
            command.env(variable, std::path::absolute(self.folder.join(folder)).expect("a path of its own"));
        }
        command
    }

    /// Starts the app.
    fn open(&self, arguments: &[&str]) -> Result<App, String> {
        let process = self.command(&[&["app", "--runs", "runs"], arguments].concat()).spawn().map_err(|error| format!("the app: {error}"))?;
        let mut app = App { process, window: 0 };
        app.window = self.display.window(PATIENCE)?;
        Ok(app)
    }

    /// Adds content to a tab for its screenshot.
    fn fill(&self, tab: &str) -> Result<(), String> {
        match tab {
            "runs" => self.display.click(15, 90)?,
            "chat" => {
                self.display.click(22, 180)?;
                self.display.click(780, 808)?;
                self.display.write("hi how are you")?;
                self.display.press(&[ENTER])?;
            }
            "devices" => self.display.click(67, 218)?,
            _ => {}
        }
        self.rest(5.0);
        Ok(())
    }

    fn rest(&self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !done() {
            if start.elapsed() > PATIENCE {
                self.display.save(Path::new("target/window-failed.png")).ok();
                return Err(format!("{what} did not come within {} s; target/window-failed.png shows the window", PATIENCE.as_secs()));
            }
            self.rest(0.05);
        }
        Ok(())
    }

    fn lines(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("runs").join(run).join("metrics.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns the last recorded step of a run.
    fn step(&self, run: &str) -> u64 {
        self.lines(run).last().and_then(|line| line["step"].as_u64()).unwrap_or(0)
    }

    fn checkpoint(&self, run: &str, step: u64) -> PathBuf {
        self.folder.join(format!("runs/{run}/checkpoints/step-{step:08}"))
    }

    /// Returns the tokens/s of a run, without the warm-up.
    fn speed(&self, run: &str) -> Result<f64, String> {
        let lines = self.lines(run);
        let (Some(first), Some(last)) = (lines.get(TIMED.1 as usize), lines.last()) else { return Err(format!("{run} has too few steps")) };
        let between = |name: &str| last[name].as_f64().unwrap_or(0.0) - first[name].as_f64().unwrap_or(0.0);
        Ok(between("tokens") / between("seconds"))
    }

    /// Returns the tokens/s of `signet train`.
    fn train(&self, name: &str) -> Result<f64, String> {
        let mut command = self.command(&["train", "--config", "form.toml", "--device", "cpu", "--json", "--name", name]);
        let output = command.output().map_err(|error| format!("train: {error}"))?;
        if !output.status.success() {
            return Err(format!("train: {}", String::from_utf8_lossy(&output.stderr)));
        }
        self.speed(name)
    }

    /// Returns tokens/s, frames/s and the 99th percentile of drawing in milliseconds while the app trains; `touched`
    /// moves the pointer over it.
    fn measure_app(&self, touched: bool) -> Result<(f64, f64, f64), String> {
        let runs = std::fs::read_dir(self.folder.join("runs")).map(|list| list.filter_map(Result::ok).collect::<Vec<_>>()).unwrap_or_default();
        let number = runs.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with("run-")).count() + 1;
        let run = format!("run-{number}");
        let mut app = self.open(&["--config", "form.toml", "--frames", "frames.csv"])?;
        self.rest(1.0);
        self.display.press(&[CONTROL, ENTER])?;
        self.wait("the first steps", || self.step(&run) >= TIMED.1)?;
        let start = Instant::now();
        let mut turn = 0.0_f64;
        while self.step_quickly(&run, touched, &mut turn)? {
            if start.elapsed() > 2 * PATIENCE {
                return Err(format!("{run} does not end"));
            }
        }
        let trained = start.elapsed().as_secs_f64();
        self.display.close(app.window)?;
        app.ended("after its run had ended")?;
        let frames = std::fs::read_to_string(self.folder.join("frames.csv")).map_err(|error| format!("frames.csv: {error}"))?;
        let rows: Vec<(f64, f64)> =
            frames.lines().skip(1).filter_map(|line| line.split_once(',')).filter_map(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))).collect();
        // Frames during training: the last ones before the window was closed.
        let end = rows.last().map_or(0.0, |row| row.0) - 0.5;
        let mut during: Vec<f64> = rows.iter().filter(|(at, _)| (end - trained..end).contains(at)).map(|(_, took)| *took).collect();
        during.sort_by(f64::total_cmp);
        let p99 = during.get(during.len() * 99 / 100).copied().unwrap_or(0.0);
        Ok((self.speed(&run)?, during.len() as f64 / trained, p99))
    }

    /// Waits a moment, with the pointer moving at 60 Hz if `touched`; returns true while the run continues.
    fn step_quickly(&self, run: &str, touched: bool, turn: &mut f64) -> Result<bool, String> {
        for _ in 0..30 {
            if touched {
                *turn += 0.05;
                let at = |size: u16, part: f64| (f64::from(size) * (0.5 + 0.45 * part)) as i16;
                self.display.point(at(SIZE.0, turn.sin()), at(SIZE.1, (0.7 * *turn).cos()))?;
            }
            self.rest(1.0 / 60.0);
        }
        Ok(!self.checkpoint(run, TIMED.0).is_dir())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl App {
    /// Waits until the app exits with success.
    fn ended(&mut self, when: &str) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the app ended with {status} {when}")),
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => return Err(format!("the app: {error}")),
            }
        }
        Err(format!("the app did not end {when}"))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
