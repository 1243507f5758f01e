//! What WebGPU has and wgpu does not ask a browser for.

use super::fetch::said;
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Whether the browser's adapter has subgroups: worker.js adds them to every device then.
pub async fn adds_subgroups() -> bool {
    ask().await.unwrap_or_else(|error| {
        web_sys::console::warn_1(&format!("the adapter's features cannot be read: {}", said(error)).into());
        false
    })
}

async fn ask() -> Result<bool, JsValue> {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &name.into());
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    if gpu.is_undefined() {
        return Ok(false);
    }
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into()?;
    let adapter = JsFuture::from(request.call0(&gpu)?.dyn_into::<Promise>()?).await?;
    if adapter.is_null() {
        return Ok(false);
    }
    let features = get(&adapter, "features")?;
    let has: Function = get(&features, "has")?.dyn_into()?;
    Ok(has.call1(&features, &"subgroups".into())? == JsValue::TRUE)
}
