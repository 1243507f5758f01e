//! Models from the network: what is asked, and what is told. A page keeps them in its private storage;
//! natively a model is a file like others.

/// A model that was fetched, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeptModel {
    /// Its name: the file's.
    pub name: String,
    /// Where it came from.
    pub url: String,
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes that it has in all, if the server told.
    pub of: Option<u64>,
    /// Whether all of it is here.
    pub whole: bool,
}

/// The private storage, as far as the browser tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Room {
    /// Bytes in use by this site.
    pub used: u64,
    /// Bytes that it may use.
    pub quota: u64,
    /// Why nothing that is done here outlives the page, if so.
    pub fleeting: Option<String>,
}

/// What the beginning of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So many bytes are needed to tell.
    More(u64),
    /// It is a model.
    Good,
    /// It is something else: what.
    Bad(String),
}

/// What is to be fetched, and how it is known.
pub struct Wanted<'a> {
    /// Its address.
    pub url: &'a str,
    /// The SHA-256 that it must have, in hexadecimal, if that is known.
    pub sha256: Option<&'a str>,
    /// Judges it by its beginning.
    pub judge: &'a dyn Fn(&[u8]) -> Verdict,
    /// Whether to stop; what is here is kept.
    pub stop: &'a dyn Fn() -> bool,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetching {
    /// The model's name.
    pub name: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all, if the server tells.
    pub of: Option<u64>,
    /// Bytes a second.
    pub rate: f64,
    /// What goes on besides.
    pub note: String,
}

/// A model that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its name.
    pub name: String,
    /// The path to open it by.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}
