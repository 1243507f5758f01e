//! Events, and what commands carry and report: plain data, which a page and its worker exchange as JSON. The commands are in
//! `commands`, each beside its work.

mod event;
mod reports;
mod requests;

pub use event::Event;
pub use reports::{CompareReport, ComparedGroup, ComparedRun, DataReport, DeviceInfo, LayerInfo, ModelNumbers, PlanReport, RunInfo, RunLength, SweepRun};
pub use requests::{
    ChatRequest, CompareRequest, ConformRequest, DataRequest, EvalRequest, ExportModelRequest, GenerateRequest, InputKind, LandscapeRequest, ModelExport,
    PlanModelRequest, PlanTrainRequest, PlaneView, SweepRequest, TaskRequest, TeachRequest, TokenizerRequest, TrainRequest,
};
