//! Text data: splitting, ids compared with another library, the token cache, bad files, and runs.

use crate::train::{SMALL, Scratch, run, signet, text};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use signet::assets;
use signet::data::{Callbacks, ChatRenderer, Conversation, Corpus, CorpusSplit, DataError, TokenStore, TokenizeOptions, Tokenizer, expand};
use signet::jinja::Json;
use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};

const SPLIT: CorpusSplit = CorpusSplit { share: 0.02, shuffle: 0, seq: 16 };

fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(assets::tokenizer().unwrap()).unwrap()
}

/// Renders conversations as the runner does without a teacher's template, which rejects system messages.
fn render(conversation: Conversation) -> Result<String, String> {
    let one = |message: &Json| match message.get("role").and_then(Json::as_str) {
        Some(role @ ("user" | "assistant")) => Ok(format!("<|{role}|>{}", message.get("content").and_then(Json::as_str).unwrap_or_default())),
        role => Err(format!("no role {role:?}")),
    };
    conversation.messages.iter().map(one).collect()
}

fn options<'a>(tokenizer: &'a Tokenizer, cache: Option<&'a Path>) -> TokenizeOptions<'a> {
    TokenizeOptions { tokenizer, field: "auto", chat: ChatRenderer { id: 1, render: &render }, cache }
}

fn open(paths: &[PathBuf], cache: Option<&Path>) -> Result<TokenStore, DataError> {
    let tokenizer = tokenizer();
    TokenStore::open(&expand(paths)?, &options(&tokenizer, cache), &mut Callbacks { stop: &|| false, progress: &mut |_| {} })
}

fn ids(store: &TokenStore) -> Vec<u32> {
    let mut ids = Vec::new();
    store.read(0..store.info().tokens, &mut ids).unwrap();
    ids
}

