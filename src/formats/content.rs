//! Detects the kind of a file's content by its first bytes, so that errors can name what a file is instead of the
//! expected format: a Git LFS pointer, an HTML page, compressed data. Pure.

use super::FormatError;
use std::path::Path;

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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

impl Kind {
    /// A noun phrase for messages, and advice.
    fn phrase(self) -> (&'static str, &'static str) {
        const AGAIN: &str = "Download it again";
        const LINES: &str = "Convert it to JSON lines first";
        match self {
            Kind::Empty => ("empty", AGAIN),
            Kind::Zeros => ("only zero bytes", AGAIN),
            Kind::LfsPointer => ("a Git LFS pointer, not the file itself", "Run `git lfs pull`"),
            Kind::Html => ("an HTML page, not the file itself", "Download it again; on Hugging Face, file addresses have /resolve/ instead of /blob/"),
            Kind::Xml => ("an XML document, not the file itself", "Download it again"),
            Kind::Json => ("JSON", AGAIN),
            Kind::ServerError => ("a server's error message in JSON, not the file itself", "Download it again"),
            Kind::Utf16 => ("text in UTF-16", "Convert it to UTF-8 (in PowerShell: Out-File -Encoding utf8)"),
            Kind::Utf32 => ("text in UTF-32", "Convert it to UTF-8"),
            Kind::Gzip => ("compressed by gzip", "Unpack it with gunzip"),
            Kind::Zstd => ("compressed by zstd", "Unpack it with unzstd"),
            Kind::Bzip2 => ("compressed by bzip2", "Unpack it with bunzip2"),
            Kind::Xz => ("compressed by xz", "Unpack it with unxz"),
            Kind::Lz4 => ("compressed by LZ4", "Unpack it with unlz4"),
            Kind::Zip => ("a zip archive", "Unpack it, or if it is a PyTorch file, rename it to pytorch_model.bin"),
            Kind::SevenZip => ("a 7-Zip archive", "Unpack it"),
            Kind::Rar => ("a RAR archive", "Unpack it"),
            Kind::Tar => ("a tar archive", "Unpack it"),
            Kind::Pickle => ("a Python pickle", "If it is a PyTorch file, rename it to pytorch_model.bin"),
            Kind::Gguf => ("a GGUF file", "Pass it as the model; its name must end in .gguf"),
            Kind::Ggml => ("a file of an older format than GGUF", "Convert the original model with a current llama.cpp"),
            Kind::Safetensors => ("a safetensors file", "Rename it to model.safetensors"),
            Kind::Parquet => ("a Parquet table", LINES),
            Kind::Arrow => ("an Arrow table", LINES),
            Kind::Numpy => ("a NumPy array", "Save the tensors as safetensors"),
            Kind::Hdf5 => ("an HDF5 file", "Save the tensors as safetensors"),
            Kind::Pdf => ("a PDF document", "Save its text in UTF-8"),
            Kind::Picture => ("an image", "Choose another file"),
            Kind::Program => ("an executable", "Choose another file"),
        }
    }
}

/// Magic numbers at the start of a file.
const MAGIC: [(&[u8], Kind); 33] = [
    (b"version https://git-lfs.github.com/spec/", Kind::LfsPointer),
    (b"version https://hawser.github.com/spec/", Kind::LfsPointer),
    (b"\xff\xfe\0\0", Kind::Utf32),
    (b"\0\0\xfe\xff", Kind::Utf32),
    (b"\xff\xfe", Kind::Utf16),
    (b"\xfe\xff", Kind::Utf16),
    (b"\x1f\x8b", Kind::Gzip),
    (b"\x28\xb5\x2f\xfd", Kind::Zstd),
    (b"BZh", Kind::Bzip2),
    (b"\xfd7zXZ\0", Kind::Xz),
    (b"\x04\x22\x4d\x18", Kind::Lz4),
    (b"PK\x03\x04", Kind::Zip),
    (b"PK\x05\x06", Kind::Zip),
    (b"7z\xbc\xaf\x27\x1c", Kind::SevenZip),
    (b"Rar!\x1a\x07", Kind::Rar),
    (b"\x80\x02", Kind::Pickle),
    (b"\x80\x03", Kind::Pickle),
    (b"\x80\x04", Kind::Pickle),
    (b"\x80\x05", Kind::Pickle),
    (b"GGUF", Kind::Gguf),
    // The magic numbers of ggml, ggmf, ggjt and ggla, little-endian.
    (b"lmgg", Kind::Ggml),
    (b"fmgg", Kind::Ggml),
    (b"tjgg", Kind::Ggml),
    (b"algg", Kind::Ggml),
    (b"PAR1", Kind::Parquet),
    (b"ARROW1", Kind::Arrow),
    (b"\x93NUMPY", Kind::Numpy),
    (b"\x89HDF\r\n\x1a\n", Kind::Hdf5),
    (b"%PDF-", Kind::Pdf),
    (b"\x89PNG\r\n\x1a\n", Kind::Picture),
    (b"\xff\xd8\xff", Kind::Picture),
    (b"\x7fELF", Kind::Program),
    (b"MZ\x90\0", Kind::Program),
];

