//! The packed model file (see `docs/formats.md`): signs as bits, everything else in f16,
//! configuration, tokenizer and chat template in the header. One file is one model; a
//! full-precision one, such as a teacher, is all f16.

use super::chat_format::{ChatFormat, Templates};
use super::config::LlamaConfig;
use super::encode::Floats;
use super::init::write_floats;
use super::open::{ModelError, ModelFile, free_rows, not_finite};
use super::weights::{Linears, Weights};
use crate::data::{Ends, Tokenizer};
use crate::formats::safetensors::{Dtype, SealedWriter, TensorFile, TensorInfo};
use crate::formats::{FormatError, TensorSource, bands};
use crate::graph::{Machine, Storage};
use crate::platform::{self, Output};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The format this program writes, and the newest it reads.
pub const FORMAT: u64 = 1;

/// What packing came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackReport {
    /// Weights that are one bit now; none in a full-precision model.
    pub binarized_weights: u64,
    /// Bits stored for each weight of the blocks' linear layers: padding, α and β included.
    pub bits_per_weight: f64,
    /// Size of the file.
    pub bytes: u64,
}

/// Every tensor of a packed file, in order: words before halves, so that all are aligned.
fn layout(config: &LlamaConfig, kind: Linears) -> Vec<TensorInfo> {
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

/// Bytes of the tensors of a packed model of this shape; header and tokenizer come on top.
pub fn packed_bytes(config: &LlamaConfig, kind: Linears) -> u64 {
    layout(config, kind).iter().map(|(_, dtype, shape)| shape.iter().map(|&side| side as u64).product::<u64>() * dtype.bitsize() as u64 / 8).sum()
}

/// Bits stored for each weight of the blocks' linear layers: of a binarized one its sign, padding, and
/// its share of α and β.
pub fn bits_per_weight(config: &LlamaConfig, kind: Linears) -> f64 {
    if kind == Linears::Dense {
        return 16.0;
    }
    let bits: f64 = config.linears().iter().map(|&(_, out, width)| 32.0 * out as f64 * width.div_ceil(32) as f64 + 2.0 * 16.0 * width as f64).sum();
    bits / config.binarized_weights() as f64
}

/// Writes `source` as a packed file at `out`, tensor by tensor: whole, or not at all.
pub fn pack(source: &ModelFile, out: &Path) -> Result<PackReport, ModelError> {
    if source.packed() {
        return Err(FormatError::new(source.path(), "is packed already").into());
    }
    let about = About { config: &source.config, linears: source.linears, tokenizer: source.tokenizer.as_ref(), chat: &source.chat };
    let mut bytes = 0;
    let written = platform::stream_atomic(out, &mut |file| {
        let mut counted = Counted { file, bytes: 0 };
        platform::wait(write(&about, &mut Latent(source), &mut counted))?;
        bytes = counted.bytes;
        Ok(())
    });
    written.map_err(|error| failure(out, error))?;
    let config = &source.config;
    let binarized_weights = if source.linears == Linears::Binary { config.binarized_weights() } else { 0 };
    Ok(PackReport { binarized_weights, bits_per_weight: bits_per_weight(config, source.linears), bytes })
}

/// Counts what passes.
struct Counted<'a> {
    file: &'a mut dyn Output,
    bytes: u64,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Output for Counted<'_> {
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.rewrite(at, bytes)
    }
}

/// What a packed file says besides its tensors, and which it has.
pub(super) struct About<'a> {
    pub(super) config: &'a LlamaConfig,
    pub(super) linears: Linears,
    pub(super) tokenizer: Option<&'a Tokenizer>,
    pub(super) chat: &'a ChatFormat,
}

/// Where the tensors of a packed file come from.
pub(super) trait Tensors {
    /// The signs of a layer's weight `(rows, cols)`, each row on whole words.
    async fn signs(&mut self, layer: &str, rows: usize, cols: usize) -> Result<Vec<u32>, ModelError>;

    /// The floats of any other tensor.
    async fn floats(&mut self, name: &str, rows: usize, cols: usize) -> Result<Vec<f32>, ModelError>;

    /// Who is to blame for a value that no file holds.
    fn path(&self) -> &Path;
}

