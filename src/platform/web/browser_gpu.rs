//! Adapter information that browsers provide and wgpu does not.

use super::failure::words;
use crate::platform::BrowserGpu;
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// The browser's adapter, if there is one.
pub async fn browser_gpu() -> Option<BrowserGpu> {
    ask().await.unwrap_or_else(|error| {
        web_sys::console::warn_1(&format!("cannot read the adapter's information: {}", words(error)).into());
        None
    })
}

async fn ask() -> Result<Option<BrowserGpu>, JsValue> {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &name.into());
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    if gpu.is_undefined() {
        return Ok(None);
    }
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into()?;
    let adapter = JsFuture::from(request.call0(&gpu)?.dyn_into::<Promise>()?).await?;
    if adapter.is_null() {
        return Ok(None);
    }
    let features = get(&adapter, "features")?;
    let has: Function = get(&features, "has")?.dyn_into()?;
    let subgroups = has.call1(&features, &"subgroups".into())? == JsValue::TRUE;
    let info = get(&adapter, "info")?;
    let words = ["vendor", "architecture", "device"].map(|name| get(&info, name).ok().and_then(|value| value.as_string()).unwrap_or_default());
    let name = words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ");
    Ok(Some(BrowserGpu { name, subgroups }))
}
