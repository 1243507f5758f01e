//! The messages between faces and runner: plain data, which a page sends to its worker as JSON.

mod command;
mod event;
mod reports;
mod requests;

pub use command::Command;
pub use event::Event;
pub use reports::{CompareReport, ComparedGroup, ComparedRun, DataReport, DeviceInfo, LayerInfo, ModelNumbers, PlanReport, RunInfo, RunLength, SweepRun};
pub use requests::{
    ChatRequest, CompareRequest, ConformRequest, DataRequest, EvalRequest, ExportModelRequest, GenerateRequest, InputKind, LandscapeRequest, ModelExport,
    PlanModelRequest, PlanTrainRequest, PlaneView, SweepRequest, TaskRequest, TeachRequest, TokenizerRequest, TrainRequest,
};
