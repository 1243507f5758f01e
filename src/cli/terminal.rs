//! Standard output and standard error: the only place that writes to them. A reader that has gone, or a
//! full disk, never panics; it ends a command whose only result is what it prints, and nothing else.

use std::io::{self, ErrorKind, Write};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

/// True if the command goes on without standard output, because its result is on disk.
static KEEP_GOING: AtomicBool = AtomicBool::new(false);
/// True if standard output failed: nothing more is written to it.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Declares that the result of this command is on disk: without standard output, it goes on.
pub(super) fn keep_going() {
    KEEP_GOING.store(true, Ordering::Relaxed);
}

/// Writes to standard output at once.
pub(super) fn put(text: &str) {
    if CLOSED.load(Ordering::Relaxed) {
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
    CLOSED.store(true, Ordering::Relaxed);
    let gone = error.kind() == ErrorKind::BrokenPipe;
    match (KEEP_GOING.load(Ordering::Relaxed), gone) {
        (true, true) => note("standard output was closed by its reader; the work goes on without it"),
        (true, false) => note(&format!("cannot write to standard output: {error}; the work goes on without it")),
        (false, true) => exit(0),
        (false, false) => {
            note(&format!("error: cannot write to standard output: {error}"));
            exit(1);
        }
    }
}
