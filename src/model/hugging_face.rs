//! What the JSON files of a Hugging Face directory say: the model's shape in `config.json`, its template in
//! `tokenizer_config.json`. What Signet would compute wrongly is refused by name.

use super::config::{ConfigError, LlamaConfig};
use super::open::ChatFormat;
use crate::formats::json;
use serde_json::Value;

impl LlamaConfig {
    /// The shape in a `config.json`, as transformers writes it in any of its versions, or as Signet does.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut json = json::value(bytes).map_err(|error| ConfigError(error.to_string()))?;
        refuse_others(&json)?;
        let scaling = rope_scaling(&json)?;
        // Newer files of transformers keep θ there.
        let theta = json["rope_parameters"]["rope_theta"].clone();
        let Some(fields) = json.as_object_mut() else { return Err(ConfigError("it is no JSON object".into())) };
        if !theta.is_null() {
            fields.entry("rope_theta").or_insert(theta);
        }
        fields.insert("rope_scaling".into(), scaling);
        let config: LlamaConfig = serde_json::from_value(json).map_err(|error| ConfigError(error.to_string()))?;
        config.check()?;
        Ok(config)
    }
}

/// Refuses a `config.json` that asks for what Signet does not compute.
fn refuse_others(json: &Value) -> Result<(), ConfigError> {
    let off = |value: &Value| value.is_null() || *value == Value::Bool(false);
    let whole = |value: &Value| value.is_null() || value.as_f64() == Some(1.0);
    let fields = [
        ("model_type", json["model_type"].is_null() || json["model_type"] == "llama"),
        ("hidden_act", json["hidden_act"].is_null() || json["hidden_act"] == "silu" || json["hidden_act"] == "swish"),
        ("attention_bias", off(&json["attention_bias"])),
        ("mlp_bias", off(&json["mlp_bias"])),
        ("sliding_window", json["sliding_window"].is_null() || json["use_sliding_window"] == false),
        ("partial_rotary_factor", whole(&json["partial_rotary_factor"]) && whole(&json["rope_parameters"]["partial_rotary_factor"])),
        ("quantization_config", json["quantization_config"].is_null()),
    ];
    match fields.iter().find(|(_, fine)| !fine) {
        Some((field, _)) => Err(ConfigError(format!("{field} is {}: Signet computes LLaMA without it", json[*field]))),
        None => Ok(()),
    }
}

/// The scaling of RoPE in the form that [`LlamaConfig`] keeps, from `rope_scaling` (files until 2025) or
/// `rope_parameters`; null if there is none.
fn rope_scaling(json: &Value) -> Result<Value, ConfigError> {
    let mut found = Value::Null;
    for field in ["rope_scaling", "rope_parameters"] {
        let given = &json[field];
        // The oldest files call it `type`.
        let kind = if given["rope_type"].is_null() { &given["type"] } else { &given["rope_type"] };
        let plain = given.as_object().is_none_or(|fields| fields.is_empty() || (fields.len() == 1 && fields.contains_key("rope_theta")));
        let keys: &[&str] = match kind.as_str() {
            Some("default") => continue,
            None if plain && (given.is_null() || given.is_object() || *given == false) => continue,
            Some("linear") => &["factor"],
            Some("llama3") => &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
            _ => return Err(ConfigError(format!("{field} is {given}: of the ways to scale RoPE, Signet computes \"linear\" and \"llama3\""))),
        };
        let mut scaling = serde_json::json!({ "rope_type": kind });
        for key in keys {
            if !given[*key].is_number() {
                return Err(ConfigError(format!("{field}: {key} is {}; it must be a number", given[*key])));
            }
            scaling[*key] = given[*key].clone();
        }
        if !found.is_null() && found != scaling {
            return Err(ConfigError("rope_scaling and rope_parameters say different things; remove one of them".into()));
        }
        found = scaling;
    }
    Ok(found)
}

/// The file of weights that a `config.json` names, if it names one.
pub(super) fn weights(bytes: &[u8]) -> Option<String> {
    json::value(bytes).ok()?["transformers_weights"].as_str().map(str::to_string)
}

