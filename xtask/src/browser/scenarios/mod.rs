//! The scenarios, one a file.

mod chat;
mod conform;
mod fallback;
mod firefox;
mod lacking;
mod load;
mod models;
mod narrow;
mod offline;
mod tabs;
mod train;
mod update;
mod worker;

use super::Scene;

/// A scenario; returns a line of measurements, or the failure.
type RunScenario = fn(&Scene) -> Result<String, String>;

/// All scenarios, in the order in which they run.
pub(super) const ALL: [(&str, RunScenario); 13] = [
    ("load", load::run),
    ("fallback", fallback::run),
    ("lacking", lacking::run),
    ("offline", offline::run),
    ("update", update::run),
    ("chat", chat::run),
    ("train", train::run),
    ("worker", worker::run),
    ("models", models::run),
    ("tabs", tabs::run),
    ("narrow", narrow::run),
    ("conform", conform::run),
    ("firefox", firefox::run),
];
