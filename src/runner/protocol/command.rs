//! The commands of a face, and the needs of each.

use crate::assets::{ALL, STUDENT_FILE, TEACHER_FILE};
use crate::runner::{
    ChatRequest, CompareRequest, ConformRequest, DataRequest, DecodeBench, EvalRequest, ExportModelRequest, GenerateRequest, InputKind, LandscapeRequest,
    Message, Place, PlanModelRequest, PlanTrainRequest, PlaneView, Report, Request, Snapshot, SweepRequest, TeachRequest, TokenizerRequest, TrainBench,
    TrainConfig, TrainRequest,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A command of a face.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Train a model.
    Train(Box<TrainRequest>),
    /// Train a grid of runs.
    Sweep(Box<SweepRequest>),
    /// Keep what a teacher says of a text.
    Teach(Box<TeachRequest>),
    /// Tell what is in a text, and tokenize it if it was not.
    Data(Box<DataRequest>),
    /// Say what memory a training would take.
    PlanTrain(Box<PlanTrainRequest>),
    /// Say whether a file or directory is what it is taken for.
    CheckInput {
        /// Where it is.
        path: PathBuf,
        /// What it is taken for.
        kind: InputKind,
    },
    /// Write settings as TOML, as `train --config` reads them.
    SaveSettings {
        /// The settings.
        config: Box<TrainConfig>,
        /// The file.
        path: PathBuf,
    },
    /// Read settings from TOML.
    OpenSettings {
        /// The file.
        path: PathBuf,
    },
    /// Say what memory a model takes that continues text.
    PlanModel(PlanModelRequest),
    /// Continue a text.
    Generate(Box<GenerateRequest>),
    /// Begin a conversation; the one before is forgotten.
    OpenChat(Box<ChatRequest>),
    /// Say something in the conversation.
    Say {
        /// What the user says.
        text: String,
    },
    /// Put other messages in the place of what was said, up to where the user speaks next, and other
    /// settings in the place of those that replies are made with.
    SetChat {
        /// What was said, the system's first.
        messages: Vec<Message>,
        /// How replies are made.
        request: Request,
    },
    /// Go on with the model in training as it is by now.
    RefreshChat {
        /// What it is.
        snapshot: Snapshot,
    },
    /// Forget what was said.
    ResetChat,
    /// Measure a model: perplexity on a text, tasks, or both.
    Evaluate(Box<EvalRequest>),
    /// Verify the files of a run, a model or a cache.
    Check {
        /// Where it is.
        path: PathBuf,
        /// True if files of a run that its checkpoints keep are put back first where they are damaged.
        repair: bool,
    },
    /// Say what the layers of a model are made of.
    Inspect {
        /// `embedded`, a packed file, a model directory, or a run's directory.
        model: String,
    },
    /// Draw the loss around a checkpoint.
    Landscape(Box<LandscapeRequest>),
    /// Write a model for other programs.
    ExportModel(ExportModelRequest),
    /// Write a student as a packed file.
    Pack {
        /// `embedded`, a model directory, or a run's directory.
        model: String,
        /// The file.
        out: PathBuf,
    },
    /// Train a tokenizer.
    TrainTokenizer(TokenizerRequest),
    /// Open a model to look at its binarized weights; the one before is forgotten.
    OpenWeights {
        /// `embedded`, a packed file, a model directory, a run's directory (then its last checkpoint), or a checkpoint's.
        model: String,
    },
    /// Show part of a layer's signs, and what flipped.
    ShowPlane {
        /// The layer's full name.
        layer: String,
        /// What flips are counted since: a checkpoint, or another model of the same shape.
        since: Option<PathBuf>,
        /// Which part, in how many pixels.
        view: PlaneView,
    },
    /// Tell α and β of a layer.
    ShowScales {
        /// The layer's full name.
        layer: String,
    },
    /// List the adapters of this machine.
    Devices,
    /// Hold every operation on a device against the oracle.
    Conform(ConformRequest),
    /// Write a device's report to `PATH.md` and `PATH.json`; what is there stays, and a number is added.
    SaveReport {
        /// The report.
        report: Box<Report>,
        /// Without an ending.
        path: PathBuf,
    },
    /// Write a text; what is there stays, and a number is added.
    SaveText {
        /// The text.
        text: String,
        /// The file.
        path: PathBuf,
    },
    /// Time training steps.
    BenchTrain {
        /// What is timed.
        bench: TrainBench,
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Time matrix products.
    BenchMatmul {
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Measure the cost of a dependent dispatch.
    BenchDispatch {
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// Time decoding.
    BenchDecode {
        /// What is timed.
        bench: DecodeBench,
        /// Where: `auto`, `cpu`, or an adapter.
        device: String,
    },
    /// List the runs in a folder.
    ListRuns {
        /// The folder.
        folder: PathBuf,
    },
    /// Read what a run has recorded, also while it is trained.
    FollowRun {
        /// Its directory.
        path: PathBuf,
        /// What is known already: `Place::default()`, then where the last [`Event::RunMetrics`](super::Event::RunMetrics) ended.
        from: Place,
        /// Pieces to give at most, of some thousands of steps each, so that whoever asked is not
        /// overrun; 0 for all there are.
        pieces: usize,
    },
    /// Say what is known of a run.
    DescribeRun {
        /// Its directory.
        path: PathBuf,
    },
    /// Give a run that nobody trains another name.
    RenameRun {
        /// Its directory.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Move a run that nobody trains into the trash of its folder.
    TrashRun {
        /// Its directory.
        path: PathBuf,
    },
    /// Bring a run back from the trash.
    RestoreRun {
        /// Where it is in the trash.
        from: PathBuf,
        /// Where it was.
        to: PathBuf,
    },
    /// Delete what is in the trash of a folder.
    EmptyTrash {
        /// The folder.
        folder: PathBuf,
    },
    /// List the models that a page keeps.
    ListModels,
    /// Fetch a model from the network, or go on with it, in a page.
    FetchModel {
        /// Its address.
        url: String,
        /// The SHA-256 that it must have, if that is known.
        sha256: Option<String>,
    },
    /// Delete a model that a page keeps.
    DeleteModel {
        /// Its name.
        name: String,
    },
    /// Put runs side by side.
    Compare(CompareRequest),
    /// Write what runs have recorded as one file.
    Export {
        /// Their directories.
        runs: Vec<PathBuf>,
        /// The file; its ending says what is written: `.svg` or `.png` for curves, `.csv` for every step, `.zip`
        /// for all files, `.signet` for the packed model of one run.
        out: PathBuf,
        /// Whether a file that is there already is replaced.
        replace: bool,
    },
}

/// Files and models that must be there before a command's work begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::runner) struct Needs {
    /// Parts of the program that it may use: a page fetches them first.
    pub(in crate::runner) assets: &'static [&'static str],
    /// Models that it opens: those that are names of Hugging Face are fetched first.
    pub(in crate::runner) models: Vec<String>,
    /// Paths that it opens as models, runs among them.
    pub(in crate::runner) opened: Vec<PathBuf>,
}

/// The models that are part of the program.
const MODELS: [&str; 2] = [STUDENT_FILE, TEACHER_FILE];

impl Needs {
    /// Any part of the program, and the models that settings name.
    fn training(config: Option<&TrainConfig>) -> Self {
        let named = config.into_iter().flat_map(|config| [config.teacher.path(), config.init.path()]).flatten();
        let opened: Vec<PathBuf> = named.cloned().collect();
        Self { assets: &ALL, models: opened.iter().map(|path| path.display().to_string()).collect(), opened }
    }

    /// Any part of the program, and nothing else.
    fn program() -> Self {
        Self { assets: &ALL, ..Self::default() }
    }

    /// A model, which may be part of the program.
    fn model(name: &str) -> Self {
        Self { assets: &MODELS, models: vec![name.into()], opened: vec![name.into()] }
    }
}

impl Command {
    /// Its needs: here, so that a new command cannot forget them.
    pub(in crate::runner) fn needs(&self) -> Needs {
        match self {
            // The teacher may not be needed; a run that does need one says so.
            Command::Train(request) if request.resume => Needs::program(),
            Command::Train(request) => Needs::training(request.config.as_ref()),
            Command::Teach(request) => Needs::training(Some(&request.config)),
            Command::Sweep(_) | Command::PlanTrain(_) | Command::Data(_) | Command::Conform(_) => Needs::program(),
            Command::OpenChat(request) => match &request.teacher {
                None => Needs { assets: &[STUDENT_FILE], ..Needs::model(&request.model) },
                Some(teacher) => {
                    let mut needs = Needs::model(&request.model);
                    needs.models.push(teacher.clone());
                    needs.opened.push(teacher.into());
                    needs
                }
            },
            Command::Generate(request) => Needs::model(&request.model),
            Command::Evaluate(request) => Needs::model(&request.model),
            Command::Landscape(request) => Needs::model(&request.model),
            Command::ExportModel(request) => Needs::model(&request.model),
            Command::Pack { model, .. } | Command::Inspect { model } | Command::OpenWeights { model } => Needs::model(model),
            // A preset is no model, and a plan fetches none.
            Command::PlanModel(_) | Command::ShowPlane { .. } => Needs { assets: &MODELS, ..Needs::default() },
            Command::Export { runs, .. } => Needs { opened: runs.clone(), ..Needs::default() },
            Command::CheckInput { .. }
            | Command::SaveSettings { .. }
            | Command::OpenSettings { .. }
            | Command::Say { .. }
            | Command::SetChat { .. }
            | Command::RefreshChat { .. }
            | Command::ResetChat
            | Command::Check { .. }
            | Command::TrainTokenizer(_)
            | Command::ShowScales { .. }
            | Command::Devices
            | Command::SaveReport { .. }
            | Command::SaveText { .. }
            | Command::BenchTrain { .. }
            | Command::BenchMatmul { .. }
            | Command::BenchDispatch { .. }
            | Command::BenchDecode { .. }
            | Command::ListRuns { .. }
            | Command::FollowRun { .. }
            | Command::DescribeRun { .. }
            | Command::RenameRun { .. }
            | Command::TrashRun { .. }
            | Command::RestoreRun { .. }
            | Command::EmptyTrash { .. }
            | Command::ListModels
            | Command::FetchModel { .. }
            | Command::DeleteModel { .. }
            | Command::Compare(_) => Needs::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::{ChatRequest, TeachRequest};

    #[test]
    fn a_model_is_fetched_and_its_damage_told_wherever_a_command_names_it() {
        let needs = Command::Inspect { model: "runs/a".into() }.needs();
        assert_eq!(needs, Needs { assets: &MODELS, models: vec!["runs/a".into()], opened: vec!["runs/a".into()] });
        let request = ChatRequest {
            model: "owner/one".into(),
            snapshot: None,
            teacher: Some("owner/two".into()),
            device: "cpu".into(),
            context: None,
            system: None,
            request: Request::default(),
        };
        let alone = ChatRequest { teacher: None, ..request.clone() };
        assert_eq!(Command::OpenChat(Box::new(request)).needs().models, ["owner/one", "owner/two"]);
        assert_eq!(Command::OpenChat(Box::new(alone)).needs().assets, [STUDENT_FILE]);
        let config = TrainConfig { teacher: "runs/teacher".to_string().into(), ..TrainConfig::default() };
        let teach = Command::Teach(Box::new(TeachRequest { out: "cache".into(), top: 4, config, device: "cpu".into() }));
        assert_eq!((teach.needs().assets, teach.needs().opened), (&ALL[..], vec![PathBuf::from("runs/teacher")]));
        assert_eq!(Command::Devices.needs(), Needs::default());
    }
}