/// Template and special tokens of a `tokenizer_config.json`.
pub(super) fn chat_format(bytes: &[u8]) -> Result<ChatFormat, String> {
    let json = json::value(bytes).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().or_else(|| value["content"].as_str()).map(str::to_string);
    // One template, or a list of named ones.
    let template = match &json["chat_template"] {
        Value::Array(list) => list.iter().find(|entry| entry["name"] == "default").and_then(|entry| text(&entry["template"])),
        value => text(value),
    };
    Ok(ChatFormat { template, bos_token: text(&json["bos_token"]), eos_token: text(&json["eos_token"]) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RopeScaling;

    fn parsed(rest: &str) -> Result<LlamaConfig, ConfigError> {
        let shape = r#"{"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"vocab_size":50"#;
        LlamaConfig::from_json(format!("{shape}{rest}}}").as_bytes())
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused_by_name() {
        let bad = [
            (r#","hidden_act":"gelu""#, "hidden_act"),
            (r#","model_type":"mamba""#, "model_type"),
            (r#","rope_scaling":{"rope_type":"llama3"}"#, "rope_scaling: factor"),
            (r#","rope_scaling":{"type":"dynamic","factor":2.0}"#, "dynamic"),
            (r#","rope_scaling":{"rope_type":"yarn","factor":2.0}"#, "yarn"),
            (r#","rope_scaling":{"factor":2.0}"#, "rope_scaling"),
            (r#","rope_scaling":2.0"#, "rope_scaling"),
            (r#","rope_scaling":{"type":"linear","factor":0.5}"#, "factor is 0.5"),
            (r#","rope_parameters":{"full_attention":{"rope_type":"default"}}"#, "rope_parameters"),
            (r#","rope_parameters":{"rope_type":"linear","factor":2.0},"rope_scaling":{"type":"linear","factor":4.0}"#, "different things"),
            (r#","rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}"#, "partial_rotary_factor"),
            (r#","partial_rotary_factor":0.25"#, "partial_rotary_factor"),
            (r#","attention_bias":true"#, "attention_bias"),
            (r#","mlp_bias":true"#, "mlp_bias"),
            (r#","sliding_window":4096"#, "sliding_window"),
            (r#","quantization_config":{"bits":4}"#, "quantization_config"),
            (r#","hidden_size":"#, "expected value"),
        ];
        for (rest, field) in bad {
            let error = parsed(rest).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        assert!(LlamaConfig::from_json(b"[64, 96]").unwrap_err().to_string().contains("no JSON object"));
    }

    #[test]
    fn rope_is_found_in_every_form() {
        let llama3 = r#""factor":8.0,"low_freq_factor":1,"high_freq_factor":4.0,"original_max_position_embeddings":8192"#;
        let old = parsed(&format!(r#","rope_theta":5e5,"rope_scaling":{{"rope_type":"llama3",{llama3}}}"#)).unwrap();
        let new = parsed(&format!(r#","rope_parameters":{{"rope_theta":5e5,"rope_type":"llama3",{llama3}}}"#)).unwrap();
        assert_eq!(old, new);
        let scaling = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        assert_eq!((old.rope_theta, &old.rope_scaling), (5e5, &Some(scaling)));
        assert_eq!(LlamaConfig::from_json(&serde_json::to_vec(&old).unwrap()).unwrap(), old, "what Signet writes itself");
        assert_eq!(parsed(r#","rope_scaling":{"type":"linear","factor":4.0}"#).unwrap().rope_scaling, Some(RopeScaling::Linear { factor: 4.0 }));
        for none in
            ["", r#","rope_scaling":null"#, r#","rope_scaling":false"#, r#","rope_parameters":{"rope_theta":1e4,"rope_type":"default"},"sliding_window":null"#]
        {
            let config = parsed(none).unwrap();
            assert_eq!((config.rope_theta, config.rope_scaling), (1e4, None), "{none}");
        }
        assert_eq!(parsed(r#","rope_parameters":{"rope_theta":5000.0}"#).unwrap().rope_theta, 5000.0);
    }

    #[test]
    fn templates_are_found_in_either_form() {
        let one = chat_format(br#"{"chat_template":"x","bos_token":"<s>","eos_token":{"content":"</s>"}}"#).unwrap();
        assert_eq!(one, ChatFormat { template: Some("x".into()), bos_token: Some("<s>".into()), eos_token: Some("</s>".into()) });
        let many = chat_format(br#"{"chat_template":[{"name":"tool","template":"t"},{"name":"default","template":"d"}]}"#).unwrap();
        assert_eq!(many.template.as_deref(), Some("d"));
        assert_eq!(chat_format(b"{}").unwrap(), ChatFormat::default());
        assert!(chat_format(b"[").is_err());
    }
}
