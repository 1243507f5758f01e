//! What was opened to plan a run, kept so that the next plan need not open it again: somebody edits a
//! form, and wants to know after every key. What changed on disk is opened anew.

use super::devices::{self, Place};
use super::train::open_teacher;
use crate::assets;
use crate::data::Tokenizer;
use crate::device::{Adapter, Choice, adapters};
use crate::model::{Linears, LlamaConfig, WEIGHTS};
use crate::platform::{self, Stamp};
use crate::train::Source;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes from the beginning of a file by which its tokens are reckoned.
const SAMPLE: usize = 128 << 10;

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
    let parts: Vec<PathBuf> = ["config.json", "tokenizer.json", "run.toml", "checkpoints"].iter().chain(&WEIGHTS).map(|name| path.join(name)).collect();
    seen([path.as_path()].into_iter().chain(parts.iter().map(PathBuf::as_path)))
}

/// What is known from the plans before; one of each.
#[derive(Default)]
pub(super) struct Known {
    adapters: Vec<Adapter>,
    teacher: Option<(Source, Seen, KnownTeacher)>,
    tokenizer: Option<(Source, Seen, Arc<Tokenizer>)>,
    text: Option<(Seen, Arc<Tokenizer>, Option<u64>)>,
}

impl Known {
    /// Where `device` would compute. Nothing is opened there; adapters are looked for once, and again
    /// when one is named that was not there.
    pub(super) async fn place(&mut self, device: &str) -> Result<Place> {
        let Ok(choice) = device.parse::<Choice>();
        if choice != Choice::Cpu && (self.adapters.is_empty() || devices::place(&self.adapters, &choice).is_err()) {
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
            Some(path) => Tokenizer::open(path)?,
            None => Tokenizer::from_json(assets::tokenizer()?)?,
        });
        self.tokenizer = Some((source.clone(), now, Arc::clone(&tokenizer)));
        Ok(tokenizer)
    }

    /// About how many tokens text files have, or the embedded corpus if there are none; none if one
    /// cannot be read.
    pub(super) fn text_tokens(&mut self, data: &[PathBuf], tokenizer: &Arc<Tokenizer>) -> Option<u64> {
        let now = seen(data.iter().map(PathBuf::as_path));
        if let Some((then, with, tokens)) = &self.text
            && *then == now
            && Arc::ptr_eq(with, tokenizer)
        {
            return *tokens;
        }
        let tokens = if data.is_empty() {
            assets::corpus().ok().and_then(|text| reckon(text.as_bytes(), text.len() as u64, tokenizer))
        } else {
            now.iter().map(|(path, stamp)| reckon(&platform::read_start(path, SAMPLE).ok()?, stamp.as_ref()?.bytes, tokenizer)).sum()
        };
        self.text = Some((now, Arc::clone(tokenizer), tokens));
        tokens
    }
}

/// Tokens of a text of `bytes` bytes that begins like this, if it is text.
fn reckon(start: &[u8], bytes: u64, tokenizer: &Tokenizer) -> Option<u64> {
    let start = &start[..start.len().min(SAMPLE)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The sample may end inside a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let tokens = tokenizer.encode(text).ok()?.len();
    Some((tokens as f64 / text.len().max(1) as f64 * bytes as f64).round() as u64)
}