/// Bytes at the start of a file that are enough to detect its kind.
pub const START: u64 = 4096;

/// For a longer magic number, this many bytes are enough.
const LONG: usize = 16;

/// The longest header of a safetensors file, in bytes; files of other kinds begin with arbitrary lengths.
pub const LONGEST_HEADER: u64 = 100_000_000;

/// UTF-8's byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Detects the kind of a file by its first bytes; `None` if it is unknown.
pub fn kind(start: &[u8]) -> Option<Kind> {
    let text = start.strip_prefix(MARK).unwrap_or(start);
    if start.is_empty() {
        return Some(Kind::Empty);
    }
    if start.len() >= 8 && start.iter().all(|byte| *byte == 0) {
        return Some(Kind::Zeros);
    }
    // Before the magic numbers, since the header length may start with one.
    if let Some((length, [b'{', ..])) = start.split_first_chunk()
        && u64::from_le_bytes(*length) <= LONGEST_HEADER
    {
        return Some(Kind::Safetensors);
    }
    // The start of a long magic number is enough.
    let begins = |magic: &[u8]| text.starts_with(magic) || text.len() >= LONG && magic.starts_with(text);
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| begins(magic)) {
        return Some(*kind);
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some(Kind::Tar);
    }
    if is_wide(start) {
        return Some(Kind::Utf16);
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
fn markup_kind(text: &[u8]) -> Option<Kind> {
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    match text {
        [b'<', ..] if begins("<?xml") => Some(Kind::Xml),
        [b'<', ..] if ["<!doctype", "<html", "<head", "<body", "<!--", "<title", "<center", "<h1"].iter().any(|word| begins(word)) => Some(Kind::Html),
        [b'{', ..] if is_server_error(text) => Some(Kind::ServerError),
        [b'{' | b'[', ..] => Some(Kind::Json),
        _ => None,
    }
}

/// Returns true for a JSON object that consists of little but an error.
fn is_server_error(text: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(text) else { return false };
    fields.len() <= 6 && ["error", "errors", "message", "detail"].iter().any(|name| fields.get(*name).is_some_and(|value| !value.is_null()))
}

/// Fails if the file is of a known kind other than those `wanted`.
pub fn expect(path: &Path, start: &[u8], wanted: &[Kind]) -> Result<(), FormatError> {
    match kind(start).filter(|kind| !wanted.contains(kind)) {
        Some(kind) => Err(refused(path, kind)),
        None => Ok(()),
    }
}

/// The error of a file of an unexpected kind.
pub fn refused(path: &Path, kind: Kind) -> FormatError {
    FormatError::unreadable(path, described(kind))
}

/// A sentence with the kind of a file, and advice.
pub fn described(kind: Kind) -> String {
    let (what, advice) = kind.phrase();
    let verb = if kind == Kind::Empty || what.starts_with("compressed") { "it is" } else { "this is" };
    format!("{verb} {what}. {advice}")
}

/// Strips UTF-8's byte order mark.
pub fn strip_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(start: &[u8], wanted: &[Kind]) -> String {
        expect(Path::new("m/file"), start, wanted).err().map(|error| error.to_string()).unwrap_or_default()
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
        assert_eq!(problem(b"PK\x03\x04", &[Kind::Zip]), "");
        assert_eq!(problem(b"plain words", &[]), "");
        assert_eq!(problem(b"{\"model_type\": \"llama\", \"message\": null}", &[Kind::Json]), "");
        assert_eq!(strip_bom(b"\xef\xbb\xbf{}"), b"{}");
    }
}
