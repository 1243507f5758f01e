//! Requests of the engine's worker that only the page can make: offering a download, and persistent storage.

use super::elements::{document, window};
use js_sys::{Array, Function, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{HtmlAnchorElement, HtmlElement, Url};

/// Offers a file as a download.
pub(super) fn offer(name: &str, blob: &JsValue) {
    let offered = || -> Result<(), JsValue> {
        let blob: &web_sys::Blob = blob.dyn_ref().ok_or("this is not a file")?;
        let address = Url::create_object_url_with_blob(blob)?;
        let anchor: HtmlAnchorElement = document().create_element("a")?.dyn_into()?;
        anchor.set_href(&address);
        anchor.set_download(name);
        anchor.unchecked_ref::<HtmlElement>().click();
        // The download has begun or the user is choosing a location, which may take long.
        let free = Closure::once_into_js(move || Url::revoke_object_url(&address));
        window().set_timeout_with_callback_and_timeout_and_arguments(free.unchecked_ref(), 600_000, &Array::new()).map(drop)
    };
    if let Err(error) = offered() {
        web_sys::console::error_2(&format!("cannot offer {name} as a download").into(), &error);
    }
}

/// Requests persistent storage from the browser, which may refuse.
pub(super) fn persist() {
    let requested = || {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
        let storage = Reflect::get(&navigator, &"storage".into())?;
        Reflect::get(&storage, &"persist".into())?.unchecked_into::<Function>().call0(&storage)
    };
    let _ = requested();
}
