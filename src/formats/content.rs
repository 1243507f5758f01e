//! Detects the kind of a file's content by its first bytes, so that errors can name what a file is instead of the
//! expected format: a Git LFS pointer, an HTML page, compressed data. Pure.

use super::FormatError;
use std::path::Path;

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// No bytes.
    Empty,
    /// Zeros, as an interrupted download or a lost sector leaves them.
    Zeros,
    /// A Git LFS pointer.
    LfsPointer,
    /// An HTML page.
    Html,
    /// XML, such as a storage server's error.
    Xml,
    /// JSON: an object or an array.
    Json,
    /// A server's error response in JSON.
    ServerError,
    /// Text in UTF-16, as PowerShell writes it.
    Utf16,
    /// Text in UTF-32.
    Utf32,
    /// Data compressed by gzip.
    Gzip,
    /// Data compressed by zstd.
    Zstd,
    /// Data compressed by bzip2.
    Bzip2,
    /// Data compressed by xz.
    Xz,
    /// Data compressed by LZ4.
    Lz4,
    /// A zip archive, such as a PyTorch file.
    Zip,
    /// A 7-Zip archive.
    SevenZip,
    /// A RAR archive.
    Rar,
    /// A tar archive.
    Tar,
    /// A Python pickle, such as a PyTorch file before version 1.6.
    Pickle,
    /// A llama.cpp model.
    Gguf,
    /// A model in a format before GGUF.
    Ggml,
    /// A safetensors file.
    Safetensors,
    /// A Parquet table.
    Parquet,
    /// An Arrow table.
    Arrow,
    /// A NumPy array.
    Numpy,
    /// An HDF5 file.
    Hdf5,
    /// A PDF document.
    Pdf,
    /// An image.
    Picture,
    /// An executable or library.
    Program,
}

impl ContentKind {
    /// A noun phrase for messages, and advice.
    fn phrase(self) -> (&'static str, &'static str) {
        const AGAIN: &str = "Download it again";
        const LINES: &str = "Convert it to JSON lines first";
        match self {
            ContentKind::Empty => ("empty", AGAIN),
            ContentKind::Zeros => ("only zero bytes", AGAIN),
            ContentKind::LfsPointer => ("a Git LFS pointer, not the file itself", "Run `git lfs pull`"),
            ContentKind::Html => ("an HTML page, not the file itself", "Download it again; on Hugging Face, file addresses have /resolve/ instead of /blob/"),
            ContentKind::Xml => ("an XML document, not the file itself", "Download it again"),
            ContentKind::Json => ("JSON", AGAIN),
            ContentKind::ServerError => ("a server's error message in JSON, not the file itself", "Download it again"),
            ContentKind::Utf16 => ("text in UTF-16", "Convert it to UTF-8 (in PowerShell: Out-File -Encoding utf8)"),
            ContentKind::Utf32 => ("text in UTF-32", "Convert it to UTF-8"),
            ContentKind::Gzip => ("compressed by gzip", "Unpack it with gunzip"),
            ContentKind::Zstd => ("compressed by zstd", "Unpack it with unzstd"),
            ContentKind::Bzip2 => ("compressed by bzip2", "Unpack it with bunzip2"),
            ContentKind::Xz => ("compressed by xz", "Unpack it with unxz"),
            ContentKind::Lz4 => ("compressed by LZ4", "Unpack it with unlz4"),
            ContentKind::Zip => ("a zip archive", "Unpack it, or if it is a PyTorch file, rename it to pytorch_model.bin"),
            ContentKind::SevenZip => ("a 7-Zip archive", "Unpack it"),
            ContentKind::Rar => ("a RAR archive", "Unpack it"),
            ContentKind::Tar => ("a tar archive", "Unpack it"),
            ContentKind::Pickle => ("a Python pickle", "If it is a PyTorch file, rename it to pytorch_model.bin"),
            ContentKind::Gguf => ("a GGUF file", "Pass it as the model; its name must end in .gguf"),
            ContentKind::Ggml => ("a file of an older format than GGUF", "Convert the original model with a current llama.cpp"),
            ContentKind::Safetensors => ("a safetensors file", "Rename it to model.safetensors"),
            ContentKind::Parquet => ("a Parquet table", LINES),
            ContentKind::Arrow => ("an Arrow table", LINES),
            ContentKind::Numpy => ("a NumPy array", "Save the tensors as safetensors"),
            ContentKind::Hdf5 => ("an HDF5 file", "Save the tensors as safetensors"),
            ContentKind::Pdf => ("a PDF document", "Save its text in UTF-8"),
            ContentKind::Picture => ("an image", "Choose another file"),
            ContentKind::Program => ("an executable", "Choose another file"),
        }
    }
}

