//! Standard output and standard error: the only place that writes to them. A reader that has gone, or a
//! full disk, never panics; it ends a command whose only result is what it prints, and nothing else.

use signet::runner::exit;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The part of a command's result that goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Printed {
    /// All of it: without standard output the command ends.
    All,
    /// Some of it: the command goes on without standard output, and fails in the end if it could not write there.
    Some,
    /// None of it, only progress: the command goes on.
    Progress,
}

static PRINTED: OnceLock<Printed> = OnceLock::new();
/// The first error of standard output: nothing more is written to it.
static FAILED: OnceLock<ErrorKind> = OnceLock::new();

/// Declares, before anything is printed, the part of the result that goes to standard output.
pub(super) fn set_printed(printed: Printed) {
    PRINTED.get_or_init(|| printed);
}

/// Returns true if a part of the result is lost because it could not be written; a reader that has gone wanted no more.
pub(super) fn is_result_lost() -> bool {
    printed() != Printed::Progress && FAILED.get().is_some_and(|kind| *kind != ErrorKind::BrokenPipe)
}

fn printed() -> Printed {
    *PRINTED.get().unwrap_or(&Printed::All)
}

/// Writes to standard output at once.
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

/// Writes a line to standard error; a failure there cannot be reported.
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
        (_, ErrorKind::BrokenPipe) => note("standard output was closed by its reader; the work goes on without it"),
        _ => note(&format!("cannot write to standard output: {error}; the work goes on without it")),
    }
}