/// Train and held-out ids.
fn parts(corpus: &Corpus) -> (Vec<u32>, Vec<u32>) {
    (corpus.train.read(0..corpus.train.len()).unwrap(), corpus.held_out.read(0..corpus.held_out.len()).unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// The ids of a text as the first version of this program encoded it, before there were token stores.
fn reference_split(text: &str, seq: usize) -> (Vec<u32>, Vec<u32>) {
    let tokenizer = tokenizer();
    let documents: Vec<&str> = text.split_inclusive("<|end|>").filter(|text| !text.trim().is_empty()).map(str::trim_start).collect();
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    if documents.len() < 50 {
        let all = tokenizer.encode(text).unwrap();
        let kept = all.len() - (all.len() / 50).max(seq + 1).min(all.len());
        return (all[..kept].to_vec(), all[kept..].to_vec());
    }
    for (n, document) in documents.iter().enumerate() {
        if n % 50 == 49 { &mut held_out } else { &mut train }.extend(tokenizer.encode(document).unwrap());
    }
    (train, held_out)
}

#[test]
fn plain_text_is_split_as_in_the_first_version() {
    let scratch = Scratch::new("data-plain");
    let file = scratch.path("a.txt");
    let corpus = assets::corpus().unwrap();
    let embedded = TokenStore::embedded(corpus, &options(&tokenizer(), None)).unwrap();
    let actual = parts(&Corpus::new(embedded, None, SPLIT).unwrap());
    assert!(actual == reference_split(corpus, SPLIT.seq), "the embedded corpus");
    let few = format!("\n\n {} \n<|end|>\n\n  {}", "some words ".repeat(300), "of two documents ".repeat(40));
    let many: String = (0..173).map(|n| format!("\n {}document {n} ends here.{}", " ".repeat(n % 3), "<|end|>\n\n".repeat(1 + n % 2))).collect();
    // Pieces end inside of end tokens and characters.
    let long: String = (0..60).map(|n| format!("{}é東<|end|>\n", "x ".repeat(5000 + n))).collect();
    for text in [few, many.clone() + "and one without", many + " \n ", long, "word ".repeat(400_000)] {
        std::fs::write(&file, &text).unwrap();
        let actual = parts(&Corpus::new(open(std::slice::from_ref(&file), None).unwrap(), None, SPLIT).unwrap());
        assert!(actual == reference_split(&text, SPLIT.seq), "{:?}…", &text[..20]);
    }
}

#[test]
fn several_files_form_one_text() {
    let scratch = Scratch::new("data-several");
    let (b, a) = (scratch.path("b.txt"), scratch.path("a.txt"));
    std::fs::write(&a, "the first file\n").unwrap();
    std::fs::write(&b, "the second<|end|>\n").unwrap();
    let all = open(&[scratch.path("*.txt")], None).unwrap();
    assert_eq!(ids(&all), tokenizer().encode("the first file\n<|end|>the second<|end|>\n").unwrap());
    // Next to files of rows, a plain document is one row.
    std::fs::write(scratch.path("c.jsonl"), "{\"text\": \"a row\"}\n\n").unwrap();
    let all = open(&[a, b, scratch.path("c.jsonl")], None).unwrap();
    assert_eq!(all.info().documents, 3);
    assert_eq!(ids(&all), tokenizer().encode("the first file\n<|end|>the second<|end|>a row<|end|>").unwrap());
}

#[test]
fn compressed_rows_give_the_reference_ids() {
    let scratch = Scratch::new("data-rows");
    let rows = include_bytes!("data/rows.jsonl");
    let expected: Vec<Vec<u32>> = serde_json::from_str(include_str!("data/ids.json")).unwrap();
    let (first, second) = rows.split_at(300);
    let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &zstd(first)[..], &zstd(second)].concat();
    let compressed = [("a.jsonl", rows.to_vec()), ("a.jsonl.gz", [gzip(first), gzip(second)].concat()), ("a.ndjson.zst", zstd(rows)), ("b.jsonl.zst", skipped)];
    for (name, bytes) in compressed {
        std::fs::write(scratch.path(name), bytes).unwrap();
        let store = open(&[scratch.path(name)], None).unwrap();
        assert_eq!(ids(&store), expected.concat(), "{name}");
        let documents: Vec<u64> = (0..store.info().documents).map(|n| store.document(n).unwrap().end).collect();
        let ends: Vec<u64> = expected
            .iter()
            .scan(0, |end, ids| {
                Some({
                    *end += ids.len() as u64;
                    *end
                })
            })
            .collect();
        assert_eq!(documents, ends, "{name}");
    }
}

#[test]
fn errors_name_file_position_and_remedy() {
    let scratch = Scratch::new("data-bad");
    let row = "{\"text\": \"a\"}\n";
    // A frame with a window of 3.75 TB, and one with 64 MiB, more than its few bytes allow.
    let window = |byte: u8| [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, byte, 0x01, 0x00, 0x00][..], b"x"].concat();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 200 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("a.jsonl", format!("{row}{row}oops\n").into(), &["a.jsonl", "line 3", "character 1", "JSON object"]),
        ("a.jsonl", format!("{row}{{\"body\": 1}}\n").into(), &["line 2", "no field text, messages or token_ids; it has body", "--field"]),
        ("a.jsonl", "{\"token_ids\": [1, 4096]}\n".into(), &["line 1", "token id 4096", "0 to 4095"]),
        ("a.jsonl", "{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}]}\n".into(), &["line 1", "no role"]),
        ("a.jsonl", [row.as_bytes(), b"{\"text\": \"\xff\"}\n"].concat(), &["line 2", "UTF-8", "byte 24"]),
        ("a.json", "[{\"text\": \"a\"}]".into(), &["one JSON array", "one row per line"]),
        ("a.jsonl", "\n \n".into(), &["is empty"]),
        ("a.txt", "".into(), &["a.txt", "is empty"]),
        ("a.txt.gz", gzip(b""), &["is empty"]),
        ("a.txt", b"caf\xe9".to_vec(), &["UTF-8", "byte 3"]),
        ("a.txt", b"caf\xc3".to_vec(), &["UTF-8", "byte 3"]),
        ("a.txt.gz", gzip(b"caf\xe9 au lait"), &["UTF-8", "byte 3"]),
        ("a.zst", window(0xff), &["a.zst", "window", "--long"]),
        ("a.zst", window(0x80), &["window"]),
        ("a.gz", bomb, &["unpack to more than 500 times", "unpack it yourself"]),
        ("a.gz", [&gzip(b"some words")[..], b"junk"].concat(), &["gzip", "Get the file again"]),
        ("a.jsonl", [b"{\"text\": \"", &vec![b'a'; 70 << 20][..]].concat(), &["line 1", "longer than 64 MiB"]),
        ("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": null, \"id\": 2}\n".to_vec(), &["line 2", "the field text is null"]),
        ("a.jsonl", b"{\"text\": -Infinity}\n".to_vec(), &["line 1", "-Infinity"]),
        ("a.jsonl", b" <html><body>404</body></html>".to_vec(), &["a.jsonl: ", "HTML"]),
        ("a.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n".to_vec(), &["a.txt: ", "Git LFS pointer"]),
        ("a.txt.gz", gzip(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"), &["a.txt.gz: ", "Git LFS pointer"]),
        ("a.txt", utf16("plain words"), &["a.txt: ", "UTF-16"]),
        ("a.jsonl", utf16("\u{feff}{\"text\": \"words\"}"), &["a.jsonl: ", "UTF-16"]),
        ("a.txt", b"\xfd7zXZ\0\0\x04\xe6".to_vec(), &["a.txt: ", "xz"]),
        ("a.jsonl", b"BZh91AY&SY\x94\x12".to_vec(), &["a.jsonl: ", "bzip2"]),
        ("a.jsonl", vec![0; 4096], &["a.jsonl: ", "zero bytes"]),
    ];
    for (name, bytes, expected) in cases {
        let path = scratch.path(name);
        std::fs::write(&path, bytes).unwrap();
        let error = open(&[path], None).unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{name}: {error}");
    }
    for (path, expected) in [("*.nothing", "no file matches this pattern"), ("none.txt", "no such file"), ("[", "is not a valid pattern")] {
        let error = open(&[scratch.path(path)], None).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(path), "{path}: {error}");
    }
    let error = open(&[scratch.path("")], None).unwrap_err().to_string();
    assert!(error.contains("is a directory") && error.contains("/*'"), "{error}");
}

