//! The tests of the window: the app, driven by the names that a screen reader says.

mod app;
mod shared;
