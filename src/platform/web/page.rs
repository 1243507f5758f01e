//! What the page asks of the browser.

use crate::platform::dialog::{Choice, Pick};
use wasm_bindgen::{JsCast, JsValue};

/// Opens the browser's dialog for a file.
pub fn pick(_what: Pick) -> Choice {
    Box::pin(std::future::ready(None))
}

/// Offers the visitor a file to keep.
pub(super) fn offer(_name: &str, _blob: &JsValue) {}

/// Asks the browser to keep what this site stores even where room becomes scarce. It may refuse; then
/// what is kept is kept as before.
pub(super) fn persist() {
    use js_sys::{Function, Reflect};
    let asked = || {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
        let storage = Reflect::get(&navigator, &"storage".into())?;
        Reflect::get(&storage, &"persist".into())?.unchecked_into::<Function>().call0(&storage)
    };
    let _ = asked();
}
