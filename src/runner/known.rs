//! What was opened to plan a run, kept so that the next plan need not open it again: somebody edits a
//! form, and wants to know after every key. What changed on disk is opened anew.

use super::devices::{self, Place};
use super::hub;
use super::sources::open_teacher;
use crate::assets;
use crate::data::{Chat, Conversation, Tokenizer, expand, sample};
use crate::device::{Adapter, DeviceChoice, adapters};
use crate::model::{Linears, LlamaConfig, TOKENIZER, WEIGHTS, open_tokenizer};
use crate::platform::{self, Stamp};
use crate::train::{Source, TrainConfig};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of text from the beginning of a file by which its tokens are reckoned.
const SAMPLE: usize = 128 << 10;
/// Files whose beginnings are looked at; the others are reckoned to be like these.
const SAMPLED: usize = 8;

/// What a teacher is, without its tensors.
#[derive(Clone)]
pub(super) struct KnownTeacher {
    pub(super) config: LlamaConfig,
    pub(super) linears: Linears,
    pub(super) tokenizer: Option<Arc<Tokenizer>>,
}

/// Files as they were when they were read.
type Seen = Vec<(PathBuf, Option<Stamp>)>;

fn seen<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Seen {
    paths.into_iter().map(|path| (path.to_path_buf(), platform::stamp(path))).collect()
}

/// The files that decide what a source gives.
fn files(source: &Source) -> Seen {
    let Some(path) = source.path() else { return Seen::new() };
    // The files beside a tokenizer's file declare its tokens.
    let folder = path.parent().filter(|_| path.file_name().is_some_and(|name| name == TOKENIZER)).unwrap_or(path);
    let parts: Vec<PathBuf> = ["config.json", "run.toml", "checkpoints"].iter().chain(&hub::BESIDES).chain(&WEIGHTS).map(|name| folder.join(name)).collect();
    seen([path.as_path()].into_iter().chain(parts.iter().map(PathBuf::as_path)))
}

/// What is known from the plans before; one of each.
#[derive(Default)]
pub(super) struct Known {
    adapters: Vec<Adapter>,
    teacher: Option<(Source, Seen, KnownTeacher)>,
    tokenizer: Option<(Source, Seen, Arc<Tokenizer>)>,
    text: Option<(Seen, String, Arc<Tokenizer>, Option<u64>)>,
}

impl Known {
    /// Where `device` would compute. Nothing is opened there; adapters are looked for once, and again
    /// when one is named that was not there.
    pub(super) async fn place(&mut self, device: &str) -> Result<Place> {
        let Ok(choice) = device.parse::<DeviceChoice>();
        if choice != DeviceChoice::Cpu && (self.adapters.is_empty() || devices::place(&self.adapters, &choice).is_err()) {
            self.adapters = adapters().await;
        }
        devices::place(&self.adapters, &choice)
    }

    /// What a teacher is; none if there is none.
    pub(super) fn teacher(&mut self, source: &Source) -> Result<Option<KnownTeacher>> {
        let now = files(source);
        if let Some((known, then, teacher)) = &self.teacher
            && (known, then) == (source, &now)
        {
            return Ok(Some(teacher.clone()));
        }
        let Some(file) = open_teacher(source)? else { return Ok(None) };
        let teacher = KnownTeacher { config: file.config, linears: file.linears, tokenizer: file.tokenizer.map(Arc::new) };
        self.teacher = Some((source.clone(), now, teacher.clone()));
        Ok(Some(teacher))
    }

    /// The tokenizer of a source: a file's, or the embedded one.
    pub(super) fn tokenizer(&mut self, source: &Source) -> Result<Arc<Tokenizer>> {
        let now = files(source);
        if let Some((known, then, tokenizer)) = &self.tokenizer
            && (known, then) == (source, &now)
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

    /// About how many tokens a run's text has, or the embedded corpus if it names none; none if a file
    /// cannot be read.
    pub(super) fn text_tokens(&mut self, config: &TrainConfig, tokenizer: &Arc<Tokenizer>) -> Option<u64> {
        let files = expand(&config.data).ok()?;
        let now = seen(files.iter().map(PathBuf::as_path));
        if let Some((then, field, with, tokens)) = &self.text
            && (then, field) == (&now, &config.field)
            && Arc::ptr_eq(with, tokenizer)
        {
            return *tokens;
        }
        let tokens = match now.is_empty() {
            true => assets::corpus().ok().and_then(|text| count(text, text.len() as u64, tokenizer)),
            false => reckon(&now, &config.field, tokenizer),
        };
        self.text = Some((now, config.field.clone(), Arc::clone(tokenizer), tokens));
        tokens
    }
}

/// Tokens of some files, by how those that are looked at begin. What a chat template adds is not known here.
fn reckon(files: &Seen, field: &str, tokenizer: &Tokenizer) -> Option<u64> {
    let bytes = |files: &[(PathBuf, Option<Stamp>)]| files.iter().map(|(_, stamp)| Some(stamp.as_ref()?.bytes)).sum::<Option<u64>>();
    let said = |conversation: Conversation| Ok(conversation.messages.iter().filter_map(|message| message.get("content")?.as_str()).collect());
    let sampled = &files[..files.len().min(SAMPLED)];
    let mut tokens = 0;
    for (path, stamp) in sampled {
        let sample = sample(path, "", field, Chat { id: 0, render: &said }, SAMPLE).ok()?;
        let share = stamp.as_ref()?.bytes as f64 / sample.bytes.max(1) as f64;
        let found = count(&sample.text, sample.text.len() as u64, tokenizer)? + sample.ids;
        tokens += (found as f64 * share).round() as u64;
    }
    Some((tokens as f64 * bytes(files)? as f64 / bytes(sampled)?.max(1) as f64).round() as u64)
}

/// Tokens of a text of `bytes` bytes that begins like this.
fn count(text: &str, bytes: u64, tokenizer: &Tokenizer) -> Option<u64> {
    let start = &text[..text.floor_char_boundary(SAMPLE)];
    let tokens = tokenizer.encode(start).ok()?.len();
    Some((tokens as f64 / start.len().max(1) as f64 * bytes as f64).round() as u64)
}
