//! The tokenizer: loads a Hugging Face `tokenizer.json`, encodes and decodes, and trains a new one on a corpus.

use super::data_error::TokenizerError;
use super::declared_tokens::{CompanionFiles, FileTokens};
use super::ends::EndTokens;
use super::pipeline::{InvalidBytes, PostProcess, TokenizerPipeline, failure};
use super::special::{ASSISTANT, END, USER};
use super::tokenizer_class::TokenizerClass;
use crate::formats::{FormatError, json_file};
use crate::platform;
use crate::platform::parallel::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{AddedToken, DecoderWrapper, NormalizedString, Normalizer, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};
use tokenizers::{TokenizerBuilder, TokenizerImpl};

/// The most ids, as for a model's configuration.
const MAX_IDS: usize = 1 << 20;

fn library(error: impl std::fmt::Display) -> TokenizerError {
    TokenizerError::Library(error.to_string())
}

/// Calls the tokenizers library and turns its panics on malformed files into errors; a page cannot catch them.
fn catch_panics<T>(ask: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TokenizerError> {
    failure();
    let answered = catch_unwind(AssertUnwindSafe(ask));
    if let Some(error) = failure() {
        return Err(TokenizerError::Library(error));
    }
    answered.unwrap_or_else(|_| Err("the tokenizers library panics on this file; it is not a usable tokenizer".into())).map_err(library)
}

/// A tokenizer.
#[derive(Clone)]
pub struct Tokenizer {
    inner: TokenizerPipeline,
    ends: EndTokens,
    /// Rows of the model's embedding, if fewer than the tokenizer's ids.
    rows: Option<usize>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer of {}", self.vocabulary())
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let bytes = json_file(path, platform::TOKENIZER_LIMIT)?.ok_or_else(|| FormatError::unreadable(path, "there is no such file"))?;
        Self::from_json(&bytes).map_err(|error| FormatError::new(path, error).into())
    }

    /// Parses the contents of a `tokenizer.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        Ok(Self::with_files(bytes, &CompanionFiles::default())?.0)
    }

    /// Parses the contents of a `tokenizer.json` and adds the tokens that the files next to it declare; returns also the
    /// special tokens by name, such as `eos_token`.
    pub fn with_files(bytes: &[u8], files: &CompanionFiles) -> Result<(Self, Vec<(String, String)>), TokenizerError> {
        // The library accepts some input that is not JSON.
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(library)?;
        let mut inner = catch_panics(|| Ok(serde_json::from_slice::<TokenizerPipeline>(bytes)?))?;
        let class = files.class(bytes).map_err(TokenizerError::Library)?;
        let plain = class.is_none() && files.is_empty() && inner.get_padding().is_none();
        let named = if plain { Vec::new() } else { add(&mut inner, bytes, files, class)? };
        // Some files set truncation or padding, which belong to batching.
        inner.with_truncation(None).map_err(library)?;
        inner.with_padding(None);
        let tokenizer = Self { ends: EndTokens::suggested(&inner), inner, rows: None };
        // The library's writer counts up to the highest id.
        match tokenizer.ids() {
            ids if ids > MAX_IDS => Err(TokenizerError::Library(format!("it has the id {}; a model may have {MAX_IDS} at most", ids - 1))),
            _ => Ok((tokenizer, named)),
        }
    }

    /// Sets the end tokens that the model declares; without a declaration, those that the special tokens suggest stay.
    pub fn with_ends(self, declared: Option<EndTokens>) -> Self {
        match declared {
            Some(ends) => Self { ends, ..self },
            None => self,
        }
    }

    /// Sets the end tokens of versions before models' declarations counted, so that runs of those versions resume on
    /// the same text.
    pub fn with_legacy_ends(self, eos: Option<&str>) -> Self {
        let eos = eos.and_then(|text| self.id(text));
        Self { ends: EndTokens::legacy(&self.inner, eos), ..self }
    }

    /// If `split`, encodes the text of a special token like any other text.
    pub fn with_split_special(mut self, split: bool) -> Self {
        self.inner.set_encode_special_tokens(split);
        self
    }

    /// Returns true if the text of a special token is encoded like any other text.
    pub fn splits_special(&self) -> bool {
        self.inner.get_encode_special_tokens()
    }

    /// Returns true if both encode every text alike and end documents with the same token.
    pub fn same_text(&self, other: &Tokenizer) -> Result<bool, TokenizerError> {
        Ok(self.end() == other.end() && self.splits_special() == other.splits_special() && self.to_json()? == other.to_json()?)
    }

    /// Restricts the ids to those below `rows`, the model's embedding: text that gives another id is refused.
    pub fn within(self, rows: usize) -> Self {
        Self { rows: Some(rows).filter(|&rows| rows < self.ids()), ..self }
    }

    /// Serializes it as a `tokenizer.json`.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.inner.to_string(true).map_err(library)
    }

    /// The number of ids that `encode` may return: they are below this.
    pub fn vocabulary(&self) -> usize {
        self.rows.unwrap_or_else(|| self.ids())
    }

    /// The number of ids with a token, added ones included. It may be more than the model has.
    pub fn ids(&self) -> usize {
        end_of_ids(self.inner.get_vocab(true))
    }

    /// The number of ids without added tokens.
    pub fn plain_ids(&self) -> usize {
        end_of_ids(self.inner.get_vocab(false))
    }

    /// Returns true if both have the same vocabulary.
    pub fn same_ids(&self, other: &Tokenizer) -> bool {
        self.inner.get_vocab(true) == other.inner.get_vocab(true)
    }

    /// The token that ends a document.
    pub fn end(&self) -> Option<u32> {
        self.ends.document
    }

    /// Every token after which a reply is over.
    pub fn ends(&self) -> Vec<u32> {
        self.ends.replies.clone()
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, as the vocabulary has it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Applies the normalizer to a text.
    pub fn normalized(&self, text: &str) -> Result<String, TokenizerError> {
        catch_panics(|| {
            let mut text = NormalizedString::from(text);
            self.inner.get_normalizer().map_or(Ok(()), |normalizer| normalizer.normalize(&mut text))?;
            Ok(text.get().to_string())
        })
    }

    /// The letters that represent bytes in a byte-level tokenizer.
    pub fn byte_letters() -> Vec<char> {
        ByteLevel::alphabet().into_iter().collect()
    }

    /// Encodes a text; the text of a special token becomes that token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.check_ids(catch_panics(|| self.inner.encode_fast(text, false))?.get_ids())
    }

    /// Encodes a document: [`Tokenizer::encode`] with the tokens that the post-processor adds (LLaMA's leading `<s>`;
    /// most add none).
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.check_ids(catch_panics(|| self.inner.encode_fast(text, true))?.get_ids())
    }

    /// Returns the ids; fails if the model has no embedding for one.
    fn check_ids(&self, ids: &[u32]) -> Result<Vec<u32>, TokenizerError> {
        let rows = self.rows.unwrap_or(usize::MAX);
        match ids.iter().find(|&&id| id as usize >= rows) {
            Some(&id) => {
                let token = self.inner.id_to_token(id).unwrap_or_default();
                Err(TokenizerError::Library(format!(
                    "token {token:?} has the id {id}, but the model's embedding has only {rows} rows. Remove it from the text, or use the model's own \
                    tokenizer"
                )))
            }
            None => Ok(ids.to_vec()),
        }
    }

    /// Encodes several texts in parallel.
    pub fn encode_all(&self, texts: Vec<&str>) -> Result<Vec<Vec<u32>>, TokenizerError> {
        texts.into_par_iter().map(|text| self.encode(text)).collect()
    }

    /// Encodes a text; returns each id with the byte offset of its token.
    pub fn encode_offsets(&self, text: &str) -> Result<Vec<(usize, u32)>, TokenizerError> {
        let encoding = catch_panics(|| self.inner.encode(text, false))?;
        self.check_ids(encoding.get_ids())?;
        Ok(encoding.get_offsets().iter().map(|offsets| offsets.0).zip(encoding.get_ids().iter().copied()).collect())
    }

    /// Decodes ids; `special` includes special tokens.
    pub fn decode(&self, ids: &[u32], special: bool) -> Result<String, TokenizerError> {
        catch_panics(|| self.inner.decode(ids, !special))
    }

    /// Decodes ids without special tokens; whole characters stay even next to invalid bytes.
    pub(super) fn decode_streaming(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let tokens: Vec<String> = ids.iter().filter(|id| !self.has_no_text(**id)).filter_map(|id| self.inner.id_to_token(*id)).collect();
        catch_panics(|| match self.inner.get_decoder() {
            Some(decoder) => Ok(decoder.apply(tokens, InvalidBytes::BadReplaced)?.concat()),
            None => Ok(tokens.join(" ")),
        })
    }

    /// Returns true if an id never has text: that of a special token, or an unknown one.
    pub(super) fn has_no_text(&self, id: u32) -> bool {
        let special = |token: String| self.inner.get_added_vocabulary().is_special_token(&token);
        self.inner.id_to_token(id).is_none_or(special)
    }
}

