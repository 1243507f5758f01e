//! Training: the step, its schedule, and the run around them.

mod baseline;
mod changes;
mod check;
mod checkpoint;
mod config;
pub mod csv;
mod curves;
mod event;
mod follow;
mod guard;
mod metrics;
mod orders;
mod run_dir;
mod schedule;
mod setup;
mod step;
mod teach;
mod thin;
mod trainer;

pub use changes::{Changed, Changes};
pub use check::SettingError;
pub use checkpoint::{CheckpointError, State, read_state};
pub use config::{Init, Loss, Precision, Recomputation, Source, TrainConfig};
pub use curves::{Curves, png, svg};
pub use event::{GuardAction, Snapshot, TrainEvent};
pub use follow::{Piece, Place, read_last, read_piece};
pub use guard::{Guard, GuardConfig, Verdict};
pub use metrics::Metrics;
pub use orders::{Order, Orders};
pub use run_dir::{RunDir, RunError, check_name, checkpoint, checkpoints};
pub use schedule::Schedule;
pub use setup::{Setup, Shapes, TeacherShape, plan};
pub use step::{Losses, PendingReport, Step, StepError, StepReport, StepShape};
pub use teach::{TeachError, Teaching, teach};
pub use trainer::{Ending, FirstWeights, Parts, TrainError, Trainer};
