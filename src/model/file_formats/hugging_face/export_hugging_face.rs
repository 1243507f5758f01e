//! Export of Hugging Face directories: `config.json`, `model.safetensors`, tokenizer and chat template.

use crate::data::Tokenizer;
use crate::formats::FormatError;
use crate::formats::safetensors::{HeaderEntry, TensorWriter};
use crate::model::chat_format::ChatFormat;
use crate::model::file::ModelFile;
use crate::model::file_formats::{ExportProgress, check_not_existing};
use crate::model::floats::Floats;
use crate::model::model_error::{ModelError, write_error};
use crate::model::signs::no_latent;
use crate::model::tensors::{Role, WEIGHT};
use crate::model::weights::Linears;
use crate::platform::Commit;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Writes a plain LLaMA, with binarized layers as dense matrices. transformers computes the same logits, up to the
/// rounding to `floats`.
pub fn export_dense(source: &ModelFile, out: &Path, floats: Floats, progress: &mut ExportProgress<'_>) -> Result<u64, ModelError> {
    let weights = source.config.linears().into_iter().map(|(name, rows, cols)| (format!("{name}.weight"), floats.dtype(), vec![rows, cols]));
    let tensors: Vec<HeaderEntry> = weights.chain(others(source, floats)).collect();
    write(source, out, floats, &tensors, progress)
}

/// Writes the latent weights with α and β in the format of the published FBI-LLM checkpoints (`weight`, `wscale`,
/// `wbias`, all in f32), so that training can continue in PyTorch or in Signet.
pub fn export_latent(source: &ModelFile, out: &Path, progress: &mut ExportProgress<'_>) -> Result<u64, ModelError> {
    if source.packed() {
        return Err(no_latent(source.path()).into());
    }
    if source.linears == Linears::Dense {
        return Err(FormatError::new(source.path(), "is a full-precision model, which has no latent weights. Export it with --dense").into());
    }
    let floats = Floats::F32;
    let layer = |(name, rows, cols): (String, usize, usize)| {
        let part = |part: &str, rows: usize| (format!("{name}.{part}"), floats.dtype(), vec![rows, cols]);
        [part("weight", rows), part("wscale", 1), part("wbias", 1)]
    };
    let tensors: Vec<HeaderEntry> = source.config.linears().into_iter().flat_map(layer).chain(others(source, floats)).collect();
    write(source, out, floats, &tensors, progress)
}

/// Embedding, norms (as vectors) and head.
fn others(source: &ModelFile, floats: Floats) -> impl Iterator<Item = HeaderEntry> {
    source.config.plain().map(move |tensor| {
        let sides = tensor.sides();
        (tensor.name, floats.dtype(), sides)
    })
}

/// Writes a directory with these tensors, atomically. Returns the bytes of the tensors.
fn write(source: &ModelFile, out: &Path, floats: Floats, tensors: &[HeaderEntry], progress: &mut ExportProgress<'_>) -> Result<u64, ModelError> {
    check_not_existing(out)?;
    let files = [
        ("config.json", Some(pretty(&config(source, floats)))),
        ("generation_config.json", source.tokenizer.as_ref().map(|tokenizer| generation_config(tokenizer, &source.chat))),
        ("tokenizer.json", source.tokenizer.as_ref().map(|tokenizer| tokenizer.to_json()).transpose()?),
        ("tokenizer_config.json", source.tokenizer.as_ref().map(|tokenizer| tokenizer_config(tokenizer, &source.chat, source.config.max_position_embeddings))),
    ];
    let mut written = || {
        let mut commit = Commit::begin(out)?;
        for (name, text) in files.iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
            let mut part = commit.part(name)?;
            part.write_all(text.as_bytes())?;
            part.end()?;
        }
        let mut part = commit.part("model.safetensors")?;
        let bytes = stream(source, floats, tensors, &mut part, progress)?;
        part.end()?;
        commit.finish_new()?;
        Ok(bytes)
    };
    written().map_err(|error: io::Error| write_error(out, error))
}