/// A text in UTF-16.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn byte_order_marks_padding_and_special_numbers_are_accepted() {
    let scratch = Scratch::new("data-over");
    let rows = "\u{feff}{\"text\": \"one row\", \"score\": NaN}\n\u{feff}{\"text\": \"half \\udc00 of a pair\"}\n";
    let padded = [&gzip(rows.as_bytes())[..], &[0; 1024]].concat();
    let expected = ["one row<|end|>", "half \u{fffd} of a pair<|end|>"].map(|row| tokenizer().encode(row).unwrap()).concat();
    for (name, bytes) in [("a.jsonl", rows.as_bytes().to_vec()), ("b.jsonl.gz", padded)] {
        std::fs::write(scratch.path(name), bytes).unwrap();
        assert_eq!(ids(&open(&[scratch.path(name)], None).unwrap()), expected, "{name}");
    }
    std::fs::write(scratch.path("c.txt"), "\u{feff}plain words").unwrap();
    assert_eq!(ids(&open(&[scratch.path("c.txt")], None).unwrap()), tokenizer().encode("plain words").unwrap());
}

#[test]
fn truncated_and_damaged_files_are_refused() {
    let scratch = Scratch::new("data-cut");
    let words: String = (0..400).map(|n| format!("word {} ", n * n % 61)).collect();
    for (name, whole) in [("a.gz", gzip(words.as_bytes())), ("a.zst", zstd(words.as_bytes()))] {
        let path = scratch.path(name);
        // Shorter than the magic number, it is treated as text.
        for length in 4..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = open(std::slice::from_ref(&path), None).unwrap_err().to_string();
            assert!(error.contains("is cut off") || error.contains("is damaged"), "{name} at {length}: {error}");
        }
        for at in (4..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            std::fs::write(&path, &damaged).unwrap();
            // Some header bytes do not affect the contents.
            if let Ok(store) = open(std::slice::from_ref(&path), None) {
                assert_eq!(ids(&store), tokenizer().encode(&words).unwrap(), "{name} at {at}");
            }
        }
    }
}

/// A text that is large enough to be cached.
fn large(scratch: &Scratch, name: &str) -> PathBuf {
    let rows: String = (0..30_000).map(|n| format!("{{\"text\": \"document number {n} of a text that is kept, {}\"}}\n", n * n)).collect();
    std::fs::write(scratch.path(name), rows).unwrap();
    scratch.path(name)
}

