//! Fetches embedded assets from the page's server; they are cached for the lifetime of the worker.

use super::failure::words;
use js_sys::{ArrayBuffer, Function, Promise, Reflect, Uint8Array};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

thread_local! {
    static ASSETS: RefCell<BTreeMap<String, &'static [u8]>> = const { RefCell::new(BTreeMap::new()) };
}

/// Returns an asset, if it was fetched.
pub fn asset(name: &str) -> io::Result<&'static [u8]> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{name} is part of Signet, but was not fetched yet; try again"));
    ASSETS.with_borrow(|assets| assets.get(name).copied()).ok_or_else(missing)
}

/// Fetches an asset and returns its size, or `None` if it was fetched before.
pub async fn fetch_asset(name: &str) -> io::Result<Option<usize>> {
    if asset(name).is_ok() {
        return Ok(None);
    }
    let bytes = fetch(&format!("assets/{name}"))
        .await
        .map_err(|why| io::Error::other(format!("{name} is part of Signet, but could not be fetched ({why}). Check the network and try again")))?;
    let length = bytes.len();
    // Kept until the worker ends.
    ASSETS.with_borrow_mut(|assets| assets.insert(name.into(), bytes.leak()));
    Ok(Some(length))
}

/// Fetches a file relative to the page.
async fn fetch(path: &str) -> Result<Vec<u8>, String> {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).map_err(words);
    let awaited = async |value: JsValue| JsFuture::from(Promise::resolve(&value)).await.map_err(words);
    let global = js_sys::global();
    let fetch: Function = get(&global, "fetch")?.dyn_into().map_err(words)?;
    let response = awaited(fetch.call1(&global, &path.into()).map_err(words)?).await?;
    if get(&response, "ok")? != JsValue::TRUE {
        return Err(format!("the server answers {}", get(&response, "status")?.as_f64().unwrap_or_default()));
    }
    let body: Function = get(&response, "arrayBuffer")?.dyn_into().map_err(words)?;
    let buffer: ArrayBuffer = awaited(body.call0(&response).map_err(words)?).await?.dyn_into().map_err(words)?;
    Ok(Uint8Array::new(&buffer).to_vec())
}
