//! The app's program with command-line options: help, errors and version, without a window.

use crate::shared::Scratch;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs the app without a terminal; `display` names a display that does not exist.
fn app(arguments: &[&str], display: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-app"));
    command.args(arguments).env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY").stdin(Stdio::null());
    if let Some(display) = display {
        // No D-Bus service for dialogs either.
        command.env("DISPLAY", display).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    }
    command.output().unwrap()
}

#[test]
fn help_and_version_go_to_standard_output_and_open_no_dialog() {
    for (argument, expected) in [("--help", "Usage: signet-app"), ("--version", "signet-app ")] {
        for display in [None, Some(":999")] {
            let Output { status, stdout, stderr } = app(&[argument], display);
            let (printed, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            assert!(status.success() && printed.contains(expected) && errors.is_empty(), "{argument} with {display:?}: {status} {printed} {errors}");
        }
    }
}

#[test]
fn invalid_options_are_reported_on_standard_error_without_a_display() {
    let without_display = (&["--nonsense"][..], None);
    let from_a_terminal = (&["--terminal", "--nonsense"][..], Some(":999"));
    // Other systems always have a display.
    let cases = if cfg!(target_os = "linux") { &[without_display, from_a_terminal][..] } else { &[from_a_terminal] };
    for &(arguments, display) in cases {
        let Output { status, stderr, .. } = app(arguments, display);
        let errors = String::from_utf8_lossy(&stderr);
        assert!(status.code() == Some(2) && errors.contains("unexpected argument '--nonsense'"), "{arguments:?}: {status} {errors}");
    }
}

/// `signet` passes Ctrl-C on this way on Windows, where the system does not.
#[test]
fn end_of_input_stops_the_app_if_requested() {
    let scratch = Scratch::new("input");
    let arguments = ["--terminal", "--until-input-ends", "bench", "--points", "1000", "--frames", "10000000", "--runs"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-app"));
    command.args(arguments).arg(&scratch.0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut app = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(app.try_wait().unwrap().is_none(), "it runs on while its input is open");
    drop(app.stdin.take());
    let begun = Instant::now();
    let ended = loop {
        match app.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > Duration::from_secs(60) => {
                app.kill().unwrap();
                panic!("it did not hear of the end of its input");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(ended.code(), Some(130));
}