#[test]
fn concurrent_opens_tokenize_a_text_once() {
    let scratch = Scratch::new("data-cache");
    let (file, cache, tokenizer) = (large(&scratch, "a.jsonl"), scratch.path("tokens"), tokenizer());
    let tokenized = Cell::new(0);
    let open = |file: &PathBuf, stop: &dyn Fn() -> bool| {
        let mut callbacks = Callbacks { stop, progress: &mut |progress| tokenized.set(tokenized.get() + usize::from(progress.tokenizing)) };
        TokenStore::open(std::slice::from_ref(file), &options(&tokenizer, Some(&cache)), &mut callbacks)
    };
    // After a stop half-way, only the lock remains.
    let calls = Cell::new(0);
    let stop = || calls.replace(calls.get() + 1) > 0;
    assert!(matches!(open(&file, &stop), Err(DataError::Stopped)));
    let left: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.len() == 1 && left[0].ends_with(".lock"), "{left:?}");
    // Two processes: one makes the cache, the other waits.
    let stores: Vec<TokenStore> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| self::open(std::slice::from_ref(&file), Some(&cache)).unwrap())).collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let directory = stores[0].directory().unwrap().to_path_buf();
    assert_eq!((stores[1].directory(), ids(&stores[0]) == ids(&stores[1])), (Some(directory.as_path()), true));
    drop(stores);
    tokenized.set(0);
    let reopened = open(&file, &|| false).unwrap();
    assert_eq!((reopened.directory(), tokenized.get(), reopened.info().documents), (Some(directory.as_path()), 0, 30_000));
    let whole: String = std::fs::read_to_string(&file).unwrap();
    let expected = whole.lines().flat_map(|line| tokenizer.encode(&(line[10..line.len() - 2].to_string() + "<|end|>")).unwrap());
    assert!(ids(&reopened).into_iter().eq(expected), "the ids of encoding directly");
    // A copy has the same key; a changed byte changes it.
    std::fs::copy(&file, scratch.path("b.jsonl")).unwrap();
    assert_eq!(open(&scratch.path("b.jsonl"), &|| false).unwrap().directory(), Some(directory.as_path()));
    std::fs::write(scratch.path("b.jsonl"), whole.replace("number 7 ", "number 8 ")).unwrap();
    assert_ne!(open(&scratch.path("b.jsonl"), &|| false).unwrap().directory(), Some(directory.as_path()));
    // A truncated cache is rebuilt; invalid ids are errors when read.
    let ids_file = directory.join("ids");
    let bytes = std::fs::read(&ids_file).unwrap();
    std::fs::write(&ids_file, &bytes[..bytes.len() - 2]).unwrap();
    drop(reopened);
    assert_eq!(std::fs::read(open(&file, &|| false).unwrap().directory().unwrap().join("ids")).unwrap(), bytes);
    std::fs::write(&ids_file, vec![0xff; bytes.len()]).unwrap();
    let mut out = Vec::new();
    let error = open(&file, &|| false).unwrap().read(0..4, &mut out).unwrap_err().to_string();
    assert!(error.contains("is damaged") && error.contains("Delete it"), "{error}");
}

#[test]
fn shuffling_keeps_documents_whole_and_the_held_out_set() {
    let scratch = Scratch::new("data-shuffle");
    // Documents of 1 to 7 ids that encode the document's number.
    let rows: String = (0..1000u32).map(|n| format!("{{\"token_ids\": {:?}}}\n", vec![n; 1 + n as usize % 7])).collect();
    std::fs::write(scratch.path("a.jsonl"), rows).unwrap();
    let corpus = |shuffle| Corpus::new(open(&[scratch.path("a.jsonl")], None).unwrap(), None, CorpusSplit { shuffle, share: 0.1, ..SPLIT }).unwrap();
    let plain = parts(&corpus(0));
    assert!(plain.0.is_sorted() && plain.1.chunk_by(|a, b| a == b).map(|ids| ids[0]).eq((9..1000).step_by(10)), "{:?}", plain.1);
    let mut orders = Vec::new();
    for shuffle in [1, 2] {
        let corpus = corpus(shuffle);
        let shuffled = parts(&corpus);
        for (actual, expected) in [(&shuffled.0, &plain.0), (&shuffled.1, &plain.1)] {
            let documents: Vec<&[u32]> = actual.chunk_by(|a, b| a == b).collect();
            assert!(documents.iter().all(|ids| ids.len() == 1 + ids[0] as usize % 7), "a document is torn");
            let mut sorted = actual.clone();
            sorted.sort_unstable();
            assert_eq!(&sorted, expected);
        }
        let middle = corpus.train.read(1000..1100).unwrap();
        assert_eq!(middle, shuffled.0[1000..1100]);
        orders.push(shuffled.0);
    }
    assert!(orders[0] != orders[1] && orders[0] != plain.0);
    assert!(parts(&corpus(1)).0 == orders[0]);
    let other = open(&[scratch.path("a.jsonl")], None).unwrap();
    let separate = Corpus::new(open(&[scratch.path("a.jsonl")], None).unwrap(), Some(other), SPLIT).unwrap();
    assert_eq!(separate.train.len(), separate.held_out.len());
}