/// One more than the highest id of a vocabulary.
fn end_of_ids(vocabulary: std::collections::HashMap<String, u32>) -> usize {
    vocabulary.into_values().max().map_or(0, |id| id as usize + 1)
}

/// Rebuilds the tokenizer by the class that the files next to a `tokenizer.json` declare, and adds the tokens that they
/// declare; returns the special tokens by name.
fn add(
    inner: &mut TokenizerPipeline, bytes: &[u8], files: &CompanionFiles, class: Option<&'static TokenizerClass>,
) -> Result<Vec<(String, String)>, TokenizerError> {
    let added = inner.get_added_tokens_decoder().into_iter().collect();
    let file_tokens = FileTokens { added, pad: inner.get_padding().map(|padding| padding.pad_token.clone()), class };
    let resolved = files.resolve(&file_tokens).map_err(TokenizerError::Library)?;
    let named = |name: &str| resolved.named.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
    if let Some(class) = class {
        let mut json = serde_json::from_slice(bytes).map_err(library)?;
        class.rebuild(&mut json, files.class_settings(), named("unk_token"));
        *inner = catch_panics(|| Ok(serde_json::from_str::<TokenizerPipeline>(&json.to_string())?))?;
    }
    catch_panics(|| inner.add_tokens(resolved.tokens.iter().cloned()))?;
    if let Some(class) = class {
        let token = |name: &str| named(name).and_then(|text| Some((text.to_string(), inner.token_to_id(text)?)));
        if let Some(step) = class.post_processor(files.class_settings(), &token).map_err(TokenizerError::Library)? {
            inner.with_post_processor(serde_json::from_value::<Option<PostProcess>>(step).map_err(library)?);
        }
    }
    inner.set_encode_special_tokens(files.splits_special());
    Ok(resolved.named)
}

