//! Training: the step, its schedule, and the run around them.

mod schedule;
mod step;

pub use schedule::Schedule;
pub use step::{Batch, Losses, PendingReport, Step, StepError, StepReport, StepShape};
