//! Tests of the app through accessible names, with real workers on the CPU device.

mod chat;
mod devices;
mod focus;
mod form;
mod live;
mod narrow;
mod program;
mod runs;
mod snapshots;
mod train;
mod weights;

use crate::shared::Scratch;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use signet_app::{App, Settings, Tab};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An app without a window.
pub(crate) struct Driver {
    pub(crate) harness: Harness<'static, App>,
}

impl Driver {
    /// Opens the app on a folder of runs, at a tab.
    pub(crate) fn new(runs: &Path, tab: Tab) -> Self {
        let settings = Settings { runs: runs.into(), tab, ..Settings::default() };
        let draw = |ui: &mut eframe::egui::Ui, app: &mut App| {
            app.poll();
            app.ui(ui);
        };
        Self { harness: Harness::builder().with_size([1280.0, 1600.0]).build_ui_state(draw, App::new(settings, &(Arc::new(|| ()) as _))) }
    }

    /// Returns true if there is a node with this name or, if `part`, with this text in its name.
    pub(crate) fn shows(&self, text: &str, part: bool) -> bool {
        let nodes = if part { self.harness.query_all_by_label_contains(text).count() } else { self.harness.query_all_by_label(text).count() };
        nodes > 0
    }

    /// Draws frames until a condition holds.
    pub(crate) fn wait_until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < Duration::from_secs(300), "waited in vain for {what}; there is {:?}", self.labels());
            self.harness.step();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Draws frames until there is a node of this name.
    pub(crate) fn wait_for(&mut self, name: &str) {
        self.wait_until(name, |app| app.shows(name, false));
    }

    /// Clicks the first node of this name.
    pub(crate) fn click(&mut self, name: &str) {
        self.wait_for(name);
        // Draw again, so that the node has its final position.
        self.harness.run_steps(4);
        self.harness.query_all_by_label(name).next().expect("it was there").click();
        self.harness.run_steps(3);
    }

    fn labels(&self) -> Vec<String> {
        self.harness.root().children_recursive().filter_map(|node| node.accesskit_node().label()).collect()
    }
}

impl Scratch {
    /// A short text to train on: the embedded corpus takes seconds to tokenize.
    pub(crate) fn text(&self) -> PathBuf {
        let path = self.0.join("text.txt");
        std::fs::write(&path, "Once upon a time a small model read a short text, and then it read it once more.\n".repeat(200)).unwrap();
        path
    }
}

#[test]
fn every_tab_is_reached_by_name_and_by_keys() {
    use eframe::egui::{Key, Modifiers};
    let scratch = Scratch::new("tabs");
    let mut driver = Driver::new(&scratch.0, Tab::Devices);
    for (tab, key) in Tab::ALL.iter().copied().zip([Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5]) {
        driver.click(tab.name());
        assert_eq!(driver.harness.state().shared.settings.tab, tab);
        for (key, tab) in [(Key::Num3, Tab::Chat), (key, tab)] {
            driver.harness.key_press_modifiers(Modifiers::COMMAND, key);
            driver.harness.run_steps(2);
            assert_eq!(driver.harness.state().shared.settings.tab, tab);
        }
    }
}
