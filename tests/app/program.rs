//! The app as a program that is started with options: help, errors and versions, without a window.

use crate::shared::Scratch;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The app, started from no terminal, with a display that is not there.
fn app(arguments: &[&str], display: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet-app"));
    command.args(arguments).env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY").stdin(Stdio::null());
    if let Some(display) = display {
        // Nor is there a service that would open a dialog.
        command.env("DISPLAY", display).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    }
    command.output().unwrap()
}

#[test]
fn help_and_version_go_to_standard_output_and_open_no_dialog() {
    for (argument, expected) in [("--help", "Usage: signet-app"), ("--version", "signet-app ")] {
        for display in [None, Some(":999")] {
            let Output { status, stdout, stderr } = app(&[argument], display);
            let (said, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            assert!(status.success() && said.contains(expected) && errors.is_empty(), "{argument} with {display:?}: {status} {said} {errors}");
        }
    }
}

#[test]
fn options_that_cannot_be_read_are_told_where_there_is_no_dialog() {
    let without_display = (&["--nonsense"][..], None);
    let from_a_terminal = (&["--terminal", "--nonsense"][..], Some(":999"));
    // Elsewhere there is always a display.
    let cases = if cfg!(target_os = "linux") { &[without_display, from_a_terminal][..] } else { &[from_a_terminal] };
    for &(arguments, display) in cases {
        let Output { status, stderr, .. } = app(arguments, display);
        let errors = String::from_utf8_lossy(&stderr);
        assert!(status.code() == Some(2) && errors.contains("unexpected argument '--nonsense'"), "{arguments:?}: {status} {errors}");
    }
}

/// So `signet` passes Ctrl-C on where the system does not: on Windows.
#[test]
fn the_end_of_its_input_stops_it_where_that_was_asked() {
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
