//! The tokenizer files of a Hugging Face directory: tokenizer, added and special tokens, end tokens, and chat templates.

use crate::data::{CompanionFiles, EndTokens, JsonFields, Tokenizer};
use crate::formats::{FileSums, FormatError, json, json_file, template_file};
use crate::model::chat_format::{ChatFormat, Templates};
use crate::model::model_error::ModelError;
use crate::platform;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The file of the tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// The file with the end tokens of generation. Checkpoints have it since their documents end with the model's eos token.
const GENERATION: &str = "generation_config.json";

/// The folder of additional chat templates, one file each.
pub const TEMPLATES: &str = "additional_chat_templates";

/// The tokenizer and chat format of a directory.
#[derive(Default)]
pub(super) struct TokenizerFiles {
    pub(super) tokenizer: Option<Tokenizer>,
    pub(super) chat: ChatFormat,
}

impl TokenizerFiles {
    /// Reads the files that exist in the directory at `path` and verifies them with `sums`; `config` is its `config.json`.
    pub(super) fn read(path: &Path, config: &[u8], sums: &FileSums) -> Result<Self, ModelError> {
        let files = VerifiedFiles { path, sums };
        let chat = files.read("tokenizer_config.json", chat_format)?;
        let declares_end = chat.is_some();
        let mut chat = chat.unwrap_or_default();
        chat.template = template_files(path)?.or(chat.template);
        let fields = |name: &str| Ok::<_, FormatError>(files.read(name, JsonFields::parse)?.unwrap_or_default());
        let value = |bytes: &[u8]| json::value(bytes).map_err(|error| error.to_string());
        let config = value(config).map_err(|problem| FormatError::new(&path.join("config.json"), problem))?;
        let companions = CompanionFiles {
            config: fields("tokenizer_config.json")?,
            special_tokens_map: fields("special_tokens_map.json")?,
            added_tokens: fields("added_tokens.json")?,
            class: config["tokenizer_class"].as_str().map(str::to_string),
            model_type: config["model_type"].as_str().map(str::to_string),
        };
        let read = |bytes: &[u8]| Tokenizer::with_files(bytes, &companions).map_err(|error| error.to_string());
        let Some((tokenizer, named)) = files.read(TOKENIZER, read)? else { return Ok(Self { tokenizer: None, chat }) };
        let generation = files.read(GENERATION, value)?;
        let replies = end_ids(generation.as_ref().unwrap_or(&config));
        let eos = named.iter().find(|(name, _)| name == "eos_token").and_then(|(_, text)| tokenizer.id(text));
        let declares_end = declares_end || generation.is_some() || eos.is_some() || config.get("eos_token_id").is_some();
        let tokenizer = tokenizer.with_ends(declares_end.then(|| EndTokens::new(eos, replies)));
        let chat = ChatFormat { special_tokens: named.into_iter().collect(), ..chat };
        Ok(Self { tokenizer: Some(tokenizer), chat })
    }
}

/// Opens a tokenizer and its chat format, from a directory or a file. For a file called `tokenizer.json`, the other files
/// of its directory are read, too.
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

/// The tokenizer of a checkpoint, with which the run's text was encoded, if the checkpoint has one.
pub fn checkpoint_tokenizer(path: &Path) -> Result<Option<Tokenizer>, ModelError> {
    let TokenizerFiles { tokenizer, chat } = TokenizerFiles::read(path, b"{}", &FileSums::of_directory(path)?.unwrap_or_default())?;
    let new = platform::is_file(&path.join(GENERATION));
    Ok(tokenizer.map(|tokenizer| if new { tokenizer } else { tokenizer.with_legacy_ends(chat.eos_token()) }))
}

/// Reads chat templates in separate files, which replace those in `tokenizer_config.json`.
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

/// The end tokens of generation: `eos_token_id` of a `generation_config.json`, or of a `config.json` without that file.
fn end_ids(config: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match &config["eos_token_id"] {
        Value::Array(ids) => ids.iter().filter_map(id).collect(),
        value => id(value).into_iter().collect(),
    }
}

/// The files of a directory and their checksums.
struct VerifiedFiles<'a> {
    path: &'a Path,
    sums: &'a FileSums,
}

impl VerifiedFiles<'_> {
    /// Parses a JSON file if it exists. A missing file with a checksum is an error.
    fn read<T>(&self, name: &str, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<Option<T>, FormatError> {
        let limit = if name == TOKENIZER { platform::TOKENIZER_LIMIT } else { platform::SETTINGS_LIMIT };
        let path = self.path.join(name);
        let Some(bytes) = json_file(&path, limit)? else {
            let missing =
                || FormatError::new(&path, "is missing, but state.json has its checksum. Restore the file, or use a copy of the directory without state.json");
            return if self.sums.0.contains_key(name) { Err(missing()) } else { Ok(None) };
        };
        self.sums.verify(name, &bytes).and_then(|()| parse(&bytes)).map(Some).map_err(|problem| FormatError::new(&path, problem))
    }
}

/// Parses the chat templates and the bos and eos tokens of a `tokenizer_config.json`.
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
    fn parses_templates_with_bos_and_eos_tokens() {
        let one = chat_format(br#"{"chat_template":"x","bos_token":"<s>","eos_token":{"content":"</s>"}}"#).unwrap();
        assert_eq!(one, ChatFormat::new("x", &[("bos_token", "<s>"), ("eos_token", "</s>")]));
        let many = chat_format(br#"{"chat_template":[{"name":"tool","template":"t"},{"name":"default","template":"d"}]}"#).unwrap();
        assert_eq!(many.template.as_ref().and_then(Templates::plain), Some("d"));
        assert_eq!(chat_format(b"{}").unwrap(), ChatFormat::default());
        assert!(chat_format(b"[").is_err());
    }
}
