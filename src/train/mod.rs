//! Training: the step, its schedule, and the run around them.

mod config;
mod guard;
mod schedule;
mod step;

pub use config::{Init, Loss, SettingError, Source, TrainConfig};
pub use guard::{Guard, GuardConfig, Verdict};
pub use schedule::Schedule;
pub use step::{Batch, Losses, PendingReport, Step, StepError, StepReport, StepShape};
