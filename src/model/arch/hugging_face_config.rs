//! `config.json` of an architecture: the fields that all architectures share and those of each. Values that Signet does
//! not support are errors.

use super::{ALL, Architecture, titles};
use crate::formats::json;
use crate::model::config::{ConfigError, ModelConfig};
use serde_json::Value;

impl ModelConfig {
    /// Parses a `config.json` of any version of transformers, or of Signet.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut json = json::value(bytes).map_err(|error| ConfigError(error.to_string()))?;
        let architecture = Architecture::of_json(&json)?;
        architecture.check_json_supported(&json)?;
        let has_type = json["model_type"].is_string();
        let (theta, scaling) = rope(&json)?;
        let Some(fields) = json.as_object_mut() else { return Err(ConfigError("it is not a JSON object".into())) };
        for (name, size) in architecture.defaults.iter().filter(|_| has_type) {
            fields.entry(*name).or_insert_with(|| (*size).into());
        }
        fields.insert("model_type".into(), architecture.model_type.into());
        fields.insert("rope_theta".into(), theta);
        fields.insert("rope_scaling".into(), scaling);
        let config: ModelConfig = serde_json::from_value(json).map_err(|error| ConfigError(error.to_string()))?;
        config.check()?;
        Ok(config)
    }
}

impl Architecture {
    /// The architecture of a `config.json`, from `model_type`, or else from the class in `architectures`. The default is the
    /// first in the list, since Signet's own files omit both.
    fn of_json(json: &Value) -> Result<&'static Self, ConfigError> {
        let named = &json["model_type"];
        if named.is_null() {
            let class = &json["architectures"][0];
            return Ok(ALL.into_iter().find(|architecture| *class == architecture.class).unwrap_or(ALL[0]));
        }
        let known = ALL.into_iter().find(|architecture| *named == architecture.model_type);
        known.ok_or_else(|| ConfigError(format!("model_type {named} is not supported. Supported: {}", titles())))
    }

    /// Checks that a `config.json` declares nothing unsupported.
    fn check_json_supported(&self, json: &Value) -> Result<(), ConfigError> {
        match self.fields.iter().find(|(_, allows)| !allows(json)) {
            Some((field, _)) => Err(ConfigError(format!("{field} is {}, which is not supported: Signet computes {} without it", json[*field], self.title))),
            None => Ok(()),
        }
    }

    /// Fields that transformers expects in a `config.json` in addition to the shape.
    pub(in crate::model) fn fields_for_transformers(&self) -> Value {
        let mut fields = (self.extra_fields)();
        fields["architectures"] = vec![self.class].into();
        fields["model_type"] = self.model_type.into();
        fields
    }
}

/// Returns true for a switch that is off.
pub(super) fn is_off(value: &Value) -> bool {
    value.is_null() || *value == Value::Bool(false)
}

/// Returns true if sliding-window attention is off, or the window is not smaller than the context.
pub(super) fn no_window(json: &Value) -> bool {
    let whole = json["sliding_window"].as_u64().zip(json["max_position_embeddings"].as_u64()).is_some_and(|(window, context)| window >= context);
    json["sliding_window"].is_null() || json["use_sliding_window"] == false || whole
}

/// θ and RoPE scaling (or null) in the form of [`ModelConfig`]. As in transformers 5, `rope_scaling` takes precedence
/// over `rope_parameters`, and a θ inside it over one at the top level.
fn rope(json: &Value) -> Result<(Value, Value), ConfigError> {
    let (field, given) = match &json["rope_scaling"] {
        Value::Null | Value::Bool(false) => ("rope_parameters", &json["rope_parameters"]),
        Value::Object(fields) if fields.is_empty() => ("rope_parameters", &json["rope_parameters"]),
        scaling => ("rope_scaling", scaling),
    };
    let refuse = |problem: String| Err(ConfigError(format!("{field}{problem}")));
    let nothing = serde_json::Map::new();
    let fields = match given {
        Value::Null | Value::Bool(false) => &nothing,
        Value::Object(fields) => fields,
        other => return refuse(format!(" is {other}; it must be a JSON object")),
    };
    if let Some((name, _)) = fields.iter().find(|(_, value)| value.is_object()) {
        return refuse(format!(": {name} is an object; only one RoPE for all layers is supported"));
    }
    let theta = fields.get("rope_theta").or(json.get("rope_theta")).cloned().unwrap_or_else(|| 10_000.0.into());
    if !theta.is_number() {
        return Err(ConfigError(format!("rope_theta is {theta}; it must be a number")));
    }
    // The key in the oldest files is `type`.
    let kind = fields.get("rope_type").or(fields.get("type")).cloned().unwrap_or_else(|| "default".into());
    let numbers: &[&str] = match kind.as_str() {
        Some("default") => return Ok((theta, Value::Null)),
        Some("linear") => &["factor"],
        Some("llama3") => &["factor", "low_freq_factor", "high_freq_factor"],
        Some("longrope") => &[],
        _ => return refuse(format!(" is {given}; supported types of RoPE scaling are \"linear\" and \"llama3\"")),
    };
    // LLaMA's default RoPE, handled above, rotates whole heads and ignores partial_rotary_factor.
    let share = fields.get("partial_rotary_factor").or(json.get("partial_rotary_factor"));
    if share.is_some_and(|share| !share.is_null() && share.as_f64() != Some(1.0)) {
        return refuse(format!(": partial_rotary_factor is {}; with rope_type {kind}, only 1 is supported", share.unwrap_or(&Value::Null)));
    }
    let mut scaling = serde_json::json!({ "rope_type": kind });
    for key in numbers {
        match fields.get(*key) {
            Some(Value::Number(number)) => scaling[*key] = number.clone().into(),
            other => return refuse(format!(": {key} is {}; it must be a number", other.unwrap_or(&Value::Null))),
        }
    }
    match kind.as_str() {
        Some("llama3") => {
            let original = [json.get(ORIGINAL), fields.get(ORIGINAL), json.get("max_position_embeddings")].into_iter().flatten().next();
            let tokens = original.and_then(whole).ok_or_else(|| ConfigError(format!("{field}: {ORIGINAL} must be a whole number")))?;
            scaling[ORIGINAL] = tokens.into();
        }
        Some("longrope") => {
            for key in ["short_factor", "long_factor", "attention_factor"] {
                scaling[key] = fields.get(key).cloned().unwrap_or_default();
            }
        }
        _ => {}
    }
    Ok((theta, scaling))
}

