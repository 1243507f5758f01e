//! A Windows build under Wine: train, kill, resume, stop by Ctrl-C, curves, generation, chat, conformance, and the app's
//! window. Paths have drive letters, backslashes and spaces.

use super::app_window::{self, PATIENCE, ended};
use super::wine::{TOOLS, Wine, interrupt, require_target};
use super::{outcome, require_tools};
use crate::display::Display;
use crate::program::root;
use crate::steps::Outcome;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

/// The folder of all files on drive C.
const FOLDER: &str = "my data";
/// A model small enough for a hundred steps a second, with the embedded tokenizer's vocabulary.
const MODEL: &str = r#"{"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 4096}"#;
/// Options of every run.
const TRAIN: &str = "train --device cpu --teacher none --loss ar --seq 32 --batch 2 --warmup 5 --eval-batches 1 --sample-every 0 --eval-every 50 --checkpoint-every 50 --steps 600";
/// Steps of every run. Those that are stopped have hundreds left.
const STEPS: u64 = 600;

/// Builds, and runs the scenario. `shot` is the file for a screenshot of the app.
pub(super) fn step(shot: Option<&Path>) -> Outcome {
    outcome(require_tools(&TOOLS).and_then(|()| require_target()), || run(shot))
}

fn run(shot: Option<&Path>) -> Result<String, String> {
    let display = Display::start()?;
    let wine = Wine::start(display.name())?;
    let folder = wine.drive().join(FOLDER);
    prepare(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let session = WineSession { wine, folder };
    let mut lines = Vec::new();
    let mut note = |line: String| {
        println!("{line}");
        lines.push(line);
    };
    let devices = session.run(&["devices"], "")?;
    devices.lines().filter(|line| !line.starts_with(' ')).for_each(|line| note(line.into()));
    note(session.generate(&devices)?);
    note(session.kill_and_resume()?);
    note(session.stop_and_resume()?);
    note(session.use_paths()?);
    note(session.conform("cpu")?);
    note(match devices.contains("(vulkan)") {
        true => session.conform("(vulkan)")?,
        false => "conform on Vulkan: NOT RUN: Wine lists no Vulkan adapter. On Debian and Ubuntu, run: apt-get install mesa-vulkan-drivers".into(),
    });
    note(app_window::check(&session.wine, &display, &session.folder, shot)?);
    Ok(lines.iter().map(|line| format!("\n  {line}")).collect())
}

/// Creates the folder with a model's shape and a text, the beginning of the embedded corpus.
fn prepare(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("small.json"), MODEL)?;
    let corpus = std::fs::read_to_string(root().join("assets/corpus.txt"))?;
    std::fs::write(folder.join("some.txt"), corpus.split_inclusive('\n').take(40).collect::<String>())
}

struct WineSession {
    wine: Wine,
    folder: PathBuf,
}

impl WineSession {
    /// Starts a command with captured output.
    fn start(&self, arguments: &[&str]) -> Result<Child, String> {
        let mut command = self.wine.signet(&self.folder, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| format!("wine: {error}"))
    }

