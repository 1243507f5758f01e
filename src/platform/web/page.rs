//! Requests of the page to the browser: a file from the visitor, what it is, and whether it may be left.

use super::dom::{document, on, window};
use super::engine;
use js_sys::{Function, Promise, Reflect};
use std::cell::Cell;
use std::path::PathBuf;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlInputElement, Window};

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
