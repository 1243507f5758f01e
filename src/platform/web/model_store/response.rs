//! An HTTP response, in pieces, with a timeout.

use super::super::failure::words;
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// The timeout, in half seconds.
const SILENCE: u32 = 60;

/// A response whose body is being read.
pub(super) struct Response {
    response: JsValue,
    reader: JsValue,
    /// The pending read.
    coming: Option<Promise>,
}

/// The next part of the body.
pub(super) enum BodyChunk {
    Bytes(Uint8Array),
    /// Nothing yet.
    Later,
    End,
}

fn get(object: &JsValue, name: &str) -> Result<JsValue, String> {
    Reflect::get(object, &name.into()).map_err(words)
}

fn call(object: &JsValue, name: &str, arguments: &[&JsValue]) -> Result<JsValue, String> {
    let function: Function = get(object, name)?.dyn_into().map_err(|_| format!("this browser has no {name}"))?;
    let arguments: Array = arguments.iter().copied().collect();
    function.apply(object, &arguments).map_err(words)
}

async fn awaited(promise: JsValue) -> Result<JsValue, String> {
    JsFuture::from(Promise::resolve(&promise)).await.map_err(words)
}

/// Returns true if the browser knows that it is offline.
pub(super) fn offline() -> bool {
    get(&js_sys::global(), "navigator").and_then(|navigator| get(&navigator, "onLine")).is_ok_and(|online| online == JsValue::FALSE)
}

/// Returns true if a server responds at all, even if pages cannot read the response.
pub(super) async fn answers(url: &str) -> bool {
    let options = Object::new();
    let set = [("mode", "no-cors"), ("method", "HEAD"), ("credentials", "omit")]
        .iter()
        .all(|(key, value)| Reflect::set(&options, &(*key).into(), &(*value).into()).is_ok());
    let request = call(&js_sys::global(), "fetch", &[&url.into(), &options]);
    set && match request {
        Ok(promise) => awaited(promise).await.is_ok(),
        Err(_) => false,
    }
}

impl Response {
    /// Requests a file from byte `from` on.
    pub(super) async fn request(url: &str, from: u64) -> Result<Self, String> {
        let (options, headers) = (Object::new(), Object::new());
        let mut set = vec![(&options, "credentials", JsValue::from("omit")), (&options, "cache", "no-store".into())];
        if from > 0 {
            // If-Range would need a CORS preflight, which most servers refuse: the response is compared with the stored
            // validator instead.
            set.push((&headers, "Range", format!("bytes={from}-").into()));
        }
        set.push((&options, "headers", headers.clone().into()));
        for (object, key, value) in set {
            Reflect::set(object, &key.into(), &value).map_err(words)?;
        }
        let response = awaited(call(&js_sys::global(), "fetch", &[&url.into(), &options])?).await?;
        let reader = match get(&response, "body")? {
            body if body.is_object() => call(&body, "getReader", &[])?,
            _ => JsValue::NULL,
        };
        Ok(Self { response, reader, coming: None })
    }

    /// The status code.
    pub(super) fn status(&self) -> u16 {
        get(&self.response, "status").ok().and_then(|status| status.as_f64()).unwrap_or_default() as u16
    }

    /// A header, if pages may see it.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        call(&get(&self.response, "headers").ok()?, "get", &[&name.into()]).ok()?.as_string()
    }

    /// The length of the body, if sent and not compressed.
    pub(super) fn length(&self) -> Option<u64> {
        let plain = self.header("Content-Encoding").is_none();
        self.header("Content-Length").filter(|_| plain)?.parse().ok()
    }

    /// The server's ETag or modification date.
    pub(super) fn validator(&self) -> Option<String> {
        self.header("ETag").or_else(|| self.header("Last-Modified"))
    }

    /// Reads the next piece, or returns after half a second; `timeouts` counts such returns.
    pub(super) async fn next(&mut self, timeouts: &mut u32) -> Result<BodyChunk, String> {
        if self.reader.is_null() {
            return Ok(BodyChunk::End);
        }
        let coming = match self.coming.take() {
            Some(coming) => coming,
            None => Promise::resolve(&call(&self.reader, "read", &[])?),
        };
        let timer = Promise::new(&mut |resolve, _| {
            // Without a timer, only the network ends the wait.
            let _ = call(&js_sys::global(), "setTimeout", &[&resolve, &500.into()]);
        });
        let read = awaited(Promise::race(&Array::of2(&coming, &timer)).into()).await?;
        if read.is_undefined() {
            *timeouts += 1;
            self.coming = Some(coming);
            return if *timeouts > SILENCE { Err("the server no longer responds".into()) } else { Ok(BodyChunk::Later) };
        }
        *timeouts = 0;
        if get(&read, "done")?.is_truthy() { Ok(BodyChunk::End) } else { Ok(BodyChunk::Bytes(get(&read, "value")?.unchecked_into())) }
    }

    /// Cancels the rest.
    pub(super) fn cancel(self) {
        if let Ok(promise) = call(&self.reader, "cancel", &[]) {
            // It may fail if the connection is broken.
            wasm_bindgen_futures::spawn_local(async move { drop(awaited(promise).await) });
        }
    }
}
