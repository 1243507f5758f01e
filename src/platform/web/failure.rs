//! What a browser throws, as an error of input and output that a person understands.

use js_sys::Reflect;
use std::io;
use wasm_bindgen::JsValue;

/// The name of what was thrown, such as `QuotaExceededError`.
pub(super) fn name(thrown: &JsValue) -> String {
    Reflect::get(thrown, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default()
}

/// What was thrown, in the browser's words.
pub(super) fn words(thrown: JsValue) -> String {
    let message = Reflect::get(&thrown, &"message".into()).ok().and_then(|message| message.as_string()).filter(|text| !text.is_empty());
    message.or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
}

/// What was thrown, as an error.
pub(super) fn error(thrown: JsValue) -> io::Error {
    let (kind, problem) = match name(&thrown).as_str() {
        "QuotaExceededError" => {
            (io::ErrorKind::QuotaExceeded, "the browser gives this site no more room. Delete runs or models here, or free some of the disk")
        }
        "NotFoundError" => (io::ErrorKind::NotFound, "it is gone from the browser's storage, or the file was moved since it was chosen"),
        "NotReadableError" => (io::ErrorKind::Other, "the file was changed or moved since it was chosen: choose it again"),
        "NoModificationAllowedError" => (io::ErrorKind::ResourceBusy, "another tab uses it"),
        "InvalidStateError" => (io::ErrorKind::Other, "the browser has closed the private storage: reload the page"),
        _ => return io::Error::other(words(thrown)),
    };
    io::Error::new(kind, format!("{problem} ({})", words(thrown)))
}
