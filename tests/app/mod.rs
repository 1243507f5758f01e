//! The app, driven by accessible names.

mod runs;

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use signet::app::{App, Settings, Tab};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An app without a window.
pub(crate) struct Driver {
    pub(crate) harness: Harness<'static, App>,
}

impl Driver {
    /// On a folder of runs, with a tab shown.
    pub(crate) fn new(runs: &Path, tab: Tab) -> Self {
        let settings = Settings { runs: runs.into(), tab, ..Settings::default() };
        let draw = |ui: &mut eframe::egui::Ui, app: &mut App| {
            app.poll();
            app.ui(ui);
        };
        Self { harness: Harness::builder().with_size([1280.0, 1600.0]).build_ui_state(draw, App::new(settings, &(Arc::new(|| ()) as _))) }
    }

    /// Whether there is something of this name, or with this text in its name.
    pub(crate) fn shows(&self, text: &str, part: bool) -> bool {
        let nodes = if part { self.harness.query_all_by_label_contains(text).count() } else { self.harness.query_all_by_label(text).count() };
        nodes > 0
    }

    /// Draws until something is so.
    pub(crate) fn wait_until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain for {what}; there is {:?}", self.labels());
            self.harness.step();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Draws until there is something of this name.
    pub(crate) fn wait_for(&mut self, name: &str) {
        self.wait_until(name, |app| app.shows(name, false));
    }

    /// Clicks what has this name: the first where there are several.
    pub(crate) fn click(&mut self, name: &str) {
        self.wait_for(name);
        self.harness.query_all_by_label(name).next().expect("it was there").click();
        self.harness.run_steps(3);
    }

    fn labels(&self) -> Vec<String> {
        self.harness.root().children_recursive().filter_map(|node| node.accesskit_node().label()).collect()
    }
}