/// The context length of pre-training; the value outside of RoPE's settings takes precedence.
const ORIGINAL: &str = "original_max_position_embeddings";

/// An integer, possibly written as a float.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0).map(|number| number as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Factors, RopeScaling};

    fn parsed(rest: &str) -> Result<ModelConfig, ConfigError> {
        let shape = r#"{"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"vocab_size":50"#;
        ModelConfig::from_json(format!("{shape}{rest}}}").as_bytes())
    }

    #[test]
    fn unsupported_values_are_errors_that_name_the_field() {
        let bad = [
            (r#","hidden_act":"gelu""#, "hidden_act"),
            (r#","model_type":"mamba""#, "model_type"),
            (r#","rope_scaling":{"rope_type":"llama3"}"#, "rope_scaling: factor"),
            (r#","rope_scaling":{"type":"dynamic","factor":2.0}"#, "dynamic"),
            (r#","rope_scaling":{"rope_type":"yarn","factor":2.0}"#, "yarn"),
            (r#","rope_scaling":2.0"#, "rope_scaling"),
            (r#","rope_scaling":{"type":"linear","factor":0.0}"#, "factor is 0"),
            (r#","rope_scaling":{"type":"linear","factor":"2"}"#, "rope_scaling: factor is \"2\""),
            (r#","rope_scaling":{"type":"linear","factor":2.0,"partial_rotary_factor":0.5}"#, "partial_rotary_factor"),
            (r#","rope_scaling":{"rope_type":null,"factor":2.0}"#, "rope_scaling"),
            (r#","rope_theta":"10000""#, "rope_theta"),
            (r#","rope_theta":1e4,"rope_parameters":{"rope_theta":null}"#, "rope_theta"),
            (
                r#","rope_parameters":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64.5}"#,
                "original_max",
            ),
            (r#","rope_scaling":{"rope_type":"longrope","short_factor":[1.0],"long_factor":[2.0],"attention_factor":1.0}"#, "longrope"),
            (r#","rope_scaling":{"rope_type":"longrope","short_factor":[1.0],"long_factor":[1.0]}"#, "longrope"),
            (r#","rope_parameters":{"full_attention":{"rope_type":"default"}}"#, "rope_parameters"),
            (r#","partial_rotary_factor":0.25,"rope_scaling":{"type":"linear","factor":2.0}"#, "partial_rotary_factor"),
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
        assert!(ModelConfig::from_json(b"[64, 96]").unwrap_err().to_string().contains("not a JSON object"));
    }

    #[test]
    fn missing_fields_have_the_defaults_of_transformers() {
        let read = |text: &str| ModelConfig::from_json(text.as_bytes());
        let config = read(r#"{"model_type": "llama"}"#).unwrap();
        assert_eq!(
            config,
            ModelConfig { num_key_value_heads: None, max_position_embeddings: 2048, rms_norm_eps: 1e-6, ..ModelConfig::teacher("LLaMA2-7B").unwrap() }
        );
        let some = read(r#"{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 50}"#).unwrap();
        assert_eq!((some.hidden_size, some.vocab_size, some.intermediate_size, some.num_hidden_layers), (64, 50, 11_008, 32));
        for (text, problem) in [
            (r#"{"hidden_size": 64}"#, "missing field"),
            (r#"{"model_type": "llama", "vocab_size": null}"#, "invalid type: null"),
            (r#"{"model_type": "llama", "num_attention_heads": 24}"#, "hidden_size 4096 is not a multiple"),
        ] {
            let refused = read(text).unwrap_err().to_string();
            assert!(refused.contains(problem), "{refused}");
        }
    }

    #[test]
    fn parses_every_form_of_rope_settings() {
        let llama3 = r#""factor":8.0,"low_freq_factor":1,"high_freq_factor":4.0,"original_max_position_embeddings":8192"#;
        let old = parsed(&format!(r#","rope_theta":5e5,"rope_scaling":{{"rope_type":"llama3",{llama3}}}"#)).unwrap();
        let new = parsed(&format!(r#","rope_parameters":{{"rope_theta":5e5,"rope_type":"llama3",{llama3}}}"#)).unwrap();
        assert_eq!(old, new);
        let scaling = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        assert_eq!((old.rope_theta, &old.rope_scaling), (5e5, &Some(scaling)));
        assert_eq!(ModelConfig::from_json(&serde_json::to_vec(&old).unwrap()).unwrap(), old, "what Signet writes itself");
        assert_eq!(parsed(r#","rope_scaling":{"type":"linear","factor":4.0}"#).unwrap().rope_scaling, Some(RopeScaling::Linear { factor: 4.0 }));
        for none in [
            "",
            r#","rope_scaling":null"#,
            r#","rope_scaling":false"#,
            r#","rope_scaling":{"factor":2.0}"#,
            r#","rope_parameters":{"rope_theta":1e4,"rope_type":"default"},"sliding_window":null"#,
            r#","sliding_window":4096,"max_position_embeddings":4096"#,
            // LLaMA's RoPE rotates whole heads in transformers, too.
            r#","partial_rotary_factor":0.25"#,
            r#","partial_rotary_factor":0.25,"rope_parameters":{"rope_type":"default"}"#,
            r#","rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}"#,
        ] {
            let config = parsed(none).unwrap();
            assert_eq!((config.rope_theta, config.rope_scaling), (1e4, None), "{none}");
        }
        assert_eq!(parsed(r#","rope_parameters":{"rope_theta":5000.0}"#).unwrap().rope_theta, 5000.0);
    }

    #[test]
    fn precedence_of_duplicate_settings_is_that_of_transformers() {
        let linear = |factor| Some(RopeScaling::Linear { factor });
        for (rest, theta, scaling) in [
            (r#","rope_theta":1e4,"rope_parameters":{"rope_theta":500000,"rope_type":"default"}"#, 5e5, None),
            (r#","rope_theta":1e6,"rope_parameters":{"rope_type":"linear","factor":2}"#, 1e6, linear(2.0)),
            // The older name takes precedence, including θ.
            (
                r#","rope_theta":3e4,"rope_parameters":{"rope_theta":5e5,"rope_type":"linear","factor":2.0},"rope_scaling":{"type":"linear","factor":4.0}"#,
                3e4,
                linear(4.0),
            ),
            (r#","rope_parameters":{"rope_theta":5e5},"rope_scaling":{"rope_theta":2e5,"rope_type":"default","factor":4.0}"#, 2e5, None),
            (r#","rope_parameters":{"rope_theta":5e5},"rope_scaling":{}"#, 5e5, None),
            (r#","rope_scaling":{"rope_type":"linear","type":"dynamic","factor":0.5}"#, 1e4, linear(0.5)),
        ] {
            let config = parsed(rest).unwrap();
            assert_eq!((config.rope_theta, config.rope_scaling), (theta, scaling), "{rest}");
        }
        let llama3 = r#","max_position_embeddings":4096,"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4"#;
        for (rest, tokens) in [
            (r#"}"#, 4096),
            (r#","original_max_position_embeddings":64.0}"#, 64),
            (r#","original_max_position_embeddings":64},"original_max_position_embeddings":128"#, 128),
        ] {
            let Some(RopeScaling::Llama3 { original_max_position_embeddings, .. }) = parsed(&format!("{llama3}{rest}")).unwrap().rope_scaling else { panic!() };
            assert_eq!(original_max_position_embeddings, tokens, "{rest}");
        }
    }

    #[test]
    fn factors_survive_a_round_trip() {
        let factors: Vec<f64> = (1..9).map(f64::from).collect();
        let config = ModelConfig { rope_scaling: Some(RopeScaling::Factors(Factors(factors.clone()))), ..parsed("").unwrap() };
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains(r#""rope_type":"longrope","short_factor":[1.0,2.0"#) && json.contains(r#""attention_factor":1.0"#), "{json}");
        assert_eq!(ModelConfig::from_json(json.as_bytes()).unwrap(), config);
        let plain = parsed("").unwrap().rope_frequencies();
        let ratios: Vec<f64> = plain.iter().zip(config.rope_frequencies()).map(|(plain, scaled)| plain / scaled).collect();
        assert_eq!(ratios, factors);
    }
}