/// A model file whose signs are those of its latent weights.
struct Latent<'a>(&'a ModelFile);

impl Tensors for Latent<'_> {
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

/// What went wrong when a packed file was written to `out`.
pub(super) fn failure(out: &Path, error: io::Error) -> ModelError {
    match error.downcast::<ModelError>() {
        Ok(source) => source,
        Err(error) => FormatError::new(out, format!("cannot be written: {error}")).into(),
    }
}

fn metadata(source: &About<'_>) -> Result<BTreeMap<String, String>, ModelError> {
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
        // Programs that know of one template, or of two tokens, find them as before.
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

/// Writes a packed file, tensor by tensor. What is wrong with a tensor is a [`ModelError`] inside.
pub(super) async fn write(about: &About<'_>, tensors: &mut impl Tensors, out: &mut dyn Output) -> io::Result<()> {
    let layout = layout(about.config, about.linears);
    let mut writer = SealedWriter::new(out, &layout, metadata(about).map_err(io::Error::other)?)?;
    let sizes: BTreeMap<String, usize> = about.config.linears().into_iter().map(|(name, _, width)| (name, width)).collect();
    for (name, _, shape) in &layout {
        let (rows, cols) = if let [rows, cols] = shape[..] { (rows, cols) } else { (1, shape[0]) };
        let bytes = match name.strip_suffix(".signs") {
            Some(layer) => tensors.signs(layer, rows, sizes[layer]).await.map(|words| words.iter().flat_map(|word| word.to_le_bytes()).collect()),
            None => tensors.floats(name, rows, cols).await.and_then(|values| match free_rows(about.config) == Some(name.as_str()) {
                true => Floats::F16.encode_any(tensors.path(), name, &values),
                false => Floats::F16.encode(tensors.path(), name, &values),
            }),
        };
        writer.tensor(name, &bytes.map_err(io::Error::other)?)?;
    }
    writer.finish()
}

/// What a packed file says besides its tensors.
pub(super) struct Header {
    pub(super) config: LlamaConfig,
    pub(super) tokenizer: Option<Tokenizer>,
    pub(super) chat: ChatFormat,
}

impl Header {
    /// Reads it; a newer format is refused by name.
    pub(super) fn read(file: &TensorFile) -> Result<Self, ModelError> {
        let problem = |problem: String| FormatError::new(file.path(), problem);
        let Some(format) = file.metadata("signet.format") else {
            return Err(problem("is no packed model (its header has no signet.format). To open a Hugging Face model, name its directory".into()).into());
        };
        match format.parse::<u64>() {
            Ok(FORMAT) => {}
            Ok(newer) if newer > FORMAT => {
                return Err(problem(format!("made by a newer Signet (format {newer}; this one reads {FORMAT}). Update Signet")).into());
            }
            _ => return Err(problem(format!("signet.format is {format:?}; this Signet reads {FORMAT}")).into()),
        }
        let config = file.metadata("config").ok_or_else(|| problem("its header has no config".into()))?;
        let config: LlamaConfig = serde_json::from_str(config).map_err(|error| problem(format!("config: {error}")))?;
        config.check().map_err(|error| problem(error.to_string()))?;
        let tokenizer = file.metadata("tokenizer").map(|text| Tokenizer::from_json(text.as_bytes())).transpose();
        let tokenizer = tokenizer.map_err(|error| problem(error.to_string()))?;
        let chat = chat_format(file).map_err(problem)?;
        let tokenizer = match tokenizer {
            Some(tokenizer) => {
                let ends = ends(&tokenizer, file.metadata("end_tokens"), chat.eos_token()).map_err(|error| problem(format!("end_tokens: {error}")))?;
                Some(tokenizer.ended_by(ends).splitting_special(file.metadata("split_special_tokens") == Some("true")))
            }
            None => None,
        };
        Ok(Self { config, tokenizer, chat })
    }
}

/// The chat format in a header: one template or several by name, and special tokens.
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

/// The end tokens that a header declares: `end_tokens` has their ids, first that which ends a document. Older files only
/// name the eos token, beside which special tokens ended a reply, too.
fn ends(tokenizer: &Tokenizer, declared: Option<&str>, eos: Option<&str>) -> Result<Option<Ends>, serde_json::Error> {
    match declared {
        Some(ids) => Ok(Some(Ends::new(None, serde_json::from_str::<Vec<u32>>(ids)?))),
        None => Ok(eos.and_then(|text| tokenizer.id(text)).map(|eos| Ends::new(Some(eos), tokenizer.ends()))),
    }
}

/// Said where latent weights are wanted of a packed file.
pub(super) fn no_latent(path: &Path) -> FormatError {
    FormatError::new(path, "is packed: its weights are signs alone, and cannot be trained further. Use the checkpoint it was packed from")
}

/// Fills weights from a packed file: signs and halves go to the machine as they are, a layer's or a band
/// of rows at a time, so that the host never holds more than a small part of the file. Of the tensor `free`, rows may
/// hold numbers that are not finite; gives those rows.
pub(super) fn fill(machine: &mut Machine, weights: &Weights, file: &TensorFile, free: Option<&str>) -> Result<Vec<u32>, ModelError> {
    let mut unusable = Vec::new();
    for binary in &weights.binary {
        if binary.latent.is_some() {
            return Err(no_latent(file.path()).into());
        }
        for (layer, home) in binary.layers() {
            machine.write(&home, &signs(file, layer, home.spec.rows, home.spec.cols)?)?;
        }
    }
    for name in weights.names() {
        let home = weights.home(name).expect("named");
        let (rows, cols) = (home.spec.rows, home.spec.cols);
        file.expect_shape(name, rows, cols)?;
        for band in bands(rows, cols) {
            let part = home.rows(band.start, band.len());
            let free = free == Some(name.as_str());
            if free {
                unusable.extend(not_finite(&file.values_of(name, cols, band.clone())?, cols, band.clone()));
            }
            match (part.spec.storage, free) {
                (Storage::F16, true) => machine.write(&part, &file.any_halves_of(name, cols, band)?.0)?,
                (Storage::F16, false) => machine.write(&part, &file.halves_of(name, cols, band)?)?,
                (_, true) => write_floats(machine, &part, &file.values_of(name, cols, band)?)?,
                (_, false) => write_floats(machine, &part, &file.floats_of(name, cols, band)?)?,
            }
        }
    }
    Ok(unusable)
}

/// The sign words of a packed layer; bits past the last column are refused.
pub(super) fn signs(file: &TensorFile, layer: &str, rows: usize, cols: usize) -> Result<Vec<u32>, FormatError> {
    let (name, row_words) = (format!("{layer}.signs"), cols.div_ceil(32));
    let words = file.words(&name, rows, row_words)?;
    match bad_padding(&words, row_words, cols) {
        Some(row) => Err(FormatError::new(file.path(), format!("tensor {name} has bits set past column {cols} in row {row}; padding must be 0"))),
        None => Ok(words),
    }
}

/// The first row with a bit set past its last column.
fn bad_padding(words: &[u32], row_words: usize, cols: usize) -> Option<usize> {
    let used = cols % 32;
    if used == 0 {
        return None;
    }
    words.chunks(row_words).position(|row| row[row_words - 1] >> used != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_published() {
        for (name, bits, gigabytes) in [("130M", 1.030, 0.109), ("1.3B", 1.011, 0.418), ("7B", 1.006, 1.339)] {
            let config = LlamaConfig::preset(name, 32_000).unwrap();
            let stored = bits_per_weight(&config, Linears::Binary);
            assert!((stored - bits).abs() < 5e-4, "{name}: {stored}");
            let size = packed_bytes(&config, Linears::Binary) as f64 / 1e9;
            assert!((size - gigabytes).abs() < 1e-3, "{name}: {size} GB");
        }
    }

    #[test]
    fn padding_is_looked_at() {
        assert_eq!(bad_padding(&[u32::MAX, 0b111, 0, 0b1000], 2, 35), Some(1));
        assert_eq!(bad_padding(&[u32::MAX, 0b111], 2, 35), None);
        assert_eq!(bad_padding(&[u32::MAX], 1, 32), None);
    }
}
