//! Model downloads on a desktop: not supported, since a model is a file.

use crate::platform::model_download::{DownloadProgress, DownloadRequest, DownloadedModel, StorageQuota, StoredModel};
use std::io;

fn a_file() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "cannot fetch a model here: download it with another program and pass the file")
}

/// Lists stored models and the storage quota.
pub async fn stored_models() -> io::Result<(Vec<StoredModel>, StorageQuota)> {
    Err(a_file())
}

/// Deletes a model.
pub async fn delete_model(_name: &str) -> io::Result<()> {
    Err(a_file())
}

/// Downloads a model; `None` if it was stopped.
pub async fn fetch_model(_wanted: DownloadRequest<'_>, _tell: &mut dyn FnMut(DownloadProgress)) -> io::Result<Option<DownloadedModel>> {
    Err(a_file())
}
