//! Training: the step, its schedule, and the run around them.

mod baseline;
mod changes;
mod checkpoint;
pub mod csv;
mod curve;
#[cfg_attr(not(feature = "pictures"), allow(dead_code, reason = "they are thinned for pictures"))]
mod curves;
#[cfg(feature = "pictures")]
mod draw;
#[cfg(feature = "pictures")]
mod draw_landscape;
mod follow;
mod gaps;
mod guard;
mod landscape;
mod losses;
mod metrics;
#[cfg(not(feature = "pictures"))]
mod no_pictures;
mod orders;
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
mod speed;
#[cfg_attr(not(feature = "pictures"), allow(dead_code, reason = "lines are for pictures"))]
mod spread;
mod step;
mod sweep;
mod teach;
mod train_config;
mod train_error;
mod train_event;
mod trainer;
mod validate;
mod verify_run;

pub use crate::ops::{DIVERGENCE_CHOICES, Divergence, Term};
pub use changes::{Changed, Changes};
pub use checkpoint::{Checkpoint, CheckpointError, TrainState};
pub use curve::{Column, Curve};
pub use curves::{Axis, CurveGroup, Curves};
#[cfg(feature = "pictures")]
pub use draw::{png, svg};
#[cfg(feature = "pictures")]
pub use draw_landscape::{landscape_png, landscape_svg};
pub use follow::{MetricsChunk, MetricsPosition, read_last, read_metrics_chunk};
pub use gaps::Gaps;
pub use guard::{Guard, GuardConfig, GuardVerdict};
pub use landscape::{Landscape, LandscapeError, LandscapeGrid, landscape};
pub use losses::Losses;
pub use metrics::Metrics;
#[cfg(not(feature = "pictures"))]
pub use no_pictures::{landscape_png, landscape_svg, png, svg};
pub use orders::{Order, Orders};
pub use quantities::{Compared, PLOTS, Plot, PlotLine, QUANTITIES, QUANTITY_COUNT, Quantity, Scale, Summary, Unit, quantity};
pub use record::{RecordedLines, RunRecord};
pub use run_dir::{MAX_NAME_LENGTH, RunDir, check_name, check_same, checkpoint, checkpoints, newest_record, numbered, run_settings};
pub use run_error::RunError;
pub use schedule::Schedule;
pub use settings::{NONE, PathKind, SETTINGS, Setting, SettingError, SettingGroup, SettingKind, SettingValue, Words, setting};
pub use setup::{Setup, Shapes, TeacherShape, plan};
pub use speed::Speed;
pub use spread::Average;
pub use step::{PendingReport, Step, StepError, StepReport, StepShape};
pub use sweep::{Member, members};
pub use teach::{TeachError, Teaching, teach};
pub use train_config::{Init, Loss, ModelSource, Precision, Recomputation, TrainConfig};
pub use train_error::TrainError;
pub use train_event::{GuardAction, Snapshot, TrainEvent};
pub use trainer::{Ending, FirstWeights, Trainer, TrainerParts, close, last_scheduled};
pub use verify_run::{Outcome, VerifyProgress, Verifying, newest_intact, repair, verify_checkpoint, verify_metrics, verify_run};
