//! Caches the inputs of memory plans, because the app plans after each keystroke in its form. Files that change on disk
//! are read again.

use super::devices::{self, PlannedDevice};
use super::hub_models;
use super::sources::open_teacher;
use crate::assets;
use crate::data::{ChatRenderer, Conversation, Tokenizer, expand, sample};
use crate::device::{Adapter, DeviceChoice, adapters};
use crate::model::{Linears, ModelConfig, TOKENIZER, WEIGHTS, open_tokenizer};
use crate::platform::{self, Stamp};
use crate::train::{ModelSource, TrainConfig};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes at the start of a file from which its number of tokens is estimated.
const SAMPLE_BYTES: usize = 128 << 10;
/// Number of files sampled; the others are assumed to be similar.
const SAMPLE_FILES: usize = 8;

/// The shape and tokenizer of a teacher, without its tensors.
#[derive(Clone)]
pub(super) struct TeacherInfo {
    pub(super) config: ModelConfig,
    pub(super) linears: Linears,
    pub(super) tokenizer: Option<Arc<Tokenizer>>,
}

/// Files with their length and modification time when they were read, to detect changes.
type FileStamps = Vec<(PathBuf, Option<Stamp>)>;

fn stamps<'a>(paths: impl IntoIterator<Item = &'a Path>) -> FileStamps {
    paths.into_iter().map(|path| (path.to_path_buf(), platform::stamp(path))).collect()
}

/// Returns the stamps of the files that a source is read from.
fn source_stamps(source: &ModelSource) -> FileStamps {
    let Some(path) = source.path() else { return FileStamps::new() };
    // Files beside a tokenizer.json also declare tokens.
    let folder = path.parent().filter(|_| path.file_name().is_some_and(|name| name == TOKENIZER)).unwrap_or(path);
    let parts: Vec<PathBuf> =
        ["config.json", "run.toml", "checkpoints"].iter().chain(&hub_models::COMPANION_FILES).chain(&WEIGHTS).map(|name| folder.join(name)).collect();
    stamps([path.as_path()].into_iter().chain(parts.iter().map(PathBuf::as_path)))
}

/// A cache of the inputs of memory plans; one entry of each kind.
#[derive(Default)]
pub(super) struct PlanCache {
    adapters: Vec<Adapter>,
    teacher: Option<(ModelSource, FileStamps, TeacherInfo)>,
    tokenizer: Option<(ModelSource, FileStamps, Arc<Tokenizer>)>,
    text: Option<(FileStamps, String, Arc<Tokenizer>, Option<u64>)>,
}

impl PlanCache {
    /// Returns the device named `device`, without opening it. Adapters are listed once, and again if `device` is not among
    /// them.
    pub(super) async fn device(&mut self, device: &str) -> Result<PlannedDevice> {
        let Ok(choice) = device.parse::<DeviceChoice>();
        if choice != DeviceChoice::Cpu && (self.adapters.is_empty() || devices::planned_device(&self.adapters, &choice).is_err()) {
            self.adapters = adapters().await;
        }
        devices::planned_device(&self.adapters, &choice)
    }

    /// Returns the teacher's shape and tokenizer; none without a teacher.
    pub(super) fn teacher(&mut self, source: &ModelSource) -> Result<Option<TeacherInfo>> {
        let now = source_stamps(source);
        if let Some((cached, stamps, teacher)) = &self.teacher
            && (cached, stamps) == (source, &now)
        {
            return Ok(Some(teacher.clone()));
        }
        let Some(file) = open_teacher(source)? else { return Ok(None) };
        let teacher = TeacherInfo { config: file.config, linears: file.linears, tokenizer: file.tokenizer.map(Arc::new) };
        self.teacher = Some((source.clone(), now, teacher.clone()));
        Ok(Some(teacher))
    }

    /// Returns the tokenizer of a source: a file's, or the embedded one.
    pub(super) fn tokenizer(&mut self, source: &ModelSource) -> Result<Arc<Tokenizer>> {
        let now = source_stamps(source);
        if let Some((cached, stamps, tokenizer)) = &self.tokenizer
            && (cached, stamps) == (source, &now)
        {
            return Ok(Arc::clone(tokenizer));
        }
        let tokenizer = Arc::new(match source.path() {
            Some(path) => open_tokenizer(path)?.0,
            None => Tokenizer::from_json(assets::tokenizer()?)?,
        });
        self.tokenizer = Some((source.clone(), now, Arc::clone(&tokenizer)));
        Ok(tokenizer)
    }

    /// Estimates the number of tokens of a run's text, or of the embedded corpus if it names none; none if a file cannot be
    /// read.
    pub(super) fn text_tokens(&mut self, config: &TrainConfig, tokenizer: &Arc<Tokenizer>) -> Option<u64> {
        let files = expand(&config.data).ok()?;
        let now = stamps(files.iter().map(PathBuf::as_path));
        if let Some((then, field, with, tokens)) = &self.text
            && (then, field) == (&now, &config.field)
            && Arc::ptr_eq(with, tokenizer)
        {
            return *tokens;
        }
        let tokens = match now.is_empty() {
            true => assets::corpus().ok().and_then(|text| scale_tokens(text, text.len() as u64, tokenizer)),
            false => estimate_tokens(&now, &config.field, tokenizer),
        };
        self.text = Some((now, config.field.clone(), Arc::clone(tokenizer), tokens));
        tokens
    }
}

/// Estimates the number of tokens of files from samples of some of them, without the tokens that a chat template adds.
fn estimate_tokens(files: &FileStamps, field: &str, tokenizer: &Tokenizer) -> Option<u64> {
    let bytes = |files: &[(PathBuf, Option<Stamp>)]| files.iter().map(|(_, stamp)| Some(stamp.as_ref()?.bytes)).sum::<Option<u64>>();
    let render = |conversation: Conversation| Ok(conversation.messages.iter().filter_map(|message| message.get("content")?.as_str()).collect());
    let sampled = &files[..files.len().min(SAMPLE_FILES)];
    let mut tokens = 0;
    for (path, stamp) in sampled {
        let sample = sample(path, "", field, ChatRenderer { id: 0, render: &render }, SAMPLE_BYTES).ok()?;
        let share = stamp.as_ref()?.bytes as f64 / sample.bytes.max(1) as f64;
        let found = scale_tokens(&sample.text, sample.text.len() as u64, tokenizer)? + sample.ids;
        tokens += (found as f64 * share).round() as u64;
    }
    Some((tokens as f64 * bytes(files)? as f64 / bytes(sampled)?.max(1) as f64).round() as u64)
}

/// Estimates the number of tokens of a text of `bytes` bytes that starts with `text`.
fn scale_tokens(text: &str, bytes: u64, tokenizer: &Tokenizer) -> Option<u64> {
    let start = &text[..text.floor_char_boundary(SAMPLE_BYTES)];
    let tokens = tokenizer.encode(start).ok()?.len();
    Some((tokens as f64 / start.len().max(1) as f64 * bytes as f64).round() as u64)
}