/// Trains a byte-level BPE of `vocabulary` tokens on some texts.
pub fn train_tokenizer(texts: &[&str], vocabulary: usize) -> Result<Tokenizer, TokenizerError> {
    let special: Vec<AddedToken> = [END, USER, ASSISTANT].iter().map(|text| AddedToken::from(*text, true)).collect();
    if vocabulary < 256 + special.len() {
        return Err(TokenizerError::Library(format!("a vocabulary of {vocabulary} has no room for the 256 bytes and {} special tokens", special.len())));
    }
    if texts.iter().all(|text| text.trim().is_empty()) {
        return Err(TokenizerError::Library("cannot train a tokenizer: there is no text".into()));
    }
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(special)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    type Trained = TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;
    let mut tokenizer: Trained = TokenizerBuilder::default()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true))))
        .with_post_processor(None)
        .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::new(false, true, true))))
        .build()
        .map_err(library)?;
    // Special tokens are not words to learn merges from.
    let pieces: Vec<String> = texts.iter().flat_map(|text| split_special(text)).map(str::to_string).collect();
    tokenizer.train(&mut trainer, pieces.into_iter()).map_err(library)?;
    Tokenizer::from_json(tokenizer.to_string(false).map_err(library)?.as_bytes())
}

/// The pieces of a text between special tokens.
fn split_special(text: &str) -> impl Iterator<Item = &str> {
    text.split(END).flat_map(|text| text.split(USER)).flat_map(|text| text.split(ASSISTANT)).filter(|text| !text.is_empty())
}
