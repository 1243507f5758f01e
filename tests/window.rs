//! The tests of the window: the app, driven by the names that a screen reader says.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod app;
mod shared;
