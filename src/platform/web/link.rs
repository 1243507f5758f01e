//! The engine's worker, from inside: messages from and to the page. Panics are reported before the worker stops.

use js_sys::{Object, Reflect, Uint8Array};
use std::sync::Arc;
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

/// Returns true in a worker, false in a page.
pub fn in_worker() -> bool {
    js_sys::global().is_instance_of::<DedicatedWorkerGlobalScope>()
}

/// Passes messages of the page to `on_message` from now on.
pub fn listen(mut on_message: impl FnMut(String, Option<Arc<Vec<u8>>>) + 'static) {
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let data = event.data();
        let path = Reflect::get(&data, &"path".into()).ok().and_then(|path| path.as_string());
        if let Some(path) = path {
            super::blobs::add(&path, Reflect::get(&data, &"file".into()).unwrap_or_default().unchecked_into());
        } else if let Some((text, bulk)) = parts(&data) {
            on_message(text, bulk);
        }
    });
    let _ = scope().add_event_listener_with_callback("message", on_message.as_ref().unchecked_ref());
    // Lives as long as the worker.
    on_message.forget();
}

/// Sends text, with optional binary data.
pub fn post(text: &str, bulk: Option<&Arc<Vec<u8>>>) {
    let _ = scope().post_message(&message(text, bulk));
}

/// Reports to the page why this worker stopped.
pub fn fail(why: &str) {
    let data = Object::new();
    let _ = Reflect::set(&data, &"failed".into(), &why.into());
    let _ = scope().post_message(&data);
}

/// Makes the page request persistent storage, which workers cannot.
pub(super) fn ask_to_persist() {
    let data = Object::new();
    let _ = Reflect::set(&data, &"persist".into(), &true.into());
    let _ = scope().post_message(&data);
}

/// Hands a file to the page, which offers it to the user.
pub fn offer_download(name: &str, blob: &JsValue) {
    let data = Object::new();
    let _ = Reflect::set(&data, &"download".into(), &name.into());
    let _ = Reflect::set(&data, &"blob".into(), blob);
    let _ = scope().post_message(&data);
}

/// Runs a task concurrently.
pub fn spawn(task: std::pin::Pin<Box<dyn Future<Output = ()>>>) {
    wasm_bindgen_futures::spawn_local(task);
}

/// Reports panics, with messages that `format` writes.
pub fn report_panics(format: fn(&str) -> String) {
    std::panic::set_hook(Box::new(move |panic| {
        web_sys::console::error_1(&panic.to_string().into());
        if in_worker() {
            fail(&format(&panic.to_string()));
        }
    }));
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Builds a message of text and bytes.
pub(super) fn message(text: &str, bulk: Option<&Arc<Vec<u8>>>) -> JsValue {
    let data = Object::new();
    let _ = Reflect::set(&data, &"text".into(), &text.into());
    if let Some(bulk) = bulk {
        let _ = Reflect::set(&data, &"bulk".into(), &Uint8Array::from(&bulk[..]));
    }
    data.into()
}

/// Splits a message into text and bytes.
pub(super) fn parts(data: &JsValue) -> Option<(String, Option<Arc<Vec<u8>>>)> {
    let text = Reflect::get(data, &"text".into()).ok()?.as_string()?;
    let bulk = Reflect::get(data, &"bulk".into()).ok()?.dyn_into::<Uint8Array>().ok();
    Some((text, bulk.map(|bulk| Arc::new(bulk.to_vec()))))
}
