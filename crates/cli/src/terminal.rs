//! The only writers to standard output and standard error. A closed pipe or a full disk never causes a panic; it ends only
//! commands that print their entire result.

use signet::runner::exit;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The part of a command's result that goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Printed {
    /// All of it: an error of standard output ends the command.
    All,
    /// Some of it: after an error of standard output the command continues, then fails at its end.
    Some,
    /// None of it, only progress: after an error of standard output the command continues.
    Progress,
}

static PRINTED: OnceLock<Printed> = OnceLock::new();
/// The first error of standard output, after which nothing is written to it.
static FAILED: OnceLock<ErrorKind> = OnceLock::new();

/// Sets the part of the result that goes to standard output; called before anything is printed.
pub(super) fn set_printed(printed: Printed) {
    PRINTED.get_or_init(|| printed);
}

/// Returns true if a part of the result could not be written; false after a closed pipe.
pub(super) fn is_result_lost() -> bool {
    printed() != Printed::Progress && FAILED.get().is_some_and(|kind| *kind != ErrorKind::BrokenPipe)
}

fn printed() -> Printed {
    *PRINTED.get().unwrap_or(&Printed::All)
}

/// Writes to standard output and flushes it.
pub(super) fn put(text: &str) {
    if FAILED.get().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        failed(&error);
    }
}

/// Writes a line to standard output.
pub(super) fn put_line(text: &str) {
    put(&format!("{text}\n"));
}

/// Writes a line to standard error, ignoring errors.
pub(super) fn note(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

fn failed(error: &io::Error) {
    FAILED.get_or_init(|| error.kind());
    match (printed(), error.kind()) {
        (Printed::All, ErrorKind::BrokenPipe) => exit(0),
        (Printed::All, _) => {
            note(&format!("error: cannot write to standard output: {error}"));
            exit(1);
        }
        (_, ErrorKind::BrokenPipe) => note("standard output was closed by its reader; continuing without it"),
        _ => note(&format!("cannot write to standard output: {error}; continuing without it")),
    }
}