/// Magic numbers at the start of a file.
const MAGIC: [(&[u8], ContentKind); 33] = [
    (b"version https://git-lfs.github.com/spec/", ContentKind::LfsPointer),
    (b"version https://hawser.github.com/spec/", ContentKind::LfsPointer),
    (b"\xff\xfe\0\0", ContentKind::Utf32),
    (b"\0\0\xfe\xff", ContentKind::Utf32),
    (b"\xff\xfe", ContentKind::Utf16),
    (b"\xfe\xff", ContentKind::Utf16),
    (b"\x1f\x8b", ContentKind::Gzip),
    (b"\x28\xb5\x2f\xfd", ContentKind::Zstd),
    (b"BZh", ContentKind::Bzip2),
    (b"\xfd7zXZ\0", ContentKind::Xz),
    (b"\x04\x22\x4d\x18", ContentKind::Lz4),
    (b"PK\x03\x04", ContentKind::Zip),
    (b"PK\x05\x06", ContentKind::Zip),
    (b"7z\xbc\xaf\x27\x1c", ContentKind::SevenZip),
    (b"Rar!\x1a\x07", ContentKind::Rar),
    (b"\x80\x02", ContentKind::Pickle),
    (b"\x80\x03", ContentKind::Pickle),
    (b"\x80\x04", ContentKind::Pickle),
    (b"\x80\x05", ContentKind::Pickle),
    (b"GGUF", ContentKind::Gguf),
    // The magic numbers of ggml, ggmf, ggjt and ggla, little-endian.
    (b"lmgg", ContentKind::Ggml),
    (b"fmgg", ContentKind::Ggml),
    (b"tjgg", ContentKind::Ggml),
    (b"algg", ContentKind::Ggml),
    (b"PAR1", ContentKind::Parquet),
    (b"ARROW1", ContentKind::Arrow),
    (b"\x93NUMPY", ContentKind::Numpy),
    (b"\x89HDF\r\n\x1a\n", ContentKind::Hdf5),
    (b"%PDF-", ContentKind::Pdf),
    (b"\x89PNG\r\n\x1a\n", ContentKind::Picture),
    (b"\xff\xd8\xff", ContentKind::Picture),
    (b"\x7fELF", ContentKind::Program),
    (b"MZ\x90\0", ContentKind::Program),
];

/// Bytes at the start of a file that are enough to detect its kind.
pub const START: u64 = 4096;

/// For a longer magic number, this many bytes are enough.
const LONG: usize = 16;

/// The longest header of a safetensors file, in bytes; files of other kinds begin with arbitrary lengths.
pub const MAX_HEADER: u64 = 100_000_000;

/// UTF-8's byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Detects the kind of a file by its first bytes; `None` if it is unknown.
pub fn detect(start: &[u8]) -> Option<ContentKind> {
    let text = start.strip_prefix(MARK).unwrap_or(start);
    if start.is_empty() {
        return Some(ContentKind::Empty);
    }
    if start.len() >= 8 && start.iter().all(|byte| *byte == 0) {
        return Some(ContentKind::Zeros);
    }
    // Before the magic numbers, since the header length may start with one.
    if let Some((length, [b'{', ..])) = start.split_first_chunk()
        && u64::from_le_bytes(*length) <= MAX_HEADER
    {
        return Some(ContentKind::Safetensors);
    }
    // The start of a long magic number is enough.
    let has_magic = |magic: &[u8]| text.starts_with(magic) || text.len() >= LONG && magic.starts_with(text);
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| has_magic(magic)) {
        return Some(*kind);
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some(ContentKind::Tar);
    }
    if is_wide(start) {
        return Some(ContentKind::Utf16);
    }
    markup_kind(text.trim_ascii_start())
}

