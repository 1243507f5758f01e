//! The packed model file (see `docs/formats.md`): signs as bits, everything else in f16; configuration, tokenizer and chat
//! template in the header. A full-precision model, such as a teacher, is all f16.

use super::ModelFormat;
use crate::assets;
use crate::data::{EndTokens, Tokenizer};
use crate::formats::content::{self, ContentKind, MAX_HEADER};
use crate::formats::safetensors::{ChecksummedWriter, Dtype, HeaderEntry, TensorFile};
use crate::formats::{FormatError, TensorSource};
use crate::model::chat_format::{ChatFormat, Templates};
use crate::model::config::ModelConfig;
use crate::model::file::{self, ModelFile, untied_if_different};
use crate::model::floats::Floats;
use crate::model::model_error::{ModelError, write_error};
use crate::model::weights::Linears;
use crate::platform::{self, HeaderCheck, Output};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The packed format. It is last in the list, as the default for unknown files.
pub(super) static PACKED: ModelFormat = ModelFormat {
    name: "packed model",
    endings: &[".signet", ".safetensors"],
    beside: Some("is a packed model. Pass its path as the model"),
    detect: |path, start| !platform::is_dir(path) && content::detect(start).is_none_or(|kind| kind == ContentKind::Safetensors),
    check_start,
    open: |path| ModelFile::from_packed(TensorFile::open(path)?),
};

/// Validates the first bytes of a file; `None` if it is not a safetensors file.
fn check_start(start: &[u8]) -> Option<HeaderCheck> {
    if content::detect(start).is_some_and(|kind| !matches!(kind, ContentKind::Safetensors | ContentKind::Empty)) {
        return None;
    }
    let Some((length, header)) = start.split_first_chunk::<8>() else { return Some(HeaderCheck::More(16)) };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER || header.first().is_some_and(|first| *first != b'{') {
        return None;
    }
    if (header.len() as u64) < length {
        return Some(HeaderCheck::More(8 + length));
    }
    let header: serde_json::Value = match serde_json::from_slice(&header[..length as usize]) {
        Ok(header) => header,
        Err(error) => return Some(HeaderCheck::Bad(format!("its header is damaged ({error})"))),
    };
    Some(match header["__metadata__"]["signet.format"].as_str() {
        Some(_) => HeaderCheck::Good,
        None => {
            HeaderCheck::Bad("it is a safetensors file, but not packed by Signet (its header has no signet.format). Pack the model with `signet pack`".into())
        }
    })
}

/// The format version that this program writes, and the newest that it reads.
pub const FORMAT: u64 = 1;

/// The result of packing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackReport {
    /// Weights stored as one bit; 0 in a full-precision model.
    pub binarized_weights: u64,
    /// Bits per weight of the blocks' linear layers, including padding, α and β.
    pub bits_per_weight: f64,
    /// File size.
    pub bytes: u64,
}

/// All tensors of a packed file, in order: u32 before f16, so that all are aligned.
fn layout(config: &ModelConfig, kind: Linears) -> Vec<HeaderEntry> {
    let (linears, dense) = match kind {
        Linears::Binary => (config.linears(), Vec::new()),
        Linears::Dense => (Vec::new(), config.linears()),
    };
    let weights = dense.into_iter().map(|(name, out, width)| (format!("{name}.weight"), Dtype::F16, vec![out, width]));
    let signs = linears.iter().map(|(name, out, width)| (format!("{name}.signs"), Dtype::U32, vec![*out, width.div_ceil(32)]));
    let scales = linears.iter().flat_map(|(name, _, width)| ["wscale", "wbias"].map(|part| (format!("{name}.{part}"), Dtype::F16, vec![1, *width])));
    let others = config.plain().map(|tensor| {
        let sides = tensor.sides();
        (tensor.name, Dtype::F16, sides)
    });
    signs.chain(scales).chain(weights).chain(others).collect()
}

