//! Signet's parsers of untrusted input, one function each, run by the fuzz targets and by the tests of the seeds
//! (`tests/fuzz.rs`). None may panic, hang, or use memory out of proportion to the input.

use super::allocator;
use signet::data::{Callbacks, ChatRenderer, CompanionFiles, Conversation, JsonFields, TokenStore, TokenizeOptions, Tokenizer};
use signet::eval::{Rows, Task};
use signet::formats::gguf::Gguf;
use signet::formats::safetensors::TensorFile;
use signet::formats::{TensorSource, TorchFile, content, json, weight_map};
use signet::infer::{ChatTemplate, Message, TemplateVariables};
use signet::jinja::Json;
use signet::model::{ChatFormat, ModelConfig, ModelFile};
use signet::train::{Changes, Checkpoint};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A parser and its memory limit.
pub(crate) struct Reader {
    /// Name of the fuzz target and the folder of seeds.
    pub(crate) name: &'static str,
    /// Parses the input, and uses the result like the program.
    pub(crate) read: fn(&[u8]),
    /// Maximum bytes of memory for each byte of input,
    pub(crate) factor: u64,
    /// plus this constant.
    pub(crate) besides: u64,
}

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;

/// Maximum memory of the tokenizers library: a table up to the highest id (at most 2²⁰), expanded normalized text,
/// and compiled regular expressions.
const IDS: u64 = 256 * MB;

/// All readers.
pub(crate) const READERS: &[Reader] = &[
    Reader { name: "safetensors", read: safetensors, factor: 64, besides: 64 * KB },
    Reader { name: "json", read: json, factor: 128, besides: 64 * KB },
    Reader { name: "index", read: index, factor: 64, besides: 64 * KB },
    Reader { name: "torch", read: torch, factor: 64, besides: 16 * MB },
    Reader { name: "pickle", read: pickle, factor: 192, besides: 512 * KB },
    Reader { name: "gguf", read: gguf, factor: 256, besides: 8 * MB },
    Reader { name: "config", read: config, factor: 64, besides: 64 * KB },
    Reader { name: "tokenizer", read: tokenizer, factor: 256, besides: IDS },
    Reader { name: "beside", read: files, factor: 256, besides: IDS },
    Reader { name: "packed", read: packed, factor: 256, besides: IDS },
    Reader { name: "template", read: template, factor: 256, besides: 96 * MB },
    Reader { name: "settings", read: settings, factor: 128, besides: 256 * KB },
    Reader { name: "state", read: state, factor: 128, besides: 256 * KB },
    Reader { name: "metrics", read: metrics, factor: 64, besides: 256 * KB },
    Reader { name: "rows", read: rows, factor: 64, besides: 640 * MB },
    Reader { name: "text", read: text, factor: 64, besides: 640 * MB },
    Reader { name: "task", read: task, factor: 256, besides: 96 * MB },
];

/// Runs a reader on `bytes` and checks its peak memory.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let reader = READERS.iter().find(|reader| reader.name == name).expect("a reader");
    let most = allocator::most(|| (reader.read)(bytes));
    let allowed = reader.factor * bytes.len() as u64 + reader.besides;
    assert!(most <= allowed, "{name}: {} bytes took {most} bytes of memory; {allowed} are allowed", bytes.len());
}

/// Reads all floats of all tensors; only the first rows of tensors that are larger than their stored data.
fn all_floats(source: &dyn TensorSource, length: usize) {
    for name in source.names() {
        let shape = source.shape(&name).expect("named").to_vec();
        let (rows, cols) = match shape[..] {
            [cols] => (1, cols),
            [rows, cols] => (rows, cols),
            _ => continue,
        };
        let most = 8 * length;
        let range = 0..rows.min(most / cols.max(1));
        let count = range.len() * cols;
        let floats = source.read_rows(&name, rows, cols, range);
        assert!(floats.is_err() || floats.is_ok_and(|values| values.len() == count && values.iter().all(|value| value.is_finite())));
    }
    let _ = source.checksum();
}

fn safetensors(bytes: &[u8]) {
    let Ok(file) = TensorFile::owned("fuzz", Arc::new(bytes.to_vec())) else { return };
    all_floats(&file, bytes.len());
    file.names().iter().for_each(|name| drop(file.raw_words(name)));
}

