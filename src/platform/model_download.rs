//! Types for downloading models in a page, which stores them in private storage. Natively, a model is a file.

/// A model in private storage, complete or partial.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredModel {
    /// The file's name.
    pub name: String,
    /// The URL it came from.
    pub url: String,
    /// Bytes stored.
    pub bytes: u64,
    /// Bytes in all, if the server sent the length.
    pub of: Option<u64>,
    /// True if it is complete.
    pub whole: bool,
}

/// The quota of private storage, as the browser reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StorageQuota {
    /// Bytes that this site uses.
    pub used: u64,
    /// Bytes that it may use.
    pub quota: u64,
    /// Why files are lost when the page closes, if they are.
    pub fleeting: Option<String>,
}

/// The verdict on a file's first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderCheck {
    /// This many bytes are needed.
    More(u64),
    /// The file is a model.
    Good,
    /// The file is something else, described here.
    Bad(String),
}

/// A download request.
pub struct DownloadRequest<'a> {
    /// The URL.
    pub url: &'a str,
    /// The expected SHA-256 in hexadecimal, if known.
    pub sha256: Option<&'a str>,
    /// Checks the first bytes.
    pub check_start: &'a dyn Fn(&[u8]) -> HeaderCheck,
    /// Returns true to stop; partial data is kept.
    pub stop: &'a dyn Fn() -> bool,
}

/// Progress of a download.
#[derive(Clone, Debug, PartialEq)]
pub struct DownloadProgress {
    /// The model's name.
    pub name: String,
    /// Bytes stored.
    pub done: u64,
    /// Bytes in all, if the server sent the length.
    pub of: Option<u64>,
    /// Bytes per second.
    pub rate: f64,
    /// A status note.
    pub note: String,
}

/// A downloaded model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadedModel {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}
