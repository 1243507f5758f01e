//! Plots of runs: curves that stay fast at a million steps, and the heat map of flips.

mod axis;
mod heat;
mod history;
mod panel;

pub use axis::number;
pub use heat::{Heat, viridis};
pub use history::{History, Mark};
pub use panel::{Line, Look, Panel, View, palette};
