//! Tests of the window: the app, driven by accessible names.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod app;
mod shared;
