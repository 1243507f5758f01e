//! Signet's desktop and browser app: tabs over the runner. Each tab owns its workers, so that drawing and work
//! never wait for each other. Tabs send requests to each other through [`Shared`]. A module uses only modules
//! above it in the list below.

// Tests may use files and threads, which clippy.toml reserves for `signet::platform`.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

// Parts that do not depend on the app.
mod percent;
mod pick;
mod widgets;

mod dialog;
mod environment;
pub mod mirror;
pub mod plots;

// The app's state, and the trait of a tab.
mod action;
mod notices;
mod settings;
mod shared;
mod tab_view;

// The tabs.
mod chat;
mod devices;
mod runs;
mod train;
mod weights;

// The app without a window, in a browser, and in a native window.
pub mod bench;
#[cfg(not(target_arch = "wasm32"))]
mod graphics;
#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(not(target_arch = "wasm32"))]
mod window;

pub use action::Action;
pub use environment::{Environment, Page};
#[cfg(target_arch = "wasm32")]
pub use page::{Browser, open_page};
pub use settings::{ChatSettings, Form, Settings};
pub use shared::{RunSnapshot, Shared, Training};
#[cfg(not(target_arch = "wasm32"))]
pub use window::{Options, open};

use eframe::egui::{self, Key, KeyboardShortcut, Modifiers, Panel, Ui};
use notices::Undo;
use serde::{Deserialize, Serialize};
use signet::runner::{Command, Event, Reply, Tuning, Wake, Worker};
use tab_view::{TabView, tabs};
use widgets::{heading, install_fonts, section};

tabs! {
    /// Train a model.
    #[default]
    Train => train: train::TrainTab,
    /// List and compare runs.
    Runs => runs: runs::RunsTab,
    /// Chat with a model.
    Chat => chat: chat::ChatTab,
    /// View a model's weights.
    Weights => weights: weights::WeightsTab,
    /// Adapters, conformance, benchmarks.
    Devices => devices: devices::DevicesTab,
}

/// The app, independent of its window.
pub struct App {
    /// State shared by all tabs.
    pub shared: Shared,
    tabs: Tabs,
    /// Worker that runs undo commands, and lists adapters at the start.
    background: Worker,
    /// State of a request to close the window while a run trains.
    closing: Closing,
    /// True once the fonts are installed, in the first frame.
    fonts_installed: bool,
}

/// State of a request to close the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// No request.
    No,
    /// The user is being asked.
    Asked,
    /// The run is being saved; then the window closes.
    Saving,
    /// The window can close.
    Now,
}

impl App {
    /// Creates the app with stored settings; workers call `wake` when there is something to draw.
    pub fn new(settings: Settings, wake: &Wake) -> Self {
        let mut background = Worker::spawn("errands", Tuning::Off, wake.clone());
        background.send(Command::Devices);
        Self { shared: Shared::new(settings), tabs: Tabs::new(wake), background, closing: Closing::No, fonts_installed: false }
    }

    /// Handles the workers' replies since the last call, and the requests of tabs to each other.
    pub fn poll(&mut self) {
        for reply in self.background.poll() {
            match reply {
                Reply::Event(Event::Devices { adapters }) => {
                    self.shared.devices = adapters;
                    self.shared.devices_listed = true;
                }
                Reply::Event(_) | Reply::Restarted { .. } | Reply::Ended { error: None } => {}
                Reply::Ended { error: Some(error) } => self.shared.notices.warn(error.text),
            }
        }
        for tab in Tab::ALL {
            self.tabs.view(*tab).poll(&mut self.shared);
        }
        for undo in self.shared.notices.undone() {
            match undo {
                Undo::Command(command) => self.background.send(*command),
                Undo::Action(action) => self.shared.ask(action),
            }
        }
        for action in std::mem::take(&mut self.shared.actions) {
            self.act(action);
        }
        if self.closing == Closing::Saving && self.shared.training.is_none() {
            // If the run could not be saved, the window stays open to show the error.
            self.closing = if self.tabs.train.failed() { Closing::No } else { Closing::Now };
        }
    }

    /// Handles a reply as if it came from the tab's worker; used to replay recorded events.
    pub fn handle(&mut self, tab: Tab, reply: Reply) {
        self.tabs.view(tab).handle(reply, &mut self.shared);
    }

    /// Passes an action to the tab that handles it, and shows that tab.
    fn act(&mut self, mut action: Action) {
        if let Action::Open(tab) = action {
            self.shared.settings.tab = tab;
            return;
        }
        for tab in Tab::ALL {
            match self.tabs.view(*tab).act(action, &mut self.shared) {
                None => {
                    self.shared.settings.tab = *tab;
                    return;
                }
                Some(others) => action = others,
            }
        }
        // A request that no tab handles is a bug; report it in tests.
        debug_assert!(false, "no tab takes {action:?}");
    }

    /// Shows the Devices tab and starts a conformance check of the first adapter, limited to cases whose names
    /// contain `filter`.
    pub fn start_conformance(&mut self, filter: String) {
        self.shared.settings.tab = Tab::Devices;
        self.tabs.devices.start_conformance(filter);
    }

    /// Returns the report of that check as JSON or its error, once it is over.
    pub fn conformance_result(&self) -> Option<Result<String, String>> {
        let report = self.tabs.devices.conformance_result()?;
        Some(report.map_err(str::to_string).and_then(|report| serde_json::to_string_pretty(report).map_err(|error| error.to_string())))
    }

