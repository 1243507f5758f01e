//! What the page asks of the browser: files from the visitor and for them, what it is, and whether it
//! may be left.

use super::dom::on;
use super::engine;
use js_sys::{Array, Function, Promise, Reflect};
use std::cell::Cell;
use std::path::PathBuf;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Document, File, HtmlAnchorElement, HtmlElement, HtmlInputElement, Url, Window};

thread_local! {
    /// Whether leaving the page would lose something.
    static LEAVING_LOSES: Cell<bool> = const { Cell::new(false) };
}

/// What a browser tells of itself and of the page.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where the page is, without what comes after `#`.
    pub address: String,
    /// What comes after it.
    pub fragment: String,
    /// How the browser calls itself.
    pub agent: String,
    /// Whether it has WebGPU.
    pub webgpu: bool,
    /// Whether the page came in a way that the browser trusts.
    pub secure: bool,
    /// Whether it can be touched.
    pub touch: bool,
}

/// What this browser is, and where the page is.
pub fn facts() -> Facts {
    let window = window();
    let navigator = window.navigator();
    let href = window.location().href().unwrap_or_default();
    let (address, fragment) = href.split_once('#').unwrap_or((&href, ""));
    if !fragment.is_empty() {
        // It holds once: what is changed later is not put back by a reload.
        forget_fragment(&window, address);
    }
    Facts {
        address: address.into(),
        fragment: fragment.into(),
        agent: navigator.user_agent().unwrap_or_default(),
        webgpu: Reflect::get(&navigator, &"gpu".into()).is_ok_and(|gpu| gpu.is_object()),
        secure: window.is_secure_context(),
        touch: navigator.max_touch_points() > 0,
    }
}

fn forget_fragment(window: &Window, address: &str) {
    let history = Reflect::get(window, &"history".into()).unwrap_or_default();
    let replace = Reflect::get(&history, &"replaceState".into()).and_then(|replace| replace.dyn_into::<Function>());
    if let Ok(replace) = replace {
        let _ = replace.call3(&history, &JsValue::NULL, &"".into(), &address.into());
    }
}

/// Whether the visitor is asked before the page is left.
pub fn ask_before_leaving(ask: bool) {
    thread_local! {
        static LISTENS: Cell<bool> = const { Cell::new(false) };
    }
    LEAVING_LOSES.set(ask);
    if ask && !LISTENS.replace(true) {
        // A page that listens is not kept for the button that goes back: so none does before it must.
        let listens = on(&window(), "beforeunload", |event| {
            if LEAVING_LOSES.get() {
                event.prevent_default();
            }
        });
        LISTENS.set(listens.is_ok());
    }
}

/// The app is drawn: what the page showed until then goes, unless it is what failed meanwhile.
pub fn drawn() {
    if let Some(shell) = document().get_element_by_id("shell").filter(|shell| !shell.class_name().contains("failed")) {
        let _ = shell.set_attribute("hidden", "");
    }
}

/// The conformance that the page ran by itself is over: what came of it is put on the page as text, for
/// whoever drives the browser.
pub fn certified(report: Result<&str, &str>) {
    let put = || -> Result<(), JsValue> {
        let place = document().create_element("pre")?;
        place.set_id("conformance");
        let (state, text) = report.map_or_else(|why| ("failed", why), |report| ("done", report));
        place.set_attribute("data-state", state)?;
        place.set_text_content(Some(text));
        document().body().ok_or("the page has no body")?.append_child(&place)?;
        Ok(())
    };
    if let Err(error) = put() {
        web_sys::console::error_1(&error);
    }
}

/// The app cannot be drawn; the page says why in its own words.
pub fn cannot_draw(why: &str) {
    let fail = Reflect::get(&js_sys::global(), &"signet".into()).and_then(|signet| Reflect::get(&signet, &"fail".into()));
    match fail.and_then(|fail| fail.dyn_into::<Function>()) {
        Ok(fail) => _ = fail.call1(&JsValue::NULL, &why.into()),
        Err(_) => web_sys::console::error_1(&why.into()),
    }
}

/// Opens the browser's dialog for a file; gives the path by which the engine reads what is chosen.
pub async fn pick_file() -> Option<PathBuf> {
    Some(PathBuf::from(engine::give(chosen().await.ok()??)))
}

async fn chosen() -> Result<Option<File>, JsValue> {
    let input: HtmlInputElement = document().create_element("input")?.dyn_into()?;
    input.set_type("file");
    // Some browsers forget a dialog whose field is nowhere in the page.
    input.set_hidden(true);
    document().body().ok_or("the page has no body")?.append_child(&input)?;
    let answered = Promise::new(&mut |resolve, _| {
        for name in ["change", "cancel"] {
            let _ = input.add_event_listener_with_callback(name, &resolve);
        }
    });
    input.click();
    JsFuture::from(answered).await?;
    input.remove();
    Ok(input.files().and_then(|files| files.get(0)))
}

/// Offers the visitor a file to keep.
pub(super) fn offer(name: &str, blob: &JsValue) {
    let offered = || -> Result<(), JsValue> {
        let blob: &web_sys::Blob = blob.dyn_ref().ok_or("this is no file")?;
        let address = Url::create_object_url_with_blob(blob)?;
        let anchor: HtmlAnchorElement = document().create_element("a")?.dyn_into()?;
        anchor.set_href(&address);
        anchor.set_download(name);
        anchor.unchecked_ref::<HtmlElement>().click();
        // It is being read by now, or the visitor is asked where to; either takes what time it takes.
        let free = Closure::once_into_js(move || Url::revoke_object_url(&address));
        window().set_timeout_with_callback_and_timeout_and_arguments(free.unchecked_ref(), 600_000, &Array::new()).map(drop)
    };
    if let Err(error) = offered() {
        web_sys::console::error_2(&format!("{name} could not be offered").into(), &error);
    }
}

/// Asks the browser to keep what this site stores even where room becomes scarce. It may refuse; then
/// what is kept is kept as before.
pub(super) fn persist() {
    let asked = || {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
        let storage = Reflect::get(&navigator, &"storage".into())?;
        Reflect::get(&storage, &"persist".into())?.unchecked_into::<Function>().call0(&storage)
    };
    let _ = asked();
}

fn window() -> Window {
    web_sys::window().expect("this runs in a page")
}

fn document() -> Document {
    window().document().expect("a page has a document")
}
