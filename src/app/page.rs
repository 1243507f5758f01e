//! The page: where the app meets eframe in a browser.

use super::{App, Settings};
use crate::runner::Wake;
use eframe::egui;
use eframe::wasm_bindgen::JsCast;
use eframe::web_sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const STORED: &str = "settings";

/// Opens the app in the page's canvas.
pub fn open_page() {
    let canvas = web_sys::window().and_then(|window| window.document()).and_then(|document| document.get_element_by_id("signet"));
    let Some(Ok(canvas)) = canvas.map(|canvas| canvas.dyn_into::<web_sys::HtmlCanvasElement>()) else { return };
    wasm_bindgen_futures::spawn_local(async {
        let create = |context: &eframe::CreationContext<'_>| Ok(Box::new(Page::new(context)) as Box<dyn eframe::App>);
        let _ = eframe::WebRunner::new().start(canvas, eframe::WebOptions::default(), Box::new(create)).await;
    });
}

struct Page {
    app: App,
    waiting: Arc<AtomicBool>,
}

impl Page {
    fn new(context: &eframe::CreationContext<'_>) -> Self {
        let stored = context.storage.and_then(|storage| storage.get_string(STORED)).unwrap_or_default();
        let settings = Settings::from_json(&stored);
        let waiting = Arc::new(AtomicBool::new(false));
        let (egui, asked) = (context.egui_ctx.clone(), waiting.clone());
        let wake: Wake = Arc::new(move || {
            if !asked.swap(true, Ordering::AcqRel) {
                egui.request_repaint_after_secs(0.1);
            }
        });
        Self { app: App::new(settings, &wake), waiting }
    }
}

impl eframe::App for Page {
    fn logic(&mut self, _: &egui::Context, _: &mut eframe::Frame) {
        self.waiting.store(false, Ordering::Release);
        self.app.poll();
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        self.app.ui(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        if let Some(text) = self.app.shared.settings.to_json() {
            storage.set_string(STORED, text);
        }
    }
}
