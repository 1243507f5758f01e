//! Converts JavaScript exceptions to I/O errors with readable messages.

use js_sys::Reflect;
use std::io;
use wasm_bindgen::JsValue;

/// The name of an exception, such as `QuotaExceededError`.
pub(super) fn name(exception: &JsValue) -> String {
    Reflect::get(exception, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default()
}

/// The browser's message of an exception.
pub(super) fn words(exception: JsValue) -> String {
    let message = Reflect::get(&exception, &"message".into()).ok().and_then(|message| message.as_string()).filter(|text| !text.is_empty());
    message.or_else(|| exception.as_string()).unwrap_or_else(|| format!("{exception:?}"))
}

/// Converts an exception to an error.
pub(super) fn error(exception: JsValue) -> io::Error {
    let (kind, problem) = match name(&exception).as_str() {
        "QuotaExceededError" => {
            (io::ErrorKind::QuotaExceeded, "the browser's storage quota for this site is exhausted. Delete runs or models here, or free some disk space")
        }
        "NotFoundError" => (io::ErrorKind::NotFound, "it was removed from the browser's storage, or the file was moved after it was chosen"),
        "NotReadableError" => (io::ErrorKind::Other, "the file was changed or moved after it was chosen: choose it again"),
        "NoModificationAllowedError" => (io::ErrorKind::ResourceBusy, "another tab uses it"),
        "InvalidStateError" => (io::ErrorKind::Other, "the browser has closed the private storage: reload the page"),
        _ => return io::Error::other(words(exception)),
    };
    io::Error::new(kind, format!("{problem} ({})", words(exception)))
}
