//! Events, and the arguments and results of commands: plain data, which a page and its worker exchange as JSON. The
//! commands are in `commands`, each beside its implementation.

mod event;
mod reports;
mod requests;

pub use event::Event;
pub use reports::{CompareReport, ComparedGroup, ComparedRun, DataReport, DeviceInfo, LayerInfo, ModelNumbers, PlanReport, RunInfo, RunLength, SweepRun};
pub use requests::{
    ChatRequest, CompareRequest, ConformRequest, DataRequest, EvalRequest, ExportModelRequest, GenerateRequest, InputKind, LandscapeRequest, ModelExport,
    PlanModelRequest, PlanTrainRequest, PlaneView, SweepRequest, TaskRequest, TeachRequest, TokenizerRequest, TrainRequest,
};
