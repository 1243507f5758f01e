//! Reads and tokenizes the text of a run.

use super::{Event, Stop};
use crate::assets;
use crate::data::{
    Callbacks, ChatRenderer, Conversation, Corpus, CorpusSplit, TextFormat, TextProgress, TokenStore, TokenizeOptions, Tokenizer, expand, format_of, gather,
};
use crate::formats::checksum;
use crate::infer::{ChatTemplate, Message, TemplateVariables};
use crate::jinja::Json;
use crate::model::{ChatFormat, Templates};
use crate::platform;
use crate::train::{SettingError, TrainConfig};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Version of the chat template renderer; incremented when its output changes, so that cached ids are not reused.
const RENDERER_VERSION: u64 = 2;

/// Returns the directory of the token cache.
pub(super) fn cache() -> Option<PathBuf> {
    Some(platform::cache_dir()?.join("tokens"))
}

/// Reads texts, rendering conversations with a model's chat template.
pub(super) struct TextReader {
    template: Result<ChatTemplate, String>,
    id: u64,
}

impl TextReader {
    /// Creates a reader with the template of a model, or the default one if it has none.
    pub(super) fn new(format: &ChatFormat) -> Self {
        let (one, named) = match &format.template {
            Some(Templates::One(template)) => (Some(template.as_str()), None),
            Some(Templates::Named(named)) => (None, Some(named)),
            None => (None, None),
        };
        // Cached ids of a model's own template depend on the renderer, those of the default template do not.
        let version = format.template.as_ref().map_or(0, |_| RENDERER_VERSION);
        // For a single template and these two tokens, this is the id of earlier versions of Signet.
        let usual = ["bos_token", "eos_token"];
        let parts = [one].into_iter().chain(usual.map(|name| format.special_token(name)));
        let id = parts.fold(version, |sum, part| checksum(sum, part.unwrap_or("\0").as_bytes()));
        let others = format.special_tokens.iter().filter(|(name, _)| !usual.contains(&name.as_str()));
        let id = named.into_iter().flatten().chain(others).fold(id, |sum, (name, text)| checksum(checksum(sum, name.as_bytes()), text.as_bytes()));
        Self { template: ChatTemplate::new(format).map_err(|error| error.to_string()), id }
    }

    fn render(&self, conversation: Conversation) -> Result<String, String> {
        let template = self.template.as_ref().map_err(String::clone)?;
        let Conversation { messages, tools, documents, variables } = conversation;
        let read = |(n, message): (usize, Json)| Message::from_json(message).map_err(|error| format!("message {}: {error}", n + 1));
        let messages = messages.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let given = TemplateVariables::new(tools, documents, variables)?;
        template.render_with(&messages, &given, false).map_err(|error| error.to_string())
    }

