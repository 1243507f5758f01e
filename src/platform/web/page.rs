//! Browser features that the page uses: choosing a file, facts about the browser, and a prompt before leaving.

use super::elements::{document, on, window};
use super::engine_worker;
use js_sys::{Function, Promise, Reflect};
use std::cell::Cell;
use std::path::PathBuf;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlInputElement, Window};

thread_local! {
    /// True if leaving the page loses data.
    static LEAVING_LOSES: Cell<bool> = const { Cell::new(false) };
}

/// Facts about the browser and the page.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The page's URL, without the fragment.
    pub address: String,
    /// The fragment, after `#`.
    pub fragment: String,
    /// The user agent.
    pub agent: String,
    /// True if it has WebGPU.
    pub webgpu: bool,
    /// True in a secure context.
    pub secure: bool,
    /// True if it has a touch screen.
    pub touch: bool,
}

/// Reads the facts about this browser and page.
pub fn facts() -> Facts {
    let window = window();
    let navigator = window.navigator();
    let href = window.location().href().unwrap_or_default();
    let (address, fragment) = href.split_once('#').unwrap_or((&href, ""));
    if !fragment.is_empty() {
        // It applies once: a reload must not undo later changes.
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

/// Sets whether the browser asks before the page is left.
pub fn ask_before_leaving(ask: bool) {
    thread_local! {
        static LISTENS: Cell<bool> = const { Cell::new(false) };
    }
    LEAVING_LOSES.set(ask);
    if ask && !LISTENS.replace(true) {
        // A page with this listener is not cached for back navigation, so it is added only when needed.
        let listens = on(&window(), "beforeunload", |event| {
            if LEAVING_LOSES.get() {
                event.prevent_default();
            }
        });
        LISTENS.set(listens.is_ok());
    }
}

/// Hides the loading screen once the app is drawn, unless it shows a failure.
pub fn drawn() {
    if let Some(shell) = document().get_element_by_id("shell").filter(|shell| !shell.class_name().contains("failed")) {
        let _ = shell.set_attribute("hidden", "");
    }
}

/// Puts the result of a conformance run on the page as text, for the program that drives the browser.
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

/// Shows on the page why the app cannot be drawn.
pub fn cannot_draw(why: &str) {
    let fail = Reflect::get(&js_sys::global(), &"signet".into()).and_then(|signet| Reflect::get(&signet, &"fail".into()));
    match fail.and_then(|fail| fail.dyn_into::<Function>()) {
        Ok(fail) => _ = fail.call1(&JsValue::NULL, &why.into()),
        Err(_) => web_sys::console::error_1(&why.into()),
    }
}

/// Opens the browser's file dialog; returns the engine's path of the chosen file.
pub async fn pick_file() -> Option<PathBuf> {
    Some(PathBuf::from(engine_worker::give(chosen().await.ok()??)))
}

async fn chosen() -> Result<Option<File>, JsValue> {
    let input: HtmlInputElement = document().create_element("input")?.dyn_into()?;
    input.set_type("file");
    // Some browsers drop a dialog whose input is not in the page.
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
