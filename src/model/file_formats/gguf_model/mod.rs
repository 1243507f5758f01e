//! GGUF, llama.cpp's format: reads tensors under Hugging Face's names, tokenizer and chat templates, and writes them
//! (`write`, `vocabulary`).

mod export_gguf;
mod tokenizer_kind;
mod vocabulary;

pub use export_gguf::export_gguf;

use super::ModelFormat;
use crate::data::Tokenizer;
use crate::formats::content::{self, ContentKind};
use crate::formats::gguf::{Gguf, GgufMetadata};
use crate::formats::{FormatError, TensorSource};
use crate::model::arch::Architecture;
use crate::model::chat_format::{ChatFormat, Templates};
use crate::model::file::{self, ModelFile};
use crate::model::model_error::ModelError;
use crate::model::tensors::{HeadKind, TensorRow, numbered};
use crate::model::weights::Linears;
use crate::platform::HeaderCheck;
use crate::platform::parallel::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// The GGUF format.
pub(super) static GGUF: ModelFormat = ModelFormat {
    name: "GGUF",
    endings: &[".gguf"],
    beside: Some("is a GGUF file. Pass its path as the model"),
    detect: |_, start| content::detect(start) == Some(ContentKind::Gguf),
    // The metadata are validated when the file is opened.
    check_start: |start| (content::detect(start) == Some(ContentKind::Gguf)).then_some(HeaderCheck::Good),
    open: |path| ModelFile::from_gguf(Gguf::open(path)?),
};

/// The tensors of a GGUF file with Hugging Face's names and row order. Tensors unknown to the architecture keep their
/// names.
struct GgufTensors {
    file: Gguf,
    architecture: &'static Architecture,
    /// Stored tensors by Hugging Face's name.
    tensors: BTreeMap<String, StoredTensor>,
}

/// A tensor in the file.
struct StoredTensor {
    name: String,
    /// The head width, if the rows of each head are in llama.cpp's order.
    head: Option<usize>,
}

impl GgufTensors {
    /// Maps the names of a file's tensors. An error if the architecture is not supported.
    fn new(file: Gguf) -> Result<Self, FormatError> {
        let architecture = Architecture::of_gguf(file.metadata())?;
        let mut tensors = BTreeMap::new();
        for own in file.names() {
            if let Some((row, block)) = architecture.rows().find_map(|row| Some((row, TensorRow::matches(row.gguf, &own)?))) {
                let head = row.permuted.map_or(Ok(None), |heads| head_width(&file, architecture, &own, heads))?;
                tensors.insert(numbered(row.name, block), StoredTensor { name: own, head });
            }
        }
        Ok(Self { file, architecture, tensors })
    }

    /// The name of a tensor in the file.
    fn stored_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.tensors.get(name).map_or(name, |own| &own.name)
    }
}

/// The head width of a query or key matrix, if the metadata declare the number of heads.
fn head_width(file: &Gguf, architecture: &Architecture, name: &str, heads: HeadKind) -> Result<Option<usize>, FormatError> {
    let metadata = file.metadata();
    let Some([rows, _]) = file.shape(name) else { return Ok(None) };
    let count = |key: &str| metadata.count(&format!("{}.attention.{key}", architecture.gguf));
    let queries = count("head_count")?;
    let heads = match heads {
        HeadKind::Queries => queries,
        HeadKind::Keys => count("head_count_kv")?.or(queries),
    };
    match heads {
        None => Ok(None),
        Some(heads) if heads.checked_mul(2).is_some_and(|halves| halves > 0 && rows.is_multiple_of(halves)) => Ok(Some(rows / heads)),
        Some(heads) => Err(metadata.problem(format!("tensor {name} has {rows} rows, which cannot be split into {heads} heads of even width"))),
    }
}

/// The index in llama.cpp's order of row `row`, for heads of width `head`: the two rows that RoPE rotates together are
/// adjacent there, and half a head apart here.
fn permuted_row(row: usize, head: usize) -> usize {
    let (start, within) = (row / head * head, row % head);
    start + within % (head / 2) * 2 + within / (head / 2)
}

