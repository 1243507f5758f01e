//! Commands that are printed for copying: a shell parses them correctly, with spaces and quotes in every path.

use crate::resume::{short, with};
use crate::train::{SMALL, Scratch, as_str, run, signet, some_text, text};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A name that a shell splits unless it is quoted.
const NAME: &str = "it's one name";
/// A model without training.
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/gguf/tiny.gguf");

/// Checks that `label` is followed by a command of this program with these arguments, as a shell parses it.
fn assert_command(printed: &str, label: &str, arguments: &[&str]) {
    let (_, rest) = printed.split_once(label).unwrap_or_else(|| panic!("no {label:?} in {printed}"));
    // In a message, the command is in backticks.
    let command = rest.split(['\n', '`']).next().unwrap_or_default();
    let read = text(&Command::new("sh").args(["-c", &format!("printf '%s\\n' {command}")]).output().unwrap());
    let expected = [&[env!("CARGO_BIN_EXE_signet")][..], arguments].concat();
    assert_eq!(read.lines().collect::<Vec<_>>(), expected, "{command}");
}

#[test]
fn train_prints_the_commands_to_chat_repair_and_resume() {
    let scratch = Scratch::new("it's copied");
    let (good, printed) = with(&short(&scratch, NAME), &["--steps", "4", "--checkpoint-every", "2"]);
    assert!(good, "{printed}");
    let folder = scratch.path("runs").join(NAME);
    let (runs, path) = (scratch.path("runs").display().to_string(), folder.display().to_string());
    assert_command(&printed, "\nchat       ", &["chat", &path]);
    let resume = ["train", "--resume", "--name", NAME, "--runs", &runs, "--device", "cpu"];
    let settings = std::fs::read_to_string(folder.join("run.toml")).unwrap();
    std::fs::write(folder.join("run.toml"), settings.replace("\nsteps = 4\n", "\nsteps = 5\n")).unwrap();
    assert_command(&run(&resume).1, "Restore them with `", &["check", "--repair", &path]);
    std::fs::write(folder.join("run.toml"), settings).unwrap();
    std::fs::write(folder.join("checkpoints/step-00000004/state.json"), "{").unwrap();
    assert_command(&run(&resume).1, "Resume from it with `", &[&resume[..], &["--from-step", "2"]].concat());
}

#[test]
fn a_stopped_run_prints_the_command_to_resume() {
    let scratch = Scratch::new("it's stopped");
    let child = signet(&as_str(&short(&scratch, NAME))).args(["--steps", "100000"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (recorded, begun) = (scratch.path("runs").join(NAME).join("metrics.jsonl"), Instant::now());
    while !recorded.exists() && begun.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let runs = scratch.path("runs").display().to_string();
    assert_command(&text(&output), "\nresume     ", &["train", "--resume", "--name", NAME, "--runs", &runs, "--device", "cpu"]);
}

#[test]
fn a_sweep_prints_the_command_to_compare_its_runs() {
    let scratch = Scratch::new("copied-sweep");
    std::fs::write(scratch.path("small.json"), SMALL).unwrap();
    let model = scratch.path("small.json").display().to_string();
    let data = some_text(&scratch);
    let settings = format!(
        "[base]\nmodel = {model:?}\ndata = [{data:?}]\nteacher = \"none\"\nloss = \"ar\"\nsteps = 2\nwarmup = 1\nbatch = 1\nseq = 16\neval_every = 0\neval_batches = 1\nsample_every = 0\n\n[grid]\nseed = [1]\n"
    );
    std::fs::write(scratch.path("sweep.toml"), settings).unwrap();
    let [file, folder] = ["sweep.toml", NAME].map(|name| scratch.path(name).display().to_string());
    let (good, printed) = run(&["sweep", &file, "--runs", &folder, "--device", "cpu"]);
    assert!(good, "{printed}");
    assert_command(&printed, "compare them with: ", &["compare", &folder]);
}

#[test]
fn teach_prints_the_command_to_train_from_the_cache() {
    let scratch = Scratch::new("copied-teach");
    std::fs::write(scratch.path("text.txt"), "The capital of France is what the text says it is. ".repeat(200)).unwrap();
    let [text, out] = ["text.txt", NAME].map(|name| scratch.path(name).display().to_string());
    let (good, printed) = run(&["teach", "--device", "cpu", "--seq", "16", "--top", "9", "--teacher", TINY, "--data", &text, "--out", &out]);
    assert!(good, "{printed}");
    assert_command(&printed, "use it with: ", &["train", "--teacher-cache", &out]);
}

#[test]
fn pack_prints_the_command_to_chat() {
    let scratch = Scratch::new("copied-pack");
    let out = scratch.path(NAME).display().to_string();
    let (good, printed) = run(&["pack", TINY, &out]);
    assert!(good, "{printed}");
    assert_command(&printed, "chat with it: ", &["chat", &out]);
}

#[test]
fn a_missing_app_is_reported_with_the_build_command() {
    let scratch = Scratch::new("alone");
    let alone = scratch.path(&format!("signet{}", std::env::consts::EXE_SUFFIX));
    std::fs::copy(env!("CARGO_BIN_EXE_signet"), &alone).unwrap();
    for arguments in [&[][..], &["app"], &["bench", "app"]] {
        let output = Command::new(&alone).args(arguments).env("DISPLAY", ":0").output().unwrap();
        let printed = text(&output);
        assert!(output.status.code() == Some(1) && printed.contains("cargo run --release -p signet-app"), "{arguments:?}: {printed}");
    }
}

/// A script in the place of the app, which tells a version and otherwise prints its arguments.
#[test]
#[cfg(unix)]
fn an_app_from_other_sources_is_opened_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("stale");
    let [signet, app] = ["signet", "signet-app"].map(|name| scratch.path(name));
    std::fs::copy(env!("CARGO_BIN_EXE_signet"), &signet).unwrap();
    let now = format!("signet-app 0.1.0 (sources {})", env!("SIGNET_SOURCES"));
    for (version, stale) in [("signet-app 0.1.0", true), ("signet-app 0.2.0 (sources 0123456789abcdef)", true), (now.as_str(), false)] {
        std::fs::write(&app, format!("#!/bin/sh\ncase \"$*\" in *--version*) echo '{version}';; *) echo \"given $*\";; esac\n")).unwrap();
        std::fs::set_permissions(&app, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new(&signet).args(["app", "--runs", "some where"]).env("DISPLAY", ":0").output().unwrap();
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out == "given --terminal --runs some where\n", "{version}: {out} {errors}");
        assert_eq!(errors.contains("is from another build") && errors.contains(version), stale, "{version}: {errors}");
        assert!(stale || errors.is_empty(), "{errors}");
    }
}