/// Bytes of the tensors of a packed model of this shape, without header and tokenizer.
pub fn packed_bytes(config: &ModelConfig, kind: Linears) -> u64 {
    layout(config, kind).iter().map(|(_, dtype, shape)| shape.iter().map(|&side| side as u64).product::<u64>() * dtype.bitsize() as u64 / 8).sum()
}

/// Bits per weight of the blocks' linear layers: for binarized layers the sign, padding, and a share of α and β.
pub fn bits_per_weight(config: &ModelConfig, kind: Linears) -> f64 {
    if kind == Linears::Dense {
        return 16.0;
    }
    let bits: f64 = config.linears().iter().map(|&(_, out, width)| 32.0 * out as f64 * width.div_ceil(32) as f64 + 2.0 * 16.0 * width as f64).sum();
    bits / config.binarized_weights() as f64
}

/// Writes `source` as a packed file at `out`, tensor by tensor and atomically.
pub fn pack(source: &ModelFile, out: &Path) -> Result<PackReport, ModelError> {
    if source.packed() {
        return Err(FormatError::new(source.path(), "is packed already").into());
    }
    let source_metadata = PackedMetadata { config: &source.config, linears: source.linears, tokenizer: source.tokenizer.as_ref(), chat: &source.chat };
    let mut bytes = 0;
    let written = platform::stream_atomic(out, &mut |file| {
        let mut counted = CountingOutput { file, bytes: 0 };
        platform::wait(write(&source_metadata, &mut LatentModel(source), &mut counted))?;
        bytes = counted.bytes;
        Ok(())
    });
    written.map_err(|error| write_error(out, error))?;
    let config = &source.config;
    let binarized_weights = if source.linears == Linears::Binary { config.binarized_weights() } else { 0 };
    Ok(PackReport { binarized_weights, bits_per_weight: bits_per_weight(config, source.linears), bytes })
}

/// An output that counts bytes.
struct CountingOutput<'a> {
    file: &'a mut dyn Output,
    bytes: u64,
}

impl io::Write for CountingOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Output for CountingOutput<'_> {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.rewrite(at, bytes)
    }
}

/// The metadata of a packed file to be written, which also decide its tensors.
pub(in crate::model) struct PackedMetadata<'a> {
    pub(in crate::model) config: &'a ModelConfig,
    pub(in crate::model) linears: Linears,
    pub(in crate::model) tokenizer: Option<&'a Tokenizer>,
    pub(in crate::model) chat: &'a ChatFormat,
}

/// The source of the tensors of a packed file.
pub(in crate::model) trait PackedTensors {
    /// The sign words of a layer's weight `(rows, cols)`; each row starts at a word.
    async fn signs(&mut self, layer: &str, rows: usize, cols: usize) -> Result<Vec<u32>, ModelError>;

    /// The values of any other tensor.
    async fn floats(&mut self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, ModelError>;

    /// The path in error messages.
    fn path(&self) -> &Path;
}

/// A model file with latent weights, from which signs are computed.
struct LatentModel<'a>(&'a ModelFile);

