//! Prints why a target fails. libFuzzer alone says that it did.

use crate::readers;
use std::cell::RefCell;
use std::panic::{catch_unwind, set_hook};

thread_local! {
    /// The last panic. One that Signet catches is no failure, and is not printed.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics instead of printing them.
pub(crate) fn keep_panics() {
    set_hook(Box::new(|info| LAST.set(info.to_string())));
}

/// Runs a reader on some bytes; if it fails, prints why and ends the process.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    if catch_unwind(|| readers::check(name, bytes)).is_err() {
        eprintln!("{}", LAST.take());
        std::process::abort();
    }
}