/// Writes the tensors in order.
fn stream(source: &ModelFile, floats: Floats, tensors: &[HeaderEntry], out: &mut dyn Write, progress: &mut ExportProgress<'_>) -> io::Result<u64> {
    // transformers rejects files without the framework's name.
    let mut writer = TensorWriter::new(out, tensors, &BTreeMap::from([("format".into(), "pt".into())]))?;
    let mut total = 0;
    for (n, (name, _, shape)) in tensors.iter().enumerate() {
        let (rows, cols) = if let [rows, cols] = shape[..] { (rows, cols) } else { (1, shape[0]) };
        let plain = tensors.iter().all(|(name, ..)| !name.ends_with(".wscale"));
        let linear = matches!(source.config.role(name), Some(Role::Linear { .. }));
        let values = match name.strip_suffix(WEIGHT) {
            Some(layer) if plain && linear => source.dense_weight(layer, rows, cols),
            _ => source.floats(name, rows, cols),
        };
        let bytes = values.map_err(ModelError::from).and_then(|values| source.encode(floats, name, &values)).map_err(io::Error::other)?;
        writer.tensor(name, &bytes)?;
        total += bytes.len() as u64;
        if !progress(n + 1, tensors.len()) {
            return Err(io::Error::other("stopped; nothing was written"));
        }
    }
    writer.finish()?;
    Ok(total)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("plain data") + "\n"
}

/// The configuration with the fields that transformers expects.
fn config(source: &ModelFile, floats: Floats) -> Value {
    let mut config = serde_json::to_value(&source.config).expect("a configuration is plain data");
    let architecture = source.config.architecture().fields_for_transformers();
    let more = json!({ "num_key_value_heads": source.config.kv_heads(), "torch_dtype": floats.torch_name() });
    let tokens = special_ids(source.tokenizer.as_ref(), &source.chat);
    if let Value::Object(config) = &mut config {
        config.extend(
            [architecture, more, tokens].into_iter().filter_map(|fields| if let Value::Object(fields) = fields { Some(fields) } else { None }).flatten(),
        );
    }
    config
}

/// Ids of the bos token and of the tokens that end a reply, under transformers' names.
fn special_ids(tokenizer: Option<&Tokenizer>, chat: &ChatFormat) -> Value {
    let begin = tokenizer.and_then(|tokenizer| tokenizer.id(chat.bos_token()?));
    let ends = match tokenizer.map(Tokenizer::ends).unwrap_or_default()[..] {
        [] => Value::Null,
        [end] => end.into(),
        ref ends => ends.into(),
    };
    json!({ "bos_token_id": begin, "eos_token_id": ends })
}

/// The text of a `generation_config.json`: the end tokens of generation.
pub fn generation_config(tokenizer: &Tokenizer, chat: &ChatFormat) -> String {
    pretty(&special_ids(Some(tokenizer), chat))
}

/// The text of a `tokenizer_config.json`: the settings of a tokenizer outside of its `tokenizer.json`, for a model with
/// a context of `context` tokens.
pub fn tokenizer_config(tokenizer: &Tokenizer, chat: &ChatFormat, context: usize) -> String {
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": false,
    });
    if let Some(end) = tokenizer.end().and_then(|end| tokenizer.decode(&[end], true).ok()) {
        config["eos_token"] = end.into();
    }
    for (name, text) in &chat.special_tokens {
        // Custom names that do not end in `_token` belong in `extra_special_tokens`.
        let place = if name.ends_with("_token") { &mut config[name.as_str()] } else { &mut config["extra_special_tokens"][name.as_str()] };
        *place = text.as_str().into();
    }
    if tokenizer.splits_special() {
        config["split_special_tokens"] = true.into();
    }
    if let Some(templates) = &chat.template {
        config["chat_template"] = templates.to_json();
    }
    pretty(&config)
}