    /// Calls `with` with the tokenization parameters of a run's text.
    pub(super) fn with<T>(&self, config: &TrainConfig, tokenizer: &Tokenizer, with: impl FnOnce(&TokenizeOptions<'_>) -> T) -> T {
        let render = |conversation| self.render(conversation);
        let cache = cache();
        with(&TokenizeOptions { tokenizer, field: &config.field, chat: ChatRenderer { id: self.id, render: &render }, cache: cache.as_deref() })
    }
}

/// Expands the glob patterns of a run's text, so that a resumed run reads the same files.
pub(super) fn expand_data(config: TrainConfig) -> Result<TrainConfig> {
    let data = expand(&config.data).map_err(|error| refused("data", error))?;
    Ok(TrainConfig { data, ..config })
}

/// Returns an error if the text of a run is standard input, which a resumed run could not read again.
pub(super) fn reject_stdin(config: TrainConfig) -> Result<TrainConfig> {
    for (name, mut paths) in [("data", config.data.iter()), ("held_out", config.held_out.as_slice().iter())] {
        if paths.any(|path| path.as_os_str() == "-") {
            return Err(refused(name, "standard input (-) cannot be read again when the run resumes. Write the text to a file first"));
        }
    }
    Ok(config)
}

/// Returns the error of a setting.
pub(super) fn refused(name: &'static str, error: impl std::fmt::Display) -> anyhow::Error {
    SettingError { name, problem: error.to_string() }.into()
}

/// Opens a run's text, and its separate held-out text if one is set.
pub(super) fn texts(config: &TrainConfig, options: &TokenizeOptions<'_>, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<(TokenStore, Option<TokenStore>)> {
    let mut progress = |progress| emit(progress_event(progress));
    let stop = || stop.is_requested();
    let mut callbacks = Callbacks { stop: &stop, progress: &mut progress };
    let mut open = |name, paths: &[PathBuf]| {
        let files = expand(paths).map_err(|error| refused(name, error))?;
        TokenStore::open(&files, options, &mut callbacks).map_err(|error| refused(name, error))
    };
    let text = match config.data.is_empty() {
        true => TokenStore::embedded(assets::corpus()?, options)?,
        false => open("data", &config.data)?,
    };
    let held_out = config.held_out.as_ref().map(|path| open("held_out", std::slice::from_ref(path))).transpose()?;
    Ok((text, held_out))
}

/// Returns the progress event for reading a text, in MiB.
fn progress_event(progress: TextProgress) -> Event {
    let TextProgress { tokenizing, done, of, rate } = progress;
    let left = of.saturating_sub(done) as f64 / rate.max(1.0);
    let doing = if tokenizing { "tokenizing" } else { "reading" };
    let mega = |bytes: u64| bytes.div_ceil(1 << 20) as usize;
    Event::Progress { done: mega(done), of: mega(of), note: format!("{doing} text, {:.1} MB/s, {left:.0} s left", rate / 1e6) }
}

/// Returns the split of a run's text into training and held-out parts.
pub(super) fn split(config: &TrainConfig) -> CorpusSplit {
    CorpusSplit { share: config.held_out_share, shuffle: config.shuffle, seq: config.seq }
}

/// Opens the corpus of a run.
pub(super) fn open(config: &TrainConfig, tokenizer: &Tokenizer, chat: &ChatFormat, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Corpus> {
    let (text, held_out) = TextReader::new(chat).with(config, tokenizer, |options| texts(config, options, stop, emit))?;
    Corpus::new(text, held_out, split(config)).map_err(|error| refused("data", error))
}

/// Reads files as one text, with conversations rendered by the default template.
pub(super) fn plain(paths: &[PathBuf]) -> Result<String> {
    let reading = TextReader::new(&ChatFormat::default());
    let chat = ChatRenderer { id: reading.id, render: &|conversation| reading.render(conversation) };
    Ok(gather(&expand(paths)?, &TrainConfig::default().field, chat)?)
}

/// Tokenizes a text for evaluation: plain text as one document, rows concatenated.
pub(super) fn tokenize_for_eval(path: &Path, tokenizer: &Tokenizer, chat: &ChatFormat, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Vec<u32>> {
    let files = expand(&[path.to_path_buf()])?;
    if let ([file], true) = (&files[..], files.iter().all(|path| format_of(path) == TextFormat::Text)) {
        return Ok(tokenizer.encode_document(&crate::data::read_text(file)?)?);
    }
    let config = TrainConfig { data: files, ..TrainConfig::default() };
    let (text, _) = TextReader::new(chat).with(&config, tokenizer, |options| texts(&config, options, stop, emit))?;
    let mut ids = tokenizer.encode_document("")?;
    text.read(0..text.info().tokens, &mut ids)?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_templates_and_tokens_give_another_id() {
        let id = |format: &ChatFormat| TextReader::new(format).id;
        let usual = [("bos_token", "<s>"), ("eos_token", "</s>")];
        let one = ChatFormat::new("x", &usual);
        let before = ["x", "<s>", "</s>"].iter().fold(RENDERER_VERSION, |sum, part| checksum(sum, part.as_bytes()));
        assert_eq!(id(&one), before, "ids of earlier versions are found again");
        let named = |names: &[(&str, &str)]| {
            let named = names.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
            ChatFormat { template: Some(Templates::Named(named)), ..one.clone() }
        };
        let formats = [
            one.clone(),
            ChatFormat::new("x", &[usual[0], usual[1], ("pad_token", "<p>")]),
            ChatFormat::new("x", &[usual[0], usual[1], ("unk_token", "<p>")]),
            named(&[("default", "x"), ("tool_use", "y")]),
            named(&[("default", "x"), ("tool_use", "z")]),
            named(&[("default", "x"), ("rag", "y")]),
            ChatFormat::default(),
        ];
        let ids: std::collections::HashSet<u64> = formats.iter().map(id).collect();
        assert_eq!(ids.len(), formats.len());
    }
}