/// JSON in Python's dialect, and detection of a file's kind by its first bytes.
fn json(bytes: &[u8]) {
    if let Ok(value) = json::value(bytes) {
        json::has_special_number(&value);
    }
    if let Some(kind) = content::detect(bytes) {
        assert!(!content::describe(kind).is_empty());
    }
}

fn index(bytes: &[u8]) {
    drop(weight_map(bytes));
}

fn torch(bytes: &[u8]) {
    if let Ok(file) = TorchFile::owned("fuzz", Arc::new(bytes.to_vec())) {
        all_floats(&file, bytes.len());
    }
}

/// A pickle in an otherwise valid archive, with the storages that the seeds refer to.
fn pickle(bytes: &[u8]) {
    let storages = ["a/data/0", "a/data/1", "a/data/2", "a/data/3", "a/data/4", "a/data/5"].map(|name| (name, &[1; 64][..]));
    torch(&archive(&[&[("a/data.pkl", bytes)], &storages[..]].concat()));
}

/// A zip archive of stored entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let (at, size, length) = ((file.len() as u32).to_le_bytes(), (data.len() as u32).to_le_bytes(), (name.len() as u16).to_le_bytes());
        file.extend([b"PK\x03\x04".as_slice(), &[0; 14], &size, &size, &length, &[0; 2], name.as_bytes(), data].concat());
        table.extend([b"PK\x01\x02".as_slice(), &[0; 16], &size, &size, &length, &[0; 12], &at, name.as_bytes()].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (size, at) = ((table.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    [&file[..], &table, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &at, &[0; 2]].concat()
}

fn gguf(bytes: &[u8]) {
    let Ok(file) = Gguf::owned("fuzz", Arc::new(bytes.to_vec())) else { return };
    all_floats(&file, bytes.len());
    if let Ok(Some(tokenizer)) = Tokenizer::from_gguf(file.metadata()) {
        speak(&tokenizer);
    }
    if let Ok(model) = ModelFile::from_gguf(file) {
        assert!(model.config.rope_frequencies().iter().all(|frequency| frequency.is_finite()));
        for tensor in model.config.tensors() {
            let _ = model.floats(&tensor.name, tensor.rows, tensor.cols);
        }
    }
}

fn config(bytes: &[u8]) {
    if let Ok(config) = ModelConfig::from_json(bytes) {
        assert!(config.rope_frequencies().iter().all(|frequency| frequency.is_finite()));
        assert!(config.parameters() > 0);
        let again = serde_json::to_vec(&config).expect("plain data");
        assert_eq!(ModelConfig::from_json(&again).expect("what was written is read"), config);
    }
}

fn tokenizer(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes) {
        speak(&tokenizer);
    }
}

/// The files beside a `tokenizer.json`, separated by zero bytes: `tokenizer_config.json`, `special_tokens_map.json`,
/// `added_tokens.json`.
fn files(bytes: &[u8]) {
    let mut files = bytes.split(|byte| *byte == 0).map(|file| JsonFields::parse(file).unwrap_or_default());
    let mut next = || files.next().unwrap_or_default();
    let files = CompanionFiles { config: next(), special_tokens_map: next(), added_tokens: next(), ..CompanionFiles::default() };
    if let Ok((tokenizer, named)) = Tokenizer::with_files(include_bytes!("seeds/tokenizer/bpe"), &files) {
        assert!(named.iter().all(|(_, text)| text.is_empty() || tokenizer.id(text).is_some()));
        let again = Tokenizer::from_json(tokenizer.to_json().expect("JSON").as_bytes()).expect("what was written is read");
        assert!(again.same_ids(&tokenizer));
        speak(&tokenizer);
    }
}

/// Encodes and decodes text with a tokenizer.
fn speak(tokenizer: &Tokenizer) {
    for text in ["", "The capital of France is", " ½ Ⅷ\n\tπ\u{1f600}</s><|end|>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        if let Ok(ids) = tokenizer.encode_document(text) {
            let _ = tokenizer.decode(&ids, true);
        }
    }
    let _ = tokenizer.decode(&[0, 1, u32::MAX], false);
    let _ = (tokenizer.vocabulary(), tokenizer.ends(), tokenizer.to_json());
}

