//! What the page asks of the browser.

use crate::platform::dialog::{Choice, Pick};
use wasm_bindgen::JsValue;

/// Opens the browser's dialog for a file.
pub fn pick(_what: Pick) -> Choice {
    Box::pin(std::future::ready(None))
}

/// Offers the visitor a file to keep.
pub(super) fn offer(_name: &str, _blob: &JsValue) {}
