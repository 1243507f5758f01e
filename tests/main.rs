//! The integration tests, in one binary.

mod golden;
mod train;
