//! The window: tabs over the runner. Each tab owns its workers, so that drawing never waits for work
//! and work never waits for drawing; what one tab asks of another goes through [`Shared`].

pub mod bench;
pub mod mirror;
pub mod plots;

mod chat;
mod devices;
mod dialog;
#[cfg(not(target_arch = "wasm32"))]
mod graphics;
mod notices;
#[cfg(target_arch = "wasm32")]
mod page;
mod pick;
mod runs;
mod settings;
mod shared;
mod surroundings;
mod train;
mod weights;
#[cfg(not(target_arch = "wasm32"))]
mod window;

pub use chat::ChatSettings;
#[cfg(target_arch = "wasm32")]
pub use page::{Browser, open_page};
pub use settings::Settings;
pub use shared::{Action, Shared, Taken, Training};
pub use surroundings::{Page, Surroundings};
pub use train::Form;
#[cfg(not(target_arch = "wasm32"))]
pub use window::{Options, open};

use eframe::egui::{self, Key, KeyboardShortcut, Modifiers, Panel, Ui};
use notices::Undo;
use serde::{Deserialize, Serialize};
use signet::runner::{Command, Event, Reply, Tuning, Wake, Worker};

/// A tab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tab {
    /// Train a model.
    #[default]
    Train,
    /// Runs made so far.
    Runs,
    /// Talk to a model.
    Chat,
    /// See its weights.
    Weights,
    /// Adapters, conformance, benchmarks.
    Devices,
}

impl Tab {
    /// All, from left to right.
    pub const ALL: [Tab; 5] = [Tab::Train, Tab::Runs, Tab::Chat, Tab::Weights, Tab::Devices];

    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Tab::Train => "Train",
            Tab::Runs => "Runs",
            Tab::Chat => "Chat",
            Tab::Weights => "Weights",
            Tab::Devices => "Devices",
        }
    }
}

/// The app, apart from its window.
pub struct App {
    /// What all tabs see.
    pub shared: Shared,
    train: train::TrainTab,
    runs: runs::RunsTab,
    chat: chat::ChatTab,
    weights: weights::WeightsTab,
    devices: devices::DevicesTab,
    /// Undoes things, and looks for adapters at the start.
    errands: Worker,
    /// Whether somebody wants to close the window while a run trains.
    closing: Closing,
}

/// What comes of a wish to close the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// There is none.
    No,
    /// The person is asked.
    Asked,
    /// The run saves itself, then the window closes.
    Saving,
    /// Nothing is in the way.
    Now,
}

impl App {
    /// The app with what was remembered; `wake` is called when there is something to draw.
    pub fn new(settings: Settings, wake: &Wake) -> Self {
        let mut errands = Worker::spawn("errands", Tuning::Off, wake.clone());
        errands.send(Command::Devices);
        Self {
            shared: Shared::new(settings),
            train: train::TrainTab::new(wake),
            runs: runs::RunsTab::new(wake),
            chat: chat::ChatTab::new(wake),
            weights: weights::WeightsTab::new(wake),
            devices: devices::DevicesTab::new(wake),
            errands,
            closing: Closing::No,
        }
    }

    /// Takes what the workers said since the last time, and does what tabs asked of each other.
    pub fn poll(&mut self) {
        for reply in self.errands.poll() {
            match reply {
                Reply::Event(Event::Devices { adapters }) => {
                    self.shared.devices = adapters;
                    self.shared.looked = true;
                }
                Reply::Event(_) | Reply::Anew { .. } | Reply::Ended { error: None } => {}
                Reply::Ended { error: Some(error) } => self.shared.notices.warn(error),
            }
        }
        self.train.poll(&mut self.shared);
        self.runs.poll(&mut self.shared);
        self.chat.poll(&mut self.shared);
        self.weights.poll(&mut self.shared);
        self.devices.poll(&mut self.shared);
        for undo in self.shared.notices.undone() {
            match undo {
                Undo::Command(command) => self.errands.send(*command),
                Undo::Action(action) => self.shared.ask(action),
            }
        }
        for action in std::mem::take(&mut self.shared.actions) {
            self.act(action);
        }
        if self.closing == Closing::Saving && self.shared.training.is_none() {
            // A run that could not be saved is first looked at.
            self.closing = if self.train.failed() { Closing::No } else { Closing::Now };
        }
    }

    /// Applies a reply as if the tab's worker had given it: what recorded events are shown with.
    pub fn take(&mut self, tab: Tab, reply: Reply) {
        match tab {
            Tab::Train => self.train.take(reply, &mut self.shared),
            Tab::Runs => self.runs.take(reply, &mut self.shared),
            Tab::Chat => self.chat.take(reply, &mut self.shared),
            Tab::Weights => self.weights.take(reply, &mut self.shared),
            Tab::Devices => self.devices.take(reply, &mut self.shared),
        }
    }

    fn act(&mut self, action: Action) {
        let tab = match action {
            Action::Open(tab) => tab,
            Action::UseSettings { config, name } => {
                self.train.use_settings(*config, name, &mut self.shared);
                Tab::Train
            }
            Action::Continue(run) => {
                self.train.go_on(run, &mut self.shared);
                Tab::Train
            }
            Action::Chat(model) => {
                self.chat.choose(model, &mut self.shared);
                Tab::Chat
            }
            Action::Weights(model) => {
                self.weights.choose(model, &mut self.shared);
                Tab::Weights
            }
        };
        self.shared.settings.tab = tab;
    }