/// Returns true if every other byte is zero and the rest printable ASCII.
fn is_wide(start: &[u8]) -> bool {
    let pairs = &start.as_chunks::<2>().0[..(start.len() / 2).min(32)];
    let plain = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    pairs.len() >= 4 && (pairs.iter().all(|[low, high]| plain(*low) && *high == 0) || pairs.iter().all(|[high, low]| plain(*low) && *high == 0))
}

/// Detects the kind of a text by its start.
fn markup_kind(text: &[u8]) -> Option<ContentKind> {
    let has_magic = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    match text {
        [b'<', ..] if has_magic("<?xml") => Some(ContentKind::Xml),
        [b'<', ..] if ["<!doctype", "<html", "<head", "<body", "<!--", "<title", "<center", "<h1"].iter().any(|word| has_magic(word)) => {
            Some(ContentKind::Html)
        }
        [b'{', ..] if is_server_error(text) => Some(ContentKind::ServerError),
        [b'{' | b'[', ..] => Some(ContentKind::Json),
        _ => None,
    }
}

/// Returns true for a JSON object that consists of little but an error.
fn is_server_error(text: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(text) else { return false };
    fields.len() <= 6 && ["error", "errors", "message", "detail"].iter().any(|name| fields.get(*name).is_some_and(|value| !value.is_null()))
}

/// Fails if the file is of a known kind other than those `expected`.
pub fn expect(path: &Path, start: &[u8], expected: &[ContentKind]) -> Result<(), FormatError> {
    match detect(start).filter(|kind| !expected.contains(kind)) {
        Some(kind) => Err(wrong_kind(path, kind)),
        None => Ok(()),
    }
}

/// The error of a file of an unexpected kind.
pub fn wrong_kind(path: &Path, kind: ContentKind) -> FormatError {
    FormatError::unreadable(path, describe(kind))
}

/// A sentence with the kind of a file, and advice.
pub fn describe(kind: ContentKind) -> String {
    let (what, advice) = kind.phrase();
    let verb = if kind == ContentKind::Empty || what.starts_with("compressed") { "it is" } else { "this is" };
    format!("{verb} {what}. {advice}")
}

/// Strips UTF-8's byte order mark.
pub fn strip_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(start: &[u8], expected: &[ContentKind]) -> String {
        expect(Path::new("m/file"), start, expected).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn messages_name_the_kind() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for (start, words) in [
            (
                &b"version https://git-lfs.github.com/spec/v1
oid sha256:0
size 1
"[..],
                "this is a Git LFS pointer, not the file itself. Run `git lfs pull`",
            ),
            (b"\xef\xbb\xbf\r\n <!DOCTYPE html><html>", "an HTML page"),
            (b"<HTML><head>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
            (b"{\"error\": \"Repository not found\"}", "a server's error message"),
            (b"{\"architectures\": []}", "this is JSON"),
            (b"\x1f\x8b\x08", "it is compressed by gzip. Unpack it with gunzip"),
            (b"", "it is empty"),
            (&[0; 512], "only zero bytes"),
            (&wide("{\"a\": 1}"), "text in UTF-16"),
            (&wide("\u{feff}{}"), "text in UTF-16"),
            (b"tjgg\x03\0\0\0", "an older format than GGUF"),
            (b"\x40\0\0\0\0\0\0\0{\"a\":", "a safetensors file"),
        ] {
            let problem = problem(start, &[]);
            assert!(problem.starts_with("cannot read m/file: ") && problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn expected_and_unknown_kinds_pass() {
        assert_eq!(problem(b"PK\x03\x04", &[ContentKind::Zip]), "");
        assert_eq!(problem(b"plain words", &[]), "");
        assert_eq!(problem(b"{\"model_type\": \"llama\", \"message\": null}", &[ContentKind::Json]), "");
        assert_eq!(strip_bom(b"\xef\xbb\xbf{}"), b"{}");
    }
}