impl PackedTensors for LatentModel<'_> {
    async fn signs(&mut self, layer: &str, rows: usize, cols: usize) -> Result<Vec<u32>, ModelError> {
        Ok(self.0.signs(layer, rows, cols)?)
    }

    async fn floats(&mut self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, ModelError> {
        Ok(self.0.floats(name, rows, cols)?)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn metadata(source: &PackedMetadata<'_>) -> Result<BTreeMap<String, String>, ModelError> {
    let config = serde_json::to_string(source.config).expect("a configuration is plain data");
    let tokenizer = source.tokenizer.map(Tokenizer::to_json).transpose()?;
    let ends = source.tokenizer.map(|tokenizer| serde_json::to_string(&tokenizer.ends()).expect("plain data"));
    let chat = source.chat;
    let plain = |text: &BTreeMap<String, String>| serde_json::to_string(text).expect("plain data");
    let named = if let Some(Templates::Named(named)) = &chat.template { Some(plain(named)) } else { None };
    let more = chat.special_tokens.keys().any(|name| !["bos_token", "eos_token"].contains(&name.as_str()));
    let entries = [
        ("signet.format", Some(FORMAT.to_string())),
        ("config", Some(config)),
        ("tokenizer", tokenizer),
        // Older programs read a single template and two tokens from these keys.
        ("chat_template", chat.template.as_ref().and_then(Templates::plain).map(str::to_string)),
        ("chat_templates", named),
        ("bos_token", chat.bos_token().map(str::to_string)),
        ("eos_token", chat.eos_token().map(str::to_string)),
        ("special_tokens", more.then(|| plain(&chat.special_tokens))),
        ("split_special_tokens", source.tokenizer.filter(|tokenizer| tokenizer.splits_special()).map(|_| "true".into())),
        ("end_tokens", ends),
    ];
    Ok(entries.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect())
}

/// Writes a packed file, tensor by tensor. An error in a tensor is a [`ModelError`] inside the I/O error.
pub(in crate::model) async fn write(source_metadata: &PackedMetadata<'_>, tensors: &mut impl PackedTensors, out: &mut dyn Output) -> io::Result<()> {
    let layout = layout(source_metadata.config, source_metadata.linears);
    let mut writer = ChecksummedWriter::new(out, &layout, metadata(source_metadata).map_err(io::Error::other)?)?;
    let sizes: BTreeMap<String, usize> = source_metadata.config.linears().into_iter().map(|(name, _, width)| (name, width)).collect();
    for (name, _, shape) in &layout {
        let (rows, cols) = if let [rows, cols] = shape[..] { (rows, cols) } else { (1, shape[0]) };
        let bytes = match name.strip_suffix(".signs") {
            Some(layer) => tensors.signs(layer, rows, sizes[layer]).await.map(|words| words.iter().flat_map(|word| word.to_le_bytes()).collect()),
            None => tensors.floats(name, rows, cols).await.and_then(|values| match source_metadata.config.nonfinite_tensor() == Some(name.as_str()) {
                true => Floats::F16.encode_any(tensors.path(), name, &values),
                false => Floats::F16.encode(tensors.path(), name, &values),
            }),
        };
        writer.tensor(name, &bytes.map_err(io::Error::other)?)?;
    }
    writer.finish()
}

/// The parsed header of a packed file.
struct PackedHeader {
    config: ModelConfig,
    tokenizer: Option<Tokenizer>,
    chat: ChatFormat,
}

impl PackedHeader {
    /// Parses the header. A newer format version is an error.
    fn read(file: &TensorFile) -> Result<Self, ModelError> {
        let problem = |problem: String| FormatError::new(file.path(), problem);
        let Some(format) = file.metadata("signet.format") else {
            return Err(problem("is not a packed model (its header has no signet.format). To open a Hugging Face model, pass its directory".into()).into());
        };
        match format.parse::<u64>() {
            Ok(FORMAT) => {}
            Ok(newer) if newer > FORMAT => {
                return Err(problem(format!("made by a newer Signet (format {newer}; this version reads {FORMAT}). Update Signet")).into());
            }
            _ => return Err(problem(format!("signet.format is {format:?}; this version reads {FORMAT}")).into()),
        }
        let config = file.metadata("config").ok_or_else(|| problem("its header has no config".into()))?;
        let config: ModelConfig = serde_json::from_str(config).map_err(|error| problem(format!("config: {error}")))?;
        config.check().map_err(|error| problem(error.to_string()))?;
        let tokenizer = file.metadata("tokenizer").map(|text| Tokenizer::from_json(text.as_bytes())).transpose();
        let tokenizer = tokenizer.map_err(|error| problem(error.to_string()))?;
        let chat = chat_format(file).map_err(problem)?;
        let tokenizer = match tokenizer {
            Some(tokenizer) => {
                let ends = ends(&tokenizer, file.metadata("end_tokens"), chat.eos_token()).map_err(|error| problem(format!("end_tokens: {error}")))?;
                Some(tokenizer.with_ends(ends).with_split_special(file.metadata("split_special_tokens") == Some("true")))
            }
            None => None,
        };
        Ok(Self { config, tokenizer, chat })
    }
}

/// Parses the chat format of a header: one template or several by name, and special tokens.
fn chat_format(file: &TensorFile) -> Result<ChatFormat, String> {
    let by_name = |key: &str| {
        let json = file.metadata(key).map(serde_json::from_str::<BTreeMap<String, String>>).transpose();
        json.map_err(|error| format!("{key}: {error}"))
    };
    let template = match by_name("chat_templates")? {
        Some(named) => Templates::named(named),
        None => file.metadata("chat_template").map(|template| Templates::One(template.into())),
    };
    let mut special_tokens = by_name("special_tokens")?.unwrap_or_default();
    for name in ["bos_token", "eos_token"] {
        special_tokens.extend(file.metadata(name).map(|text| (name.to_string(), text.to_string())));
    }
    Ok(ChatFormat { template, special_tokens })
}

/// The end tokens of a header: `end_tokens` has their ids, the one that ends a document first. Older files name only the
/// eos token; special tokens ended a reply, too.
fn ends(tokenizer: &Tokenizer, declared: Option<&str>, eos: Option<&str>) -> Result<Option<EndTokens>, serde_json::Error> {
    match declared {
        Some(ids) => Ok(Some(EndTokens::new(None, serde_json::from_str::<Vec<u32>>(ids)?))),
        None => Ok(eos.and_then(|text| tokenizer.id(text)).map(|eos| EndTokens::new(Some(eos), tokenizer.ends()))),
    }
}

impl ModelFile {
    /// The embedded demo student.
    pub fn embedded_student() -> Result<Self, ModelError> {
        Self::from_packed(Self::asset("the embedded student", assets::student())?)
    }

    /// The embedded teacher.
    pub fn embedded_teacher() -> Result<Self, ModelError> {
        Self::from_packed(Self::asset("the embedded teacher", assets::teacher())?)
    }

    fn asset(name: &str, bytes: std::io::Result<&'static [u8]>) -> Result<TensorFile, FormatError> {
        TensorFile::embedded(name, bytes.map_err(|error| FormatError::new(Path::new(name), error))?)
    }

    /// Opens a packed file in memory, such as a snapshot of a student in training. `name` is its path in messages.
    pub fn from_snapshot(name: &str, bytes: Arc<Vec<u8>>) -> Result<Self, ModelError> {
        Self::from_packed(TensorFile::owned(name, bytes)?)
    }

    fn from_packed(tensors: TensorFile) -> Result<Self, ModelError> {
        let header = PackedHeader::read(&tensors)?;
        let PackedHeader { config, tokenizer, chat } = header;
        let config = untied_if_different(config, &tensors);
        let packed = config.linears_of(0).next().is_some_and(|(first, _, _)| tensors.shape(&format!("{first}.signs")).is_some());
        let (linears, tensors) = match packed {
            true => (Linears::Binary, file::Tensors::Packed(Box::new(tensors))),
            false => (Linears::Dense, file::Tensors::Floats(Box::new(tensors))),
        };
        Self { config, linears, tokenizer, chat, tensors }.validated()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_match_the_paper() {
        for (name, bits, gigabytes) in [("130M", 1.030, 0.109), ("1.3B", 1.011, 0.418), ("7B", 1.006, 1.339)] {
            let config = ModelConfig::preset(name, 32_000).unwrap();
            let stored = bits_per_weight(&config, Linears::Binary);
            assert!((stored - bits).abs() < 5e-4, "{name}: {stored}");
            let size = packed_bytes(&config, Linears::Binary) as f64 / 1e9;
            assert!((size - gigabytes).abs() < 1e-3, "{name}: {size} GB");
        }
    }
}
