//! The integration tests, in one binary.

mod conform;
mod device;
mod execute;
mod golden;
mod large;
mod train;
