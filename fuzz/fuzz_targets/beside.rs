//! Fuzzes the reader `beside`.
#![no_main]

#[path = "../allocator.rs"]
mod allocator;
#[path = "../readers.rs"]
mod readers;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

// A panic that Signet catches is no finding; one that is not caught ends the target all the same.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |bytes: &[u8]| readers::check("beside", bytes));
