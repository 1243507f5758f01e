//! Declarations in the JSON files of a Hugging Face directory: added and special tokens, end tokens, and the
//! chat template.

use crate::data::{Beside, Ends, Fields, Tokenizer};
use crate::formats::{FileSums, FormatError, json, json_file, template_file};
use crate::model::chat_format::{ChatFormat, Templates};
use crate::model::error::ModelError;
use crate::platform;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The file of a tokenizer beside which others declare its tokens.
pub const TOKENIZER: &str = "tokenizer.json";
/// Says at which tokens a generation ends; checkpoints have it since their documents end with the model's own eos token.
const GENERATION: &str = "generation_config.json";

/// The folder of chat templates besides the default one, each in a file of its name.
pub const TEMPLATES: &str = "additional_chat_templates";

/// The tokenizer of a directory, and how it writes conversations.
#[derive(Default)]
pub(super) struct TokenizerFiles {
    pub(super) tokenizer: Option<Tokenizer>,
    pub(super) chat: ChatFormat,
}

impl TokenizerFiles {
    /// Reads those files of the directory at `path` that are there and match `sums`; `config` is its `config.json`.
    pub(super) fn read(path: &Path, config: &[u8], sums: &FileSums) -> Result<Self, ModelError> {
        let files = Files { path, sums };
        let chat = files.read("tokenizer_config.json", chat_format)?;
        let declares_end = chat.is_some();
        let mut chat = chat.unwrap_or_default();
        chat.template = template_files(path)?.or(chat.template);
        let fields = |name: &str| Ok::<_, FormatError>(files.read(name, Fields::parse)?.unwrap_or_default());
        let value = |bytes: &[u8]| json::value(bytes).map_err(|error| error.to_string());
        let config = value(config).map_err(|problem| FormatError::new(&path.join("config.json"), problem))?;
        let beside = Beside {
            config: fields("tokenizer_config.json")?,
            special_tokens_map: fields("special_tokens_map.json")?,
            added_tokens: fields("added_tokens.json")?,
            class: config["tokenizer_class"].as_str().map(str::to_string),
            model_type: config["model_type"].as_str().map(str::to_string),
        };
        let read = |bytes: &[u8]| Tokenizer::with_beside(bytes, &beside).map_err(|error| error.to_string());
        let Some((tokenizer, named)) = files.read(TOKENIZER, read)? else { return Ok(Self { tokenizer: None, chat }) };
        let generation = files.read(GENERATION, value)?;
        let replies = end_ids(generation.as_ref().unwrap_or(&config));
        let eos = named.iter().find(|(name, _)| name == "eos_token").and_then(|(_, text)| tokenizer.id(text));
        let declares_end = declares_end || generation.is_some() || eos.is_some() || config.get("eos_token_id").is_some();
        let tokenizer = tokenizer.ended_by(declares_end.then(|| Ends::new(eos, replies)));
        let chat = ChatFormat { special_tokens: named.into_iter().collect(), ..chat };
        Ok(Self { tokenizer: Some(tokenizer), chat })
    }
}

/// Opens a tokenizer by the path of its directory or of its file, with how it writes conversations. The files beside a
/// `tokenizer.json` declare its tokens, as in a model directory; a file of another name has none.
pub fn open_tokenizer(path: &Path) -> Result<(Tokenizer, ChatFormat), ModelError> {
    let directory = match path.file_name() {
        _ if platform::is_dir(path) => path,
        Some(name) if name == TOKENIZER => path.parent().unwrap_or(path),
        _ => return Ok((Tokenizer::open(path)?, ChatFormat::default())),
    };
    let config = json_file(&directory.join("config.json"), platform::SETTINGS_LIMIT)?.unwrap_or_else(|| b"{}".to_vec());
    let TokenizerFiles { tokenizer, chat } = TokenizerFiles::read(directory, &config, &FileSums::of_directory(directory)?.unwrap_or_default())?;
    let tokenizer = tokenizer.ok_or_else(|| FormatError::unreadable(&directory.join(TOKENIZER), "there is no such file"))?;
    Ok((tokenizer, chat))
}

