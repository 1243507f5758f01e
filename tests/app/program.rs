//! The app as a program that is started with options: help, errors and versions, without a window.

use std::process::{Command, Output, Stdio};

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
