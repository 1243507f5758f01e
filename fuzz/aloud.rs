//! Prints why a target fails. libFuzzer alone says that it did.

use crate::readers;
use std::cell::RefCell;
use std::panic::{catch_unwind, set_hook};

thread_local! {
    /// The last panic. One that Signet catches is no failure, and is not printed.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Bytes of a thread's stack, as many as a program's first thread has on Linux.
const STACK: usize = 8 << 20;

/// Keeps panics instead of printing them.
pub(crate) fn keep_panics() {
    set_hook(Box::new(|info| LAST.set(info.to_string())));
}

/// Runs a reader on some bytes; if it fails, prints why and ends the process. It runs in a thread of its own: the
/// tokenizers library keeps a cache of every tokenizer that was used in a thread, until the thread ends.
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