#[test]
fn runs_train_on_patterns_of_compressed_rows_and_resume() {
    let scratch = Scratch::new("data-run");
    std::fs::write(scratch.path("small.json"), SMALL).unwrap();
    let chat = |n: usize| format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"say {n}\"}}, {{\"role\": \"assistant\", \"content\": \"{n}!\"}}]}}\n");
    for (part, rows) in [(0, 0..100), (1, 100..200)] {
        std::fs::write(scratch.path(&format!("part-{part}.jsonl.gz")), gzip(rows.map(chat).collect::<String>().as_bytes())).unwrap();
    }
    let (pattern, runs, small) = (scratch.path("part-*.gz"), scratch.path("runs"), scratch.path("small.json"));
    let (pattern, runs, small) = (pattern.to_str().unwrap(), runs.to_str().unwrap(), small.to_str().unwrap());
    let (success, output) = run(&["data", pattern, "--teacher", "none", "--seq", "32", "--documents", "1", "--shuffle", "3"]);
    assert!(success && output.contains("2 files: 200 documents") && output.contains(r#"document 1 "<|user|>say 0<|assistant|>0!<|end|>""#), "{output}");
    let mut train = vec!["train", "--device", "cpu", "--teacher", "none", "--loss", "ar", "--model", small, "--runs", runs, "--name", "chat"];
    train.extend(["--data", pattern, "--seq", "32", "--batch", "2", "--steps", "4", "--warmup", "1", "--sample-every", "0", "--shuffle", "3"]);
    let (success, output) = run(&train);
    assert!(success, "{output}");
    let settings = std::fs::read_to_string(scratch.path("runs/chat/run.toml")).unwrap();
    assert!(settings.contains("part-0.jsonl.gz") && settings.contains("part-1.jsonl.gz") && !settings.contains('*'), "{settings}");
    // The same pattern resumes; with one more file it is different data.
    let resume = [&train[..], &["--resume"]].concat();
    assert!(run(&resume).0);
    std::fs::write(scratch.path("part-2.jsonl.gz"), gzip(chat(3).as_bytes())).unwrap();
    let (success, output) = run(&resume);
    assert!(!success && output.contains("data was") && output.contains("part-2"), "{output}");
    let (success, output) = run(&["train", "--resume", "--runs", runs, "--name", "chat"]);
    assert!(success, "{output}");
}

#[test]
fn perplexity_reads_compressed_text_and_rows() {
    let scratch = Scratch::new("data-perplexity");
    let words: String = (0..400).map(|n| format!("word {} ", n * n % 61)).collect();
    std::fs::write(scratch.path("a.txt"), &words).unwrap();
    std::fs::write(scratch.path("a.txt.gz"), gzip(words.as_bytes())).unwrap();
    std::fs::write(scratch.path("a.jsonl"), format!("{{\"text\": {words:?}}}\n")).unwrap();
    let measure = |name: &str| {
        let output = signet(&["eval", "--device", "cpu", "--json", "--perplexity", scratch.path(name).to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let report = &report["perplexity"];
        (report["perplexity"].as_f64().unwrap(), report["tokens"].as_u64().unwrap())
    };
    let plain = measure("a.txt");
    assert_eq!(plain, measure("a.txt.gz"));
    // A single row is the same text with an end token.
    assert_eq!(measure("a.jsonl").1, plain.1 + 1);
}
