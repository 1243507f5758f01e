//! What the JSON files of a Hugging Face directory say besides the model's shape: the file of weights in `config.json`,
//! the template in `tokenizer_config.json`.

use super::chat_format::{ChatFormat, Templates};
use crate::formats::json;
use serde_json::Value;

/// The file of weights that a `config.json` names, if it names one.
pub(super) fn weights(bytes: &[u8]) -> Option<String> {
    json::value(bytes).ok()?["transformers_weights"].as_str().map(str::to_string)
}

/// The chat templates of a `tokenizer_config.json`, and the tokens that begin and end a document.
pub(super) fn chat_format(bytes: &[u8]) -> Result<ChatFormat, String> {
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
