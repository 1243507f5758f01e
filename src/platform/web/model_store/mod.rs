//! Downloaded models: plain files of the private file system, which every tab can read in pieces, each with a metadata
//! file.

mod fetch_model;
mod response;

pub use fetch_model::fetch_model;

use super::blobs;
use super::failure::{error, name};
use super::handle::Handle;
use super::storage::{Mounted, directory, file, manager, mounted, names, open};
use crate::platform::disk::ByteStore;
use crate::platform::model_download::{StorageQuota, StoredModel};
use js_sys::{Date, Reflect};
use serde::{Deserialize, Serialize};
use std::io;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, FileSystemDirectoryHandle};

/// The directory of models.
const MODELS: &str = "models";
/// The suffix of a metadata file.
const NOTES: &str = ".json";
/// Milliseconds that another worker may take to close a file.
const PATIENCE: f64 = 1000.0;

/// The metadata of a model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Notes {
    url: String,
    /// Bytes in all.
    of: Option<u64>,
    /// The server's ETag or modification date.
    validator: Option<String>,
    whole: bool,
}

async fn models_directory() -> io::Result<FileSystemDirectoryHandle> {
    directory(MODELS).await.map_err(error)
}

async fn get(directory: &FileSystemDirectoryHandle, name: &str) -> Result<File, JsValue> {
    Ok(JsFuture::from(file(directory, name, false).await?.get_file()).await?.unchecked_into())
}

/// Reads a model's metadata; defaults if they are missing or damaged.
async fn notes(directory: &FileSystemDirectoryHandle, name: &str) -> Notes {
    let Ok(file) = get(directory, &format!("{name}{NOTES}")).await else { return Notes::default() };
    let bytes = blobs::read(&file, 0, file.size() as u64).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

async fn write_notes(directory: &FileSystemDirectoryHandle, name: &str, notes: &Notes) -> io::Result<()> {
    let handle = Handle(open(directory, &format!("{name}{NOTES}"), Date::now() + PATIENCE).await.map_err(error)?);
    let text = serde_json::to_vec(notes).expect("plain data serializes");
    handle.write(0, &text)?;
    handle.resize(text.len() as u64)?;
    handle.flush()
}

/// Lists all models, complete or partial, and makes complete ones readable.
async fn refresh(directory: &FileSystemDirectoryHandle) -> io::Result<Vec<StoredModel>> {
    let mut found = Vec::new();
    for name in names(directory).await.map_err(error)? {
        if name.ends_with(NOTES) {
            continue;
        }
        let Ok(file) = get(directory, &name).await else { continue };
        let Notes { url, of, whole, .. } = notes(directory, &name).await;
        found.push((StoredModel { bytes: file.size() as u64, name, url, of, whole }, file));
    }
    blobs::forget_models();
    for (model, file) in found.iter().filter(|(model, _)| model.whole) {
        blobs::put_model(&model.name, file.clone());
    }
    found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(found.into_iter().map(|(model, _)| model).collect())
}

/// Lists stored models and the storage quota.
pub async fn stored_models() -> io::Result<(Vec<StoredModel>, StorageQuota)> {
    let fleeting = match mounted() {
        Mounted::Private => None,
        Mounted::Elsewhere => Some("another tab of this browser has Signet's files, so runs made in this tab are lost when it is closed. To keep them, close the other tab and reload this one".into()),
        Mounted::Unavailable(why) => Some(format!("files are lost when the page is closed: {why}")),
    };
    let (used, quota) = estimate().await;
    let room = StorageQuota { used, quota, fleeting };
    match models_directory().await {
        Ok(directory) => Ok((refresh(&directory).await?, room)),
        Err(_) if room.fleeting.is_some() => Ok((Vec::new(), room)),
        Err(error) => Err(error),
    }
}

/// Bytes used, and the quota; zeros if the browser does not report them.
async fn estimate() -> (u64, u64) {
    let estimated = async {
        let estimate = JsFuture::from(manager()?.estimate().ok()?).await.ok()?;
        let number = |name: &str| Reflect::get(&estimate, &name.into()).ok()?.as_f64().map(|bytes| bytes as u64);
        Some((number("usage")?, number("quota")?))
    };
    estimated.await.unwrap_or_default()
}

/// Deletes a model.
pub async fn delete_model(model: &str) -> io::Result<()> {
    let directory = models_directory().await?;
    for file in [format!("{model}{NOTES}"), model.to_string()] {
        match JsFuture::from(directory.remove_entry(&file)).await {
            Ok(_) => {}
            Err(exception) if name(&exception) == "NotFoundError" => {}
            Err(exception) if name(&exception) == "NoModificationAllowedError" => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{model} is being fetched: stop that first")));
            }
            Err(exception) => return Err(error(exception)),
        }
    }
    refresh(&directory).await.map(drop)
}