impl TensorSource for GgufTensors {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn names(&self) -> Vec<String> {
        let theirs: BTreeMap<&str, &str> = self.tensors.iter().map(|(name, own)| (own.name.as_str(), name.as_str())).collect();
        self.file.names().into_iter().map(|own| theirs.get(own.as_str()).map_or_else(|| own.clone(), |name| name.to_string())).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.shape(self.stored_name(name))
    }

    fn dtype_name(&self, name: &str) -> Option<&'static str> {
        self.file.dtype_name(self.stored_name(name))
    }

    fn display_name(&self, name: &str) -> String {
        let own = self.architecture.rows().find_map(|row| Some(numbered(row.gguf, TensorRow::matches(row.name, name)?)));
        own.map_or_else(|| name.into(), |own| format!("{own} ({name})"))
    }

    fn read_values(&self, name: &str, cols: usize, range: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let (own, head) = (self.stored_name(name), self.tensors.get(name).and_then(|own| own.head));
        self.file.shape(own).ok_or_else(|| self.missing(name))?;
        let Some(head) = head else { return self.file.read_values(own, cols, range) };
        // Read whole heads, since rows are permuted within each.
        let first = range.start / head * head;
        let values = self.file.read_values(own, cols, first..range.end.next_multiple_of(head))?;
        let row = |row: usize| &values[(permuted_row(row, head) - first) * cols..][..cols];
        let mut reordered = vec![0.0; range.len() * cols];
        if cols > 0 {
            reordered.par_chunks_exact_mut(cols).zip(range).for_each(|(to, at)| to.copy_from_slice(row(at)));
        }
        Ok(reordered)
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.file.checksum()
    }
}

impl ModelFile {
    /// Opens a GGUF file. An error if the model needs something unsupported.
    pub fn from_gguf(file: Gguf) -> Result<Self, ModelError> {
        let file = GgufTensors::new(file)?;
        let metadata = file.file.metadata();
        let (config, tokenizer, chat) = (file.architecture.config_of(&file.file)?, Tokenizer::from_gguf(metadata)?, chat(metadata)?);
        let (ids, rows) = (tokenizer.as_ref().map_or(0, Tokenizer::plain_ids), config.vocab_size);
        if ids > rows {
            let problem = format!("the tokenizer has {ids} ids, but the embedding has {rows} rows (vocab_size): they belong to different models");
            return Err(FormatError::new(file.path(), problem).into());
        }
        Self { config, linears: Linears::Dense, tokenizer, chat, tensors: file::Tensors::Floats(Box::new(file)) }.validated()
    }
}

fn chat(metadata: &GgufMetadata) -> Result<ChatFormat, FormatError> {
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let token = |key: &str| Ok::<_, FormatError>(metadata.count(key)?.and_then(|id| tokens.get(id).cloned()));
    let mut special_tokens: BTreeMap<String, String> = BTreeMap::new();
    for name in ["bos_token", "eos_token"] {
        special_tokens.extend(token(&format!("tokenizer.ggml.{name}_id"))?.map(|text| (name.to_string(), text)));
    }
    Ok(ChatFormat { template: templates(metadata)?, special_tokens })
}

/// Reads the chat templates: the default, and others whose names are in a list. As in llama.cpp, the template for tools
/// need not be in the list.
fn templates(metadata: &GgufMetadata) -> Result<Option<Templates>, FormatError> {
    const KEY: &str = "tokenizer.chat_template";
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    named.extend(metadata.text(KEY)?.map(|template| (Templates::DEFAULT.to_string(), template.to_string())));
    let listed = metadata.texts("tokenizer.chat_templates")?.unwrap_or_default();
    for name in listed.iter().map(String::as_str).chain([Templates::TOOLS]) {
        named.extend(metadata.text(&format!("{KEY}.{name}"))?.map(|template| (name.to_string(), template.to_string())));
    }
    Ok(Templates::named(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_permuted_as_in_llama_cpp() {
        // Two heads of width 6, as llama.cpp's conversion permutes them.
        let rows: Vec<usize> = (0..12).map(|row| permuted_row(row, 6)).collect();
        assert_eq!(rows, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
