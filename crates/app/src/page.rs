//! The app in a browser, over eframe: repaint rate, stored settings, the accessible mirror, dropped files, and
//! the question before the page is left.

use super::environment::{Environment, Page};
use super::mirror::{MirrorHandle, Screen};
use super::{App, Settings, Tab};
use eframe::egui::{self, DroppedFile, Event, Pos2, RawInput, TouchDeviceId, TouchId, TouchPhase};
use eframe::wasm_bindgen::JsCast;
use eframe::web_sys::{self, File, HtmlCanvasElement};
use signet::runner::Wake;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Minimum seconds between repaints that a worker requests.
const REPAINT: f32 = 0.25;
/// Key of the settings in the browser's storage.
const STORED: &str = "settings";

/// Functions and facts of the browser that the app needs.
#[derive(Clone)]
pub struct Browser {
    /// The page and its browser.
    pub page: Page,
    /// Fragment of the page's URL (after `#`).
    pub fragment: String,
    /// True if there is a touch screen.
    pub touch: bool,
    /// Access to the page's elements.
    pub screen: Screen,
    /// Registers a callback for user input on the elements.
    pub listen: fn(Box<dyn Fn()>) -> Result<(), String>,
    /// Passes a file to the engine; returns its path there.
    pub give: fn(File) -> String,
    /// Sets whether to ask before the page is left.
    pub leaving_loses: fn(bool),
    /// Called after the first frame.
    pub drawn: fn(),
    /// Called at the end of a conformance check that the URL asked for, with the report as JSON or the error.
    pub certified: fn(Result<&str, &str>),
    /// Called with the reason if the app cannot be drawn.
    pub cannot_draw: fn(&str),
}

/// Opens the app in the page's canvas.
pub fn open_page(browser: Browser) {
    let canvas = web_sys::window().and_then(|window| window.document()).and_then(|document| document.get_element_by_id("signet"));
    let Some(Ok(canvas)) = canvas.map(|canvas| canvas.dyn_into::<HtmlCanvasElement>()) else {
        return (browser.cannot_draw)("Cannot start the page: the canvas is missing; the server may mix two versions. Reload the page.");
    };
    wasm_bindgen_futures::spawn_local(async move {
        let cannot_draw = browser.cannot_draw;
        let drawn_on = canvas.clone();
        let create = move |context: &eframe::CreationContext<'_>| Ok(Box::new(PageApp::new(context, browser)) as Box<dyn eframe::App>);
        let started = eframe::WebRunner::new().start(canvas, eframe::WebOptions::default(), Box::new(create)).await;
        // Tab moves through the mirror's elements and skips the canvas.
        drawn_on.set_tab_index(-1);
        // It also skips eframe's hidden text field.
        if let Some(field) = drawn_on.next_element_sibling() {
            let _ = field.set_attribute("tabindex", "-1");
            let _ = field.set_attribute("aria-label", "Keyboard input");
        }
        if let Err(error) = started {
            cannot_draw(&format!("Cannot draw the page: {error:?}. Check that WebGL 2 is enabled in the browser's settings."));
        }
    });
}

/// The app in a browser.
struct PageApp {
    app: App,
    browser: Browser,
    mirror: MirrorHandle,
    /// True while a repaint that a worker requested is pending.
    waiting: Arc<AtomicBool>,
    drawn: bool,
    /// True while the conformance check that the URL asked for runs.
    conformance_runs: bool,
}

impl PageApp {
    fn new(context: &eframe::CreationContext<'_>, browser: Browser) -> Self {
        let stored = context.storage.and_then(|storage| storage.get_string(STORED)).unwrap_or_default();
        let mut settings = Settings::from_json(&stored);
        if stored.is_empty() {
            // First-time visitors start with the chat.
            settings.tab = Tab::Chat;
        }
        // The browser's storage has one folder for runs.
        settings.runs = "/runs".into();
        let egui = &context.egui_ctx;
        egui.set_theme(settings.theme);
        egui.set_zoom_factor(settings.zoom.clamp(0.5, 4.0));
        let mirror = MirrorHandle::start(egui, browser.screen);
        let repaint = egui.clone();
        if let Err(error) = (browser.listen)(Box::new(move || repaint.request_repaint())) {
            (browser.cannot_draw)(&format!("Cannot start the page: an element is missing ({error}); the server may mix two versions. Reload the page."));
        }
        let waiting = Arc::new(AtomicBool::new(false));
        let (egui, asked) = (egui.clone(), waiting.clone());
        // Without user input, draw at most four times a second.
        let wake: Wake = Arc::new(move || {
            if !asked.swap(true, Ordering::AcqRel) {
                egui.request_repaint_after_secs(REPAINT);
            }
        });
        let mut app = App::new(settings, &wake);
        app.shared.environment = Environment { page: Some(browser.page.clone()) };
        app.open_link(&browser.fragment);
        let filter_in_url = browser.page.conform();
        let conformance_runs = filter_in_url.is_some();
        if let Some(filter) = filter_in_url {
            app.start_conformance(filter);
        }
        Self { app, browser, mirror, waiting, drawn: false, conformance_runs }
    }
}

impl eframe::App for PageApp {
    fn raw_input_hook(&mut self, _context: &egui::Context, input: &mut RawInput) {
        if std::mem::take(&mut self.browser.touch) {
            // egui scrolls by touch only after its first touch event; send one, so that the first swipe scrolls.
            input.events.push(Event::Touch { device_id: TouchDeviceId(0), id: TouchId(0), phase: TouchPhase::Cancel, pos: Pos2::ZERO, force: None });
        }
        for dropped in &mut input.dropped_files {
            // The engine reads the file in chunks, so its size does not matter.
            if let Some(file) = dropped.web_file() {
                *dropped = Arc::new(PassedFile { path: (self.browser.give)(file.clone()).into() });
            }
        }
    }

    fn logic(&mut self, _context: &egui::Context, _frame: &mut eframe::Frame) {
        self.waiting.store(false, Ordering::Release);
        self.app.poll();
        if let Some(result) = self.app.conformance_result().filter(|_| self.conformance_runs) {
            self.conformance_runs = false;
            (self.browser.certified)(result.as_deref().map_err(String::as_str));
        }
        (self.browser.leaving_loses)(self.app.shared.training.is_some());
        self.mirror.set_messages(self.app.messages());
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.app.shared.settings.zoom = ui.ctx().zoom_factor();
        self.app.ui(ui);
        if !std::mem::replace(&mut self.drawn, true) {
            (self.browser.drawn)();
        }
    }

    /// Short, because a page gets no reliable event before it is closed.
    fn auto_save_interval(&self) -> core::time::Duration {
        core::time::Duration::from_secs(2)
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if let Some(text) = self.app.shared.settings.to_json() {
            storage.set_string(STORED, text);
        }
    }
}

/// A dropped file that was passed to the engine.
#[derive(Debug)]
struct PassedFile {
    path: PathBuf,
}

impl DroppedFile for PassedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn bytes_async(&self) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + '_>> {
        Box::pin(std::future::ready(Err("cannot read the dropped file at once: the engine reads it in chunks".into())))
    }
}
