//! GGUF, llama.cpp's format: a model's tensors under Hugging Face's names, its tokenizer and its templates; and the
//! same written (`write`, `vocabulary`).

mod tokenizer_kind;
mod vocabulary;
mod write;

pub use write::export_gguf;

use super::Format;
use crate::data::Tokenizer;
use crate::formats::content::{self, Kind};
use crate::formats::gguf::{Gguf, Metadata};
use crate::formats::{FormatError, TensorSource};
use crate::model::arch::Architecture;
use crate::model::chat_format::{ChatFormat, Templates};
use crate::model::error::ModelError;
use crate::model::file::{self, ModelFile};
use crate::model::tensors::{HeadKind, Row, numbered};
use crate::model::weights::Linears;
use crate::platform::Verdict;
use crate::platform::parallel::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// A GGUF file.
pub(super) static GGUF: Format = Format {
    name: "GGUF",
    endings: &[".gguf"],
    beside: Some("is a GGUF file: name it itself as the model"),
    detect: |_, start| content::kind(start) == Some(Kind::Gguf),
    // Its metadata are read when it is opened.
    check_start: |start| (content::kind(start) == Some(Kind::Gguf)).then_some(Verdict::Good),
    open: |path| ModelFile::from_gguf(Gguf::open(path)?),
};

/// The tensors of a GGUF file under Hugging Face's names, with rows in Hugging Face's order. What the architecture
/// does not have goes by its own name.
struct GgufTensors {
    file: Gguf,
    architecture: &'static Architecture,
    /// By Hugging Face's names.
    tensors: BTreeMap<String, StoredTensor>,
}

/// A tensor in the file.
struct StoredTensor {
    name: String,
    /// The width of its heads, if the rows of each are in llama.cpp's order.
    head: Option<usize>,
}

impl GgufTensors {
    /// Names the tensors of a file; an architecture that is not known is refused by name.
    fn new(file: Gguf) -> Result<Self, FormatError> {
        let architecture = Architecture::of_gguf(file.metadata())?;
        let mut tensors = BTreeMap::new();
        for own in file.names() {
            if let Some((row, block)) = architecture.rows().find_map(|row| Some((row, Row::matches(row.gguf, &own)?))) {
                let head = row.permuted.map_or(Ok(None), |heads| head_width(&file, architecture, &own, heads))?;
                tensors.insert(numbered(row.name, block), StoredTensor { name: own, head });
            }
        }
        Ok(Self { file, architecture, tensors })
    }

    /// The file's name of a tensor.
    fn stored_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.tensors.get(name).map_or(name, |own| &own.name)
    }
}

/// The width of the heads in a matrix of queries or keys, as far as the metadata say how many there are.
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
        Some(heads) => Err(metadata.problem(format!("tensor {name} has {rows} rows, which are no {heads} heads of an even width"))),
    }
}

/// The place where llama.cpp keeps a row of a head of width `head`: the two elements that RoPE turns together lie side
/// by side there, half a head apart here.
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

    fn stored_as(&self, name: &str) -> Option<&'static str> {
        self.file.stored_as(self.stored_name(name))
    }

    fn called(&self, name: &str) -> String {
        let own = self.architecture.rows().find_map(|row| Some(numbered(row.gguf, Row::matches(row.name, name)?)));
        own.map_or_else(|| name.into(), |own| format!("{own} ({name})"))
    }

    fn values_of(&self, name: &str, cols: usize, band: Range<usize>) -> Result<Vec<f32>, FormatError> {
        let (own, head) = (self.stored_name(name), self.tensors.get(name).and_then(|own| own.head));
        self.file.shape(own).ok_or_else(|| self.missing(name))?;
        let Some(head) = head else { return self.file.values_of(own, cols, band) };
        // Whole heads: within each, the order is another.
        let first = band.start / head * head;
        let values = self.file.values_of(own, cols, first..band.end.next_multiple_of(head))?;
        let row = |row: usize| &values[(permuted_row(row, head) - first) * cols..][..cols];
        let mut reordered = vec![0.0; band.len() * cols];
        if cols > 0 {
            reordered.par_chunks_exact_mut(cols).zip(band).for_each(|(to, at)| to.copy_from_slice(row(at)));
        }
        Ok(reordered)
    }

    fn checksum(&self) -> Result<u64, FormatError> {
        self.file.checksum()
    }
}

impl ModelFile {
    /// A GGUF file; what Signet would compute wrongly is refused by name.
    pub fn from_gguf(file: Gguf) -> Result<Self, ModelError> {
        let file = GgufTensors::new(file)?;
        let metadata = file.file.metadata();
        let (config, tokenizer, chat) = (file.architecture.config_of(&file.file)?, Tokenizer::from_gguf(metadata)?, chat(metadata)?);
        let (ids, rows) = (tokenizer.as_ref().map_or(0, Tokenizer::plain_ids), config.vocab_size);
        if ids > rows {
            let problem = format!("the tokenizer has {ids} ids, but the embedding only {rows} (vocab_size): they are not of one model");
            return Err(FormatError::new(file.path(), problem).into());
        }
        Self { config, linears: Linears::Dense, tokenizer, chat, tensors: file::Tensors::Floats(Box::new(file)) }.validated()
    }
}

fn chat(metadata: &Metadata) -> Result<ChatFormat, FormatError> {
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let token = |key: &str| Ok::<_, FormatError>(metadata.count(key)?.and_then(|id| tokens.get(id).cloned()));
    let mut special_tokens: BTreeMap<String, String> = BTreeMap::new();
    for name in ["bos_token", "eos_token"] {
        special_tokens.extend(token(&format!("tokenizer.ggml.{name}_id"))?.map(|text| (name.to_string(), text)));
    }
    Ok(ChatFormat { template: templates(metadata)?, special_tokens })
}

/// The chat templates: one, and others whose names are in a list. llama.cpp looks for that of tools without the list.
fn templates(metadata: &Metadata) -> Result<Option<Templates>, FormatError> {
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
    fn pairs_of_rows_come_together() {
        // Two heads of width 6, as llama.cpp's conversion permutes them.
        let rows: Vec<usize> = (0..12).map(|row| permuted_row(row, 6)).collect();
        assert_eq!(rows, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
