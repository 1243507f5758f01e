//! Prints the panic message of a failed target, which libFuzzer alone does not.

use crate::readers;
use std::cell::RefCell;
use std::panic::{catch_unwind, set_hook};

thread_local! {
    /// Message of the last panic. Panics that Signet catches are not failures and are not printed.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Stack size in bytes, that of the main thread on Linux.
const STACK: usize = 8 << 20;

/// Stores panic messages instead of printing them.
pub(crate) fn keep_panics() {
    set_hook(Box::new(|info| LAST.set(info.to_string())));
}

/// Runs a reader on `bytes`; if it panics, prints the message and aborts. Runs in a new thread, because the
/// tokenizers library keeps a per-thread cache of every tokenizer until the thread ends.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let run = || {
        if catch_unwind(|| readers::check(name, bytes)).is_err() {
            eprintln!("{}", LAST.take());
            std::process::abort();
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK);
    std::thread::scope(|scope| thread.spawn_scoped(scope, run).map(drop)).expect("a thread");
}
