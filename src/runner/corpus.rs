//! The text of a run, from its files to a corpus.

use super::{Event, Stop};
use crate::assets;
use crate::data::{Chat, Conversation, Corpus, Format, Progress, Split, Store, Tokenizer, Tokenizing, Watch, expand, format_of, gather};
use crate::formats::checksum;
use crate::infer::{Message, Template, TemplateVariables};
use crate::jinja::Json;
use crate::model::{ChatFormat, Templates};
use crate::platform;
use crate::train::{SettingError, TrainConfig};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A number for the rules by which templates are rendered; another one where they change.
const RULES: u64 = 2;

/// Where tokenized texts are kept.
pub(super) fn cache() -> Option<PathBuf> {
    Some(platform::cache_dir()?.join("tokens"))
}

/// How texts are read, with a model's own template for conversations.
pub(super) struct Reading {
    template: Result<Template, String>,
    id: u64,
}

impl Reading {
    /// With the template of a model, or the default one if it has none.
    pub(super) fn new(format: &ChatFormat) -> Self {
        let (one, named) = match &format.template {
            Some(Templates::One(template)) => (Some(template.as_str()), None),
            Some(Templates::Named(named)) => (None, Some(named)),
            None => (None, None),
        };
        // Ids of a model's own template are made again where it was rendered by other rules.
        let rules = format.template.as_ref().map_or(0, |_| RULES);
        // Of a single template and these two tokens it is the id of earlier versions.
        let usual = ["bos_token", "eos_token"];
        let parts = [one].into_iter().chain(usual.map(|name| format.special_token(name)));
        let id = parts.fold(rules, |sum, part| checksum(sum, part.unwrap_or("\0").as_bytes()));
        let others = format.special_tokens.iter().filter(|(name, _)| !usual.contains(&name.as_str()));
        let id = named.into_iter().flatten().chain(others).fold(id, |sum, (name, text)| checksum(checksum(sum, name.as_bytes()), text.as_bytes()));
        Self { template: Template::new(format).map_err(|error| error.to_string()), id }
    }

    fn render(&self, conversation: Conversation) -> Result<String, String> {
        let template = self.template.as_ref().map_err(String::clone)?;
        let Conversation { messages, tools, documents, variables } = conversation;
        let read = |(n, message): (usize, Json)| Message::from_json(message).map_err(|error| format!("message {}: {error}", n + 1));
        let messages = messages.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let given = TemplateVariables::new(tools, documents, variables)?;
        template.render_with(&messages, &given, false).map_err(|error| error.to_string())
    }

    /// Calls `with` with how a run's text is tokenized.
    pub(super) fn with<T>(&self, config: &TrainConfig, tokenizer: &Tokenizer, with: impl FnOnce(&Tokenizing<'_>) -> T) -> T {
        let render = |conversation| self.render(conversation);
        let cache = cache();
        with(&Tokenizing { tokenizer, field: &config.field, chat: Chat { id: self.id, render: &render }, cache: cache.as_deref() })
    }
}

/// A run's settings with the files that their patterns name now, so that the run goes on with them.
pub(super) fn named(config: TrainConfig) -> Result<TrainConfig> {
    let data = expand(&config.data).map_err(|error| refused("data", error))?;
    Ok(TrainConfig { data, ..config })
}

/// Refuses standard input as the text of a run, which reads its text again when it resumes.
pub(super) fn lasting(config: TrainConfig) -> Result<TrainConfig> {
    for (name, mut paths) in [("data", config.data.iter()), ("held_out", config.held_out.as_slice().iter())] {
        if paths.any(|path| path.as_os_str() == "-") {
            return Err(refused(name, "- is standard input, and a run reads its text again when it resumes. Write the text to a file first"));
        }
    }
    Ok(config)
}

/// The refusal of a setting.
pub(super) fn refused(name: &'static str, error: impl std::fmt::Display) -> anyhow::Error {
    SettingError { name, problem: error.to_string() }.into()
}

/// A run's text, and where a share of it is not held out, what is held out in its place.
pub(super) fn texts(config: &TrainConfig, how: &Tokenizing<'_>, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<(Store, Option<Store>)> {
    let mut progress = |progress| emit(told(progress));
    let stop = || stop.asked();
    let mut watch = Watch { stop: &stop, progress: &mut progress };
    let mut open = |name, paths: &[PathBuf]| {
        let files = expand(paths).map_err(|error| refused(name, error))?;
        Store::open(&files, how, &mut watch).map_err(|error| refused(name, error))
    };
    let text = match config.data.is_empty() {
        true => Store::embedded(assets::corpus()?, how)?,
        false => open("data", &config.data)?,
    };
    let held_out = config.held_out.as_ref().map(|path| open("held_out", std::slice::from_ref(path))).transpose()?;
    Ok((text, held_out))
}

/// How far reading is, in MB.
fn told(progress: Progress) -> Event {
    let Progress { tokenizing, done, of, rate } = progress;
    let left = of.saturating_sub(done) as f64 / rate.max(1.0);
    let doing = if tokenizing { "tokenizing" } else { "reading" };
    let mega = |bytes: u64| bytes.div_ceil(1 << 20) as usize;
    Event::Progress { done: mega(done), of: mega(of), note: format!("{doing} text, {:.1} MB/s, {left:.0} s left", rate / 1e6) }
}

/// The parts of a run's text.
pub(super) fn split(config: &TrainConfig) -> Split {
    Split { share: config.held_out_share, shuffle: config.shuffle, seq: config.seq }
}

/// The corpus of a run.
pub(super) fn open(config: &TrainConfig, tokenizer: &Tokenizer, chat: &ChatFormat, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Corpus> {
    let (text, held_out) = Reading::new(chat).with(config, tokenizer, |how| texts(config, how, stop, emit))?;
    Corpus::new(text, held_out, split(config)).map_err(|error| refused("data", error))
}

/// The text of some files, conversations by the default template.
pub(super) fn plain(paths: &[PathBuf]) -> Result<String> {
    let reading = Reading::new(&ChatFormat::default());
    let chat = Chat { id: reading.id, render: &|conversation| reading.render(conversation) };
    Ok(gather(&expand(paths)?, &TrainConfig::default().field, chat)?)
}

/// The ids of a text to measure on: a plain text is encoded as a whole, and rows follow each other.
pub(super) fn measured(path: &Path, tokenizer: &Tokenizer, chat: &ChatFormat, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Vec<u32>> {
    let files = expand(&[path.to_path_buf()])?;
    if let ([file], true) = (&files[..], files.iter().all(|path| format_of(path) == Format::Text)) {
        return Ok(tokenizer.encode_document(&crate::data::whole(file)?)?);
    }
    let config = TrainConfig { data: files, ..TrainConfig::default() };
    let (text, _) = Reading::new(chat).with(&config, tokenizer, |how| texts(&config, how, stop, emit))?;
    let mut ids = tokenizer.encode_document("")?;
    text.read(0..text.about().tokens, &mut ids)?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_templates_and_tokens_are_another_way_of_reading() {
        let id = |format: &ChatFormat| Reading::new(format).id;
        let usual = [("bos_token", "<s>"), ("eos_token", "</s>")];
        let one = ChatFormat::new("x", &usual);
        let before = ["x", "<s>", "</s>"].iter().fold(RULES, |sum, part| checksum(sum, part.as_bytes()));
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