    /// Runs a command with this input; returns what it printed, results first. Fails if the command does.
    fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = self.start(arguments)?;
        // A command that reads nothing closes its input.
        child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(text(&output)),
            false => Err(format!("{}: {}\n{}", arguments.join(" "), output.status, text(&output))),
        }
    }

    /// Arguments of a run of this name.
    fn train<'a>(&self, name: &'a str) -> Vec<&'a str> {
        let own = ["--model", r"C:\my data\small.json", "--data", r"C:\my data\*.txt", "--runs", r"C:\my data\runs", "--name", name];
        TRAIN.split(' ').chain(own).collect()
    }

    fn checkpoint(&self, run: &str, step: u64) -> PathBuf {
        self.folder.join(format!("runs/{run}/checkpoints/step-{step:08}"))
    }

    /// Starts a run, and waits for its first checkpoint.
    fn begin(&self, name: &str) -> Result<Child, String> {
        let child = self.start(&self.train(name))?;
        let begun = Instant::now();
        while !self.checkpoint(name, 50).is_dir() {
            if begun.elapsed() > PATIENCE {
                return Err(format!("train: no checkpoint within {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(child)
    }

    /// Resumes a run to its end; its weights must have the bits of the run that was not stopped.
    fn resume(&self, name: &str) -> Result<(), String> {
        if self.checkpoint(name, STEPS).is_dir() {
            return Err(format!("the run {name} ended before it could be stopped"));
        }
        self.run(&[&self.train(name)[..], &["--resume"]].concat(), "")?;
        let weights = |run: &str| {
            let path = self.checkpoint(run, STEPS).join("model.safetensors");
            std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        if weights(name)? == weights("whole")? { Ok(()) } else { Err(format!("the run {name}, which was resumed, has other weights")) }
    }

    /// Generates on the device that `auto` selects, which is not one that cannot be opened.
    fn generate(&self, devices: &str) -> Result<String, String> {
        let printed = self.run(&["generate", "--prompt", "<|user|>hi<|assistant|>", "--temperature", "0", "--max-tokens", "8"], "")?;
        let Some(device) = printed.lines().find_map(|line| Some(line.strip_prefix("the embedded student on ")?.split(':').next()?.to_owned())) else {
            return Err(format!("generate names no device:\n{printed}"));
        };
        // Wine lists a DirectX 12 adapter for every display, but Debian's cannot open it.
        let skipped = printed.lines().find(|line| line.contains("auto selected"));
        match (devices.contains("(dx12)"), skipped) {
            (true, Some(line)) => Ok(format!("generate: {line}")),
            _ => Ok(format!("generate: on {device}")),
        }
    }

    /// Trains to the end, and once more with a kill in between.
    fn kill_and_resume(&self) -> Result<String, String> {
        let printed = self.run(&self.train("whole"), "")?;
        let chat = r#"chat "C:\my data\runs\whole""#;
        if !printed.contains(chat) {
            return Err(format!("train does not end with the command {chat}:\n{printed}"));
        }
        let mut child = self.begin("killed")?;
        child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
        self.resume("killed")?;
        Ok(format!("train: {STEPS} steps; killed and resumed: the same bits"))
    }

    /// Stops a run by Ctrl-C: it saves, and resumes.
    fn stop_and_resume(&self) -> Result<String, String> {
        let mut child = self.begin("stopped")?;
        interrupt(&child)?;
        let status = ended(&mut child);
        child.kill().ok();
        let printed = text(&child.wait_with_output().map_err(|error| error.to_string())?);
        let step = printed.lines().find_map(|line| line.strip_prefix("stopped at step ")?.split(' ').next()?.parse().ok());
        match step {
            Some(step) if status?.success() && self.checkpoint("stopped", step).is_dir() => {
                self.resume("stopped")?;
                Ok(format!("train: Ctrl-C stopped it at step {step} with a checkpoint; resumed: the same bits"))
            }
            _ => Err(format!("train did not stop cleanly at Ctrl-C:\n{printed}")),
        }
    }

    /// Verifies a run, draws its curves, and chats with it, by paths of all kinds.
    fn use_paths(&self) -> Result<String, String> {
        for run in [r"C:\my data\runs\whole", "C:/my data/runs/whole", r"runs\whole", r".\runs\killed", r"\my data\runs\stopped"] {
            let printed = self.run(&["check", run], "")?;
            if !printed.contains(", none damaged") {
                return Err(format!("check {run}:\n{printed}"));
            }
        }
        self.run(&["curves", r"runs\whole", r"C:\my data\runs\killed", "--out", r"C:\my data\curves.svg"], "")?;
        let curves = std::fs::read_to_string(self.folder.join("curves.svg")).map_err(|error| format!("curves.svg: {error}"))?;
        if !curves.contains("<svg") {
            return Err("curves.svg is no SVG".into());
        }
        let reply =
            self.run(&["chat", r"C:\my data\runs\whole", "--device", "cpu", "--temperature", "0", "--max-tokens", "8"], "hi, how are you?\r\n/quit\r\n")?;
        if reply.lines().next().is_none_or(|line| line.trim().is_empty()) {
            return Err(format!("chat gave no reply:\n{reply}"));
        }
        Ok("check, curves, chat: by paths with drive letters, backslashes, slashes and spaces".into())
    }

    /// Checks a device.
    fn conform(&self, device: &str) -> Result<String, String> {
        let begun = Instant::now();
        let printed = self.run(&["conform", "--device", device, "--seed", "1"], "")?;
        let Some(summary) = printed.lines().find(|line| line.ends_with("comparisons passed")) else {
            return Err(format!("conform --device {device} has no summary:\n{printed}"));
        };
        Ok(format!("conform: {summary}, {:.0} s", begun.elapsed().as_secs_f64()))
    }
}

/// Both streams, results first. Windows ends lines with a carriage return where a program does.
fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
