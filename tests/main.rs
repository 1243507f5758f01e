//! The one integration test binary.

mod conform;
mod device;
mod execute;