    /// Draws the app.
    pub fn ui(&mut self, ui: &mut Ui) {
        if !std::mem::replace(&mut self.fonts_installed, true) {
            install_fonts(ui.ctx());
        }
        self.shortcuts(ui);
        Panel::top("tabs").show(ui, |ui| self.bar(ui));
        if !self.shared.notices.is_empty() {
            Panel::bottom("notices").show(ui, |ui| self.shared.notices.ui(ui));
        }
        self.browser_lines(ui);
        egui::CentralPanel::default()
            .show(ui, |ui| section(ui, self.shared.settings.tab, |ui| self.tabs.view(self.shared.settings.tab).ui(ui, &mut self.shared)));
        if matches!(self.closing, Closing::Asked | Closing::Saving) {
            self.ask_before_closing(ui);
        }
    }

    /// Handles the keys of the current tab, and Ctrl with a digit for each tab.
    fn shortcuts(&mut self, ui: &Ui) {
        self.tabs.view(self.shared.settings.tab).keys(ui, &mut self.shared);
        const KEYS: [Key; 9] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];
        for (tab, key) in Tab::ALL.iter().zip(KEYS) {
            if ui.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, key))) {
                self.shared.settings.tab = *tab;
            }
        }
    }

    fn bar(&mut self, ui: &mut Ui) {
        ui.horizontal_wrapped(|ui| {
            for (n, &tab) in Tab::ALL.iter().enumerate() {
                let chosen = self.shared.settings.tab == tab;
                if ui.selectable_label(chosen, tab.name()).on_hover_text(format!("Ctrl+{}", n + 1)).clicked() {
                    self.shared.settings.tab = tab;
                }
            }
            ui.separator();
            for (theme, name) in
                [(egui::ThemePreference::System, "As the system"), (egui::ThemePreference::Light, "Light"), (egui::ThemePreference::Dark, "Dark")]
            {
                if ui.selectable_value(&mut self.shared.settings.theme, theme, name).clicked() {
                    ui.ctx().set_theme(theme);
                }
            }
            ui.separator();
            if ui.button("Smaller").on_hover_text("Ctrl+-").clicked() {
                egui::gui_zoom::zoom_out(ui.ctx());
            }
            if ui.button("Larger").on_hover_text("Ctrl++").clicked() {
                egui::gui_zoom::zoom_in(ui.ctx());
            }
            if let Some(training) = &self.shared.training {
                ui.separator();
                let name = training.run.file_name().unwrap_or_default().to_string_lossy();
                ui.label(format!("{name}: {}", training.state()));
            }
        });
    }

    /// Draws the lines that only a browser has: the compute device, and a model that a link asks for.
    fn browser_lines(&mut self, ui: &mut Ui) {
        if let Some(page) = &self.shared.environment.page {
            let line = page.line(self.shared.devices_listed.then_some(&self.shared.devices));
            Panel::bottom("where").show(ui, |ui| ui.add(egui::Label::new(egui::RichText::new(line).small()).wrap()));
        }
        let Some(model) = self.shared.offered.clone() else { return };
        Panel::top("offer").show(ui, |ui| {
            let asked = format!("The link asks for the model {model}. It is fetched from there if you agree; whoever keeps it there sees your address.");
            ui.add(egui::Label::new(asked).wrap());
            ui.horizontal_wrapped(|ui| {
                if ui.button("Fetch this model").clicked() {
                    self.shared.offered = None;
                    self.shared.ask(Action::Open(Tab::Chat));
                    self.tabs.chat.fetch(model);
                }
                if ui.button("Do not").clicked() {
                    self.shared.offered = None;
                }
            });
        });
    }

    /// Returns all chat messages, for the accessible mirror.
    pub fn messages(&self) -> impl Iterator<Item = mirror::LogMessage<'_>> {
        self.tabs.chat.messages()
    }

    /// Applies the fragment of the page's URL (after `#`); downloads nothing before the user agrees.
    pub fn open_link(&mut self, fragment: &str) {
        self.tabs.chat.apply_link(fragment, &mut self.shared);
    }

    /// Handles a request to close the window; returns true if it may close now.
    pub fn may_close(&mut self) -> bool {
        if self.closing == Closing::No && self.shared.training.is_some() {
            self.closing = Closing::Asked;
        }
        self.closing != Closing::Asked && self.closing != Closing::Saving
    }

    /// Closes without asking, after saving a run in training; Ctrl-C in a terminal does this.
    pub fn close(&mut self) {
        match (self.closing, &self.shared.training) {
            (Closing::Saving | Closing::Now, _) => {}
            (_, None) => self.closing = Closing::Now,
            (_, Some(_)) => {
                self.closing = Closing::Saving;
                self.tabs.train.stop();
            }
        }
    }

    /// True once a window whose closing waited for a run can close.
    pub fn closes(&self) -> bool {
        self.closing == Closing::Now
    }

    fn ask_before_closing(&mut self, ui: &mut Ui) {
        egui::Modal::new(egui::Id::unique("closing")).show(ui.ctx(), |ui| {
            if self.closing == Closing::Saving {
                ui.label("Saving the run…");
                if ui.button("Close without waiting").on_hover_text("The last checkpoint stays").clicked() {
                    self.closing = Closing::Now;
                }
                return;
            }
            heading(ui, "A run is in training");
            ui.label("It can be saved and continued later where it stopped, to the same bits.");
            ui.horizontal_wrapped(|ui| {
                let save = ui.button("Save and close");
                if ui.memory(|memory| memory.focused().is_none()) {
                    save.request_focus();
                }
                if save.clicked() {
                    self.close();
                }
                if ui.button("Keep training").clicked() || ui.input(|input| input.key_pressed(Key::Escape)) {
                    self.closing = Closing::No;
                }
            });
        });
    }
}
