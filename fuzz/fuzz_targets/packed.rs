//! Fuzzes the reader `packed`.
#![no_main]

#[path = "../allocator.rs"]
mod allocator;
#[path = "../aloud.rs"]
mod aloud;
#[path = "../readers.rs"]
mod readers;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

libfuzzer_sys::fuzz_target!(init: aloud::keep_panics(), |bytes: &[u8]| aloud::check("packed", bytes));
