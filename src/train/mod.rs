//! Training: the step, its schedule, and the run around them.

mod baseline;
mod changes;
mod check;
mod checkpoint;
mod config;
pub mod csv;
mod curve;
#[cfg_attr(not(feature = "pictures"), allow(dead_code, reason = "they are thinned for pictures"))]
mod curves;
#[cfg(feature = "pictures")]
mod draw;
#[cfg(feature = "pictures")]
mod draw_landscape;
mod event;
mod follow;
mod gaps;
mod guard;
mod landscape;
mod losses;
mod metrics;
mod orders;
mod pace;
#[cfg(feature = "pictures")]
mod picture;
mod quantities;
mod record;
mod run_dir;
mod run_error;
mod run_toml;
mod samples;
mod schedule;
mod settings;
mod setup;
#[cfg_attr(not(feature = "pictures"), allow(dead_code, reason = "lines are for pictures"))]
mod spread;
mod step;
mod sweep;
mod teach;
mod train_error;
mod trainer;
#[cfg(not(feature = "pictures"))]
mod undrawn;
mod verify;

pub use crate::ops::{DIVERGENCE_CHOICES, Divergence, Term};
pub use changes::{Changed, Changes};
pub use checkpoint::{Checkpoint, CheckpointError, State};
pub use config::{Init, Loss, Precision, Recomputation, Source, TrainConfig};
pub use curve::{Column, Curve};
pub use curves::{Axis, Curves, Group};
#[cfg(feature = "pictures")]
pub use draw::{png, svg};
#[cfg(feature = "pictures")]
pub use draw_landscape::{landscape_png, landscape_svg};
pub use event::{GuardAction, Snapshot, TrainEvent};
pub use follow::{Piece, Place, read_last, read_piece};
pub use gaps::Gaps;
pub use guard::{Guard, GuardConfig, Verdict};
pub use landscape::{Grid, Landscape, LandscapeError, landscape};
pub use losses::Losses;
pub use metrics::Metrics;
pub use orders::{Order, Orders};
pub use pace::Pace;
pub use quantities::{Compared, PLOTS, Plot, PlotLine, QUANTITIES, QUANTITY_COUNT, Quantity, Scale, Summary, Unit, quantity};
pub use record::{RecordedLines, RunRecord};
pub use run_dir::{LONGEST_NAME, RunDir, check_name, check_same, checkpoint, checkpoints, newest_record, numbered, run_settings};
pub use run_error::RunError;
pub use schedule::Schedule;
pub use settings::{NONE, PathKind, SETTINGS, Setting, SettingError, SettingGroup, SettingKind, SettingValue, Words, setting};
pub use setup::{Setup, Shapes, TeacherShape, plan};
pub use spread::Average;
pub use step::{PendingReport, Step, StepError, StepReport, StepShape};
pub use sweep::{Member, members};
pub use teach::{TeachError, Teaching, teach};
pub use train_error::TrainError;
pub use trainer::{Ending, FirstWeights, Parts, Trainer, close, last_scheduled};
#[cfg(not(feature = "pictures"))]
pub use undrawn::{landscape_png, landscape_svg, png, svg};
pub use verify::{Outcome, Progress, Verifying, newest_whole, repair, verify_checkpoint, verify_metrics, verify_run};