    /// Shows the devices, and runs the conformance of the first by itself: of the cases with `filter` in
    /// their names.
    pub fn certify(&mut self, filter: String) {
        self.shared.settings.tab = Tab::Devices;
        self.devices.certify(filter);
    }

    /// What came of it as JSON, once it is over; why it failed, if it did.
    pub fn certificate(&self) -> Option<Result<String, String>> {
        let report = self.devices.certificate()?;
        Some(report.map_err(str::to_string).and_then(|report| serde_json::to_string_pretty(report).map_err(|error| error.to_string())))
    }

    /// Draws everything.
    pub fn ui(&mut self, ui: &mut Ui) {
        self.shortcuts(ui);
        Panel::top("tabs").show(ui, |ui| self.bar(ui));
        if !self.shared.notices.is_empty() {
            Panel::bottom("notices").show(ui, |ui| self.shared.notices.ui(ui));
        }
        self.about_the_page(ui);
        egui::CentralPanel::default().show(ui, |ui| section(ui, self.shared.settings.tab, |ui| self.tab(ui)));
        if matches!(self.closing, Closing::Asked | Closing::Saving) {
            self.ask_before_closing(ui);
        }
    }

    /// Draws the tab that is shown.
    fn tab(&mut self, ui: &mut Ui) {
        match self.shared.settings.tab {
            Tab::Train => self.train.ui(ui, &mut self.shared),
            Tab::Runs => self.runs.ui(ui, &mut self.shared),
            Tab::Chat => self.chat.ui(ui, &mut self.shared),
            Tab::Weights => self.weights.ui(ui, &mut self.shared),
            Tab::Devices => self.devices.ui(ui, &mut self.shared),
        }
    }

    /// Ctrl+1 to Ctrl+5 show a tab; Ctrl+Enter begins a run or lets it go on, with Shift it resumes one.
    fn shortcuts(&mut self, ui: &Ui) {
        let pressed = |modifiers| ui.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(modifiers, Key::Enter)));
        if self.shared.settings.tab == Tab::Train {
            if pressed(Modifiers::COMMAND | Modifiers::SHIFT) {
                self.train.resume(&mut self.shared);
            } else if pressed(Modifiers::COMMAND) {
                self.train.primary(&mut self.shared);
            }
        }
        const KEYS: [Key; 5] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5];
        for (tab, key) in Tab::ALL.into_iter().zip(KEYS) {
            if ui.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, key))) {
                self.shared.settings.tab = tab;
            }
        }
    }

    fn bar(&mut self, ui: &mut Ui) {
        ui.horizontal_wrapped(|ui| {
            for (n, tab) in Tab::ALL.into_iter().enumerate() {
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

    /// What a page tells besides: where it computes, and what a link asks for.
    fn about_the_page(&mut self, ui: &mut Ui) {
        if let Some(page) = &self.shared.surroundings.page {
            let line = page.line(self.shared.looked.then_some(&self.shared.devices));
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
                    self.chat.fetch(model);
                }
                if ui.button("Do not").clicked() {
                    self.shared.offered = None;
                }
            });
        });
    }

    /// All that was said in the chat, for those who cannot see it.
    pub fn said(&self) -> impl Iterator<Item = mirror::Said<'_>> {
        self.chat.said()
    }

    /// Takes what the address of the page says after `#`; nothing is fetched for it before somebody agrees.
    pub fn open_link(&mut self, fragment: &str) {
        self.chat.take_link(fragment, &mut self.shared);
    }

    /// Somebody wants to close the window; whether it may close now.
    pub fn may_close(&mut self) -> bool {
        if self.closing == Closing::No && self.shared.training.is_some() {
            self.closing = Closing::Asked;
        }
        self.closing != Closing::Asked && self.closing != Closing::Saving
    }

    /// Closes without asking, once a run in training is saved: what Ctrl-C in a terminal means.
    pub fn close(&mut self) {
        match (self.closing, &self.shared.training) {
            (Closing::Saving | Closing::Now, _) => {}
            (_, None) => self.closing = Closing::Now,
            (_, Some(_)) => {
                self.closing = Closing::Saving;
                self.train.stop();
            }
        }
    }

    /// Whether a window that was asked to close while a run trained can close by now.
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

/// A part of the window whose controls keep their ids, and with them the focus, whatever appears before
/// it: egui counts the widgets before a control otherwise. `name` is unique within `ui`.
fn section<R>(ui: &mut Ui, name: impl egui::AsIdSalt, add: impl FnOnce(&mut Ui) -> R) -> R {
    let id = ui.scope_id().with(name);
    ui.scope_builder(egui::UiBuilder::new().scope_id(id), add).inner
}

/// A heading, which is one for screen readers too.
fn heading(ui: &mut Ui, text: impl Into<String>) {
    let text = text.into();
    let shown = ui.heading(&text);
    ui.ctx().accesskit_node_builder(shown.id, |node| {
        node.set_role(egui::Role::Heading);
        node.set_label(text);
    });
}