/// The tokenizer that a run's checkpoint holds, if it does: the run's text was encoded with it.
pub fn checkpoint_tokenizer(path: &Path) -> Result<Option<Tokenizer>, ModelError> {
    let TokenizerFiles { tokenizer, chat } = TokenizerFiles::read(path, b"{}", &FileSums::of_directory(path)?.unwrap_or_default())?;
    let new = platform::is_file(&path.join(GENERATION));
    Ok(tokenizer.map(|tokenizer| if new { tokenizer } else { tokenizer.ended_as_before(chat.eos_token()) }))
}

/// Chat templates in files of their own, which take the place of those in `tokenizer_config.json`.
fn template_files(path: &Path) -> Result<Option<Templates>, FormatError> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    named.extend(template_file(&path.join("chat_template.jinja"))?.map(|template| (Templates::DEFAULT.to_string(), template)));
    let folder = path.join(TEMPLATES);
    let files = if platform::is_dir(&folder) { platform::list(&folder).map_err(|error| FormatError::unreadable(&folder, error))? } else { Vec::new() };
    for (file, name) in files.iter().filter_map(|file| Some((file, file.strip_suffix(".jinja")?))) {
        named.extend(template_file(&folder.join(file))?.map(|template| (name.to_string(), template)));
        if named.values().map(|template| template.len() as u64).sum::<u64>() > platform::SETTINGS_LIMIT {
            return Err(FormatError::new(&folder, format!("its templates have more than {} bytes", platform::SETTINGS_LIMIT)));
        }
    }
    Ok(Templates::named(named))
}

/// The ids at which a generation ends: `eos_token_id` of a `generation_config.json`, or of a `config.json` where there is
/// no such file.
fn end_ids(config: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match &config["eos_token_id"] {
        Value::Array(ids) => ids.iter().filter_map(id).collect(),
        value => id(value).into_iter().collect(),
    }
}

/// The files of a directory, with their checksums.
struct Files<'a> {
    path: &'a Path,
    sums: &'a FileSums,
}

impl Files<'_> {
    /// Parses a file of JSON, if it is there; it must be if it has a checksum.
    fn read<T>(&self, name: &str, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<Option<T>, FormatError> {
        let limit = if name == TOKENIZER { platform::TOKENIZER_LIMIT } else { platform::SETTINGS_LIMIT };
        let path = self.path.join(name);
        let Some(bytes) = json_file(&path, limit)? else {
            let missing = || {
                FormatError::new(&path, "is missing, but state.json has its checksum. Put it back, or copy the directory without state.json and use the copy")
            };
            return if self.sums.0.contains_key(name) { Err(missing()) } else { Ok(None) };
        };
        self.sums.verify(name, &bytes).and_then(|()| parse(&bytes)).map(Some).map_err(|problem| FormatError::new(&path, problem))
    }
}

/// The chat templates of a `tokenizer_config.json`, and the tokens that begin and end a document.
fn chat_format(bytes: &[u8]) -> Result<ChatFormat, String> {
    let json = json::value(bytes).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().or_else(|| value["content"].as_str()).map(str::to_string);
    let tokens = ["bos_token", "eos_token"].into_iter().filter_map(|name| Some((name.to_string(), text(&json[name])?)));
    Ok(ChatFormat { template: Templates::from_json(&json["chat_template"]), special_tokens: tokens.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_found_with_the_tokens_around_a_document() {
        let one = chat_format(br#"{"chat_template":"x","bos_token":"<s>","eos_token":{"content":"</s>"}}"#).unwrap();
        assert_eq!(one, ChatFormat::new("x", &[("bos_token", "<s>"), ("eos_token", "</s>")]));
        let many = chat_format(br#"{"chat_template":[{"name":"tool","template":"t"},{"name":"default","template":"d"}]}"#).unwrap();
        assert_eq!(many.template.as_ref().and_then(Templates::plain), Some("d"));
        assert_eq!(chat_format(b"{}").unwrap(), ChatFormat::default());
        assert!(chat_format(b"[").is_err());
    }
}