/// `state.json` of a checkpoint, or `changes.jsonl` of a run.
fn state(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    drop(Checkpoint::parse(Path::new("state.json"), text));
    if let Ok(changes) = Changes::read(text) {
        assert_eq!(Changes::read(&changes.text()).expect("what was written is read"), changes);
    }
}

fn packed(bytes: &[u8]) {
    let Ok(model) = ModelFile::from_snapshot("fuzz", Arc::new(bytes.to_vec())) else { return };
    for (name, rows, cols) in model.config.linears() {
        if model.packed() {
            let _ = model.signs(&name, rows, cols);
        }
    }
    for (name, rows, cols) in model.config.others() {
        let _ = model.floats(&name, rows, cols);
    }
}

fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let format = ChatFormat::new(text, &[("bos_token", "<s>")]);
    if let Ok(template) = ChatTemplate::new(&format) {
        let mut messages = vec![Message::new("system", "Be brief."), Message::new("user", " Hi, \u{e9}! "), Message::new("assistant", "Yo")];
        let _ = template.render(&messages, true);
        let json = |text: &str| serde_json::from_str::<Json>(text).expect("JSON");
        let parts =
            r#"{"role": "user", "content": [{"type": "text", "text": "a"}], "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.5, "y": null}}}]}"#;
        messages.extend(Message::from_json(json(parts)));
        let given = TemplateVariables {
            tools: json(r#"[{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"type": ["a", "b"]}}}}}]"#),
            ..TemplateVariables::default()
        };
        let _ = template.render_with(&messages, &given, false);
    }
}

/// A thread's directory, removed when the thread ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "-");
        let path = std::env::temp_dir().join(format!("signet-fuzz-{}-{thread}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Calls `read` with a file `name` that contains the bytes.
fn as_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: Folder = Folder::new();
    }
    FOLDER.with(|folder| {
        let path = folder.0.join(name);
        std::fs::write(&path, bytes).expect("a scratch file");
        read(&path);
    });
}

fn settings(bytes: &[u8]) {
    as_file("run.toml", bytes, |path| drop(signet::runner::settings(path).map(|config| config.check())));
}

fn metrics(bytes: &[u8]) {
    as_file("metrics.jsonl", bytes, |path| {
        let run = path.parent().expect("a directory");
        drop(signet::train::read_metrics_chunk(run, signet::train::MetricsPosition::default()));
        drop(signet::train::read_last(run));
    });
}

fn rows(bytes: &[u8]) {
    as_file("rows.jsonl", bytes, tokenized);
}

/// Tokenizes a text file.
fn tokenized(path: &Path) {
    thread_local! {
        static WORDS: Tokenizer = Tokenizer::from_json(include_bytes!("seeds/tokenizer/bpe")).expect("a tokenizer");
    }
    let render = |conversation: Conversation| serde_json::to_string(&conversation.messages).map_err(|error| error.to_string());
    let mut callbacks = Callbacks { stop: &|| false, progress: &mut |_| {} };
    WORDS.with(|tokenizer| {
        let options = TokenizeOptions { tokenizer, field: "auto", chat: ChatRenderer { id: 0, render: &render }, cache: None };
        let Ok(store) = TokenStore::open(&[path.to_path_buf()], &options, &mut callbacks) else { return };
        let about = store.info();
        let mut ids = Vec::new();
        assert!(store.read(0..about.tokens, &mut ids).is_ok() && ids.len() as u64 == about.tokens);
        assert!((0..about.documents).all(|n| store.document(n).is_ok()));
    });
}

fn text(bytes: &[u8]) {
    as_file("text.txt", bytes, tokenized);
}

/// A task and its rows, separated by a zero byte.
fn task(bytes: &[u8]) {
    let (definition, rows) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    let Ok(Ok(task)) = std::str::from_utf8(definition).map(|text| Task::parse("fuzz.toml", text)) else { return };
    as_file("rows.jsonl", rows.strip_prefix(b"\0").unwrap_or(rows), |path| {
        let Ok(rows) = Rows::read(path, None) else { return };
        for row in &rows.rows {
            if let Ok(question) = task.question(&row.fields) {
                drop(task.shot(&question));
            }
        }
    });
}
