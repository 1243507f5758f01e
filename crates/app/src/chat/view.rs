//! Layout of the Chat tab: model, sampling, conversation, message field.

use super::super::dialog::Pick;
use super::super::shared::Shared;
use super::transcript::TurnAction;
use super::{ChatTab, link, sampling, shade};
use crate::settings::ChatSettings;
use crate::widgets::{heading, section};
use eframe::egui::{CollapsingHeader, ComboBox, Context, Key, KeyboardShortcut, Modifiers, Panel, RichText, ScrollArea, TextEdit, Ui};

/// Minimum width for settings beside the conversation, in points.
const WIDE: f32 = 720.0;
/// Width of the settings, in points.
const SIDE: f32 = 290.0;

impl ChatTab {
    /// Draws the tab.
    pub(super) fn draw(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.open_files(ui.ctx(), shared);
        if ui.available_width() >= WIDE {
            Panel::left("chat-settings").default_size(SIDE).show(ui, |ui| {
                ScrollArea::vertical().id_salt("chat-settings").show(ui, |ui| self.settings(ui, shared));
            });
        } else {
            CollapsingHeader::new("Model and settings").default_open(self.conversation.turns().is_empty()).show(ui, |ui| {
                ScrollArea::vertical().id_salt("chat-settings").max_height(ui.available_height() * 0.5).show(ui, |ui| self.settings(ui, shared));
            });
        }
        Panel::bottom("chat-composer").show(ui, |ui| {
            self.status_ui(ui);
            section(ui, "composer", |ui| self.composer(ui, shared));
        });
        if shared.settings.chat.side_by_side {
            shade::legend(ui);
        }
        let busy = self.busy();
        match section(ui, "transcript", |ui| self.transcript.ui(ui, &mut self.conversation, &mut self.editing, busy)) {
            Some(TurnAction::Edit(turn)) => self.editing = self.conversation.turns().get(turn).map(|edited| (turn, edited.user.clone())),
            Some(TurnAction::Cancel) => self.editing = None,
            Some(TurnAction::SendEdited) => {
                if let Some((turn, text)) = self.editing.clone() {
                    self.send(turn, text, 0, shared);
                }
            }
            None => {}
        }
        if busy && ui.input(|input| input.key_pressed(Key::Escape)) {
            self.stop();
        }
    }

    /// Opens a file that was dropped on the tab or chosen in a dialog.
    fn open_files(&mut self, context: &Context, shared: &mut Shared) {
        let dropped = context.input(|input| input.raw.dropped_files.first().map(|file| file.path().to_path_buf()));
        if let Some(path) = dropped.or_else(|| self.dialog.chosen(context).map(|(_, path)| path)) {
            self.choose(path.display().to_string(), shared);
        }
    }

    fn settings(&mut self, ui: &mut Ui, shared: &mut Shared) {
        heading(ui, "Model");
        ui.add_enabled_ui(!self.busy(), |ui| self.model(ui, shared));
        if let Some(model) = self.models.as_mut().and_then(|models| models.ui(ui)) {
            self.choose(model, shared);
        }
        self.status(ui, shared);
        ui.separator();
        section(ui, "system", |ui| sampling::system(ui, &mut shared.settings.chat.system));
        section(ui, "sampling", |ui| {
            CollapsingHeader::new("Sampling").default_open(true).show(ui, |ui| sampling::controls(ui, &mut shared.settings.chat.request));
        });
        if let Some(page) = &shared.environment.page
            && ui.button("Copy a link to these settings").on_hover_text("The model, if it is in the network, the sampling, and the system prompt").clicked()
        {
            let mut chat = shared.settings.chat.clone();
            if let Some(address) = self.models.as_ref().and_then(|models| models.address_of(&chat.model)) {
                chat.model = address.into();
            }
            ui.ctx().copy_text(link::format(&page.address, &chat));
            shared.notices.tell("The link is in the clipboard");
        }
    }

    fn model(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let mut chosen = None;
        ui.horizontal_wrapped(|ui| {
            if ui.button("Demo student").on_hover_text("The model that is part of the program").clicked() {
                chosen = Some("embedded".to_string());
            }
            if let Some(training) = &shared.training
                && ui.button("Model in training").on_hover_text("As it is between two steps; the training goes on").clicked()
            {
                chosen = Some(training.run.display().to_string());
            }
            if ui.button("Browse file…").on_hover_text("A packed model; it can also be dropped here").clicked() {
                self.dialog.open((), Pick::File);
            }
            if shared.environment.folders()
                && ui.button("Browse folder…").on_hover_text("A model's or a run's directory; it can also be dropped here").clicked()
            {
                self.dialog.open((), Pick::Folder);
            }
        });
        match &self.in_training {
            Some(run) => _ = ui.label(format!("The model in training in {}", run.display())),
            None => {
                let label = ui.label("Model path").on_hover_text("embedded, a packed or GGUF file, a model directory, or a run's directory");
                ui.add(TextEdit::singleline(&mut shared.settings.chat.model).desired_width(f32::INFINITY)).labelled_by(label.id);
            }
        }
        device(ui, shared);
        section(ui, "teacher", |ui| teacher(ui, &mut shared.settings.chat));
        section(ui, "load", |ui| self.load(ui, shared, chosen));
    }

    /// Draws the controls that load a model, and loads one if it was chosen.
    fn load(&mut self, ui: &mut Ui, shared: &mut Shared, mut chosen: Option<String>) {
        let chat = &mut shared.settings.chat;
        if self.in_training.is_some() {
            ui.checkbox(&mut chat.follow, "Refresh before every reply");
            if self.open.is_some() && ui.button("Refresh from training").clicked() {
                self.refresh(shared);
            }
        }
        let stale = self.open.as_ref() != Some(&self.setup(shared));
        if ui.add_enabled(stale, eframe::egui::Button::new("Load model")).on_hover_text("Sending a message does it too").clicked() {
            chosen = Some(self.setup(shared).model);
        }
        if let Some(model) = chosen {
            self.choose(model, shared);
        }
    }

    /// Draws the loaded models, their cost to the training in progress, and the last error.
    fn status(&mut self, ui: &mut Ui, shared: &mut Shared) {
        for line in &self.loaded {
            ui.small(line);
        }
        if let Some(step) = self.step {
            ui.label(format!("Snapshot of step {step}"));
        }
        if let Some(line) = self.cost(shared) {
            ui.label(line);
        }
        let Some(problem) = self.problem.clone() else { return };
        ui.colored_label(ui.visuals().error_fg_color, problem);
        ui.horizontal_wrapped(|ui| {
            if ui.button("Dismiss the error").clicked() {
                self.problem = None;
            }
            let before = self.before.clone().filter(|before| !before.in_training);
            if let Some(before) = before
                && ui.button(format!("Use {} again", before.model)).clicked()
            {
                shared.settings.chat.side_by_side = before.teacher.is_some();
                self.choose(before.model, shared);
            }
        });
    }

    /// Returns a line about the training's speed before and during the last reply.
    fn cost(&self, shared: &Shared) -> Option<String> {
        shared.training.as_ref()?;
        let (before, during) = self.training;
        let mut line = format!("Training: {:.0} tokens/s before", before?);
        if let Some(during) = during {
            line += &format!(", {during:.0} during the last reply");
        }
        if let Some(taken) = shared.snapshot.as_ref() {
            line += &format!("; the snapshot of step {} took it {:.3} s", taken.snapshot.step, taken.seconds);
        }
        Some(line)
    }

    /// Draws the current activity, as a live region for screen readers.
    fn status_ui(&self, ui: &mut Ui) {
        if !self.status.is_empty() {
            let label = ui.label(&self.status);
            ui.ctx().accesskit_node_builder(label.id, |node| node.set_live(eframe::egui::accesskit::Live::Polite));
        }
    }

    fn composer(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let label = ui.label(RichText::new("Message").strong()).on_hover_text("Enter sends, Shift+Enter is a new line, Escape stops a reply");
        let newline = KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter);
        let edit = TextEdit::multiline(&mut self.draft).desired_rows(2).desired_width(f32::INFINITY).return_key(newline).hint_text("Say something");
        let message = ui.add(edit).labelled_by(label.id);
        let entered = message.has_focus() && ui.input(|input| input.key_pressed(Key::Enter) && !input.modifiers.shift);
        let busy = self.busy();
        let (mut send, mut again) = (entered && !busy, false);
        ui.horizontal_wrapped(|ui| {
            let button = |ui: &mut Ui, enabled, text: &str| ui.add_enabled(enabled, eframe::egui::Button::new(text)).clicked();
            send |= button(ui, !busy && !self.draft.trim().is_empty(), "Send");
            if button(ui, busy, "Stop") {
                self.stop();
            }
            let turns = self.conversation.turns().len();
            again = button(ui, !busy && turns > 0, "Regenerate");
            if button(ui, !busy && turns > 0, "New conversation") {
                self.conversation.clear();
                self.editing = None;
            }
            if button(ui, !busy && self.conversation.can_undo(), "Undo the last change") {
                self.conversation.undo();
                self.editing = None;
            }
        });
        let turns = self.conversation.turns().len();
        if send {
            self.send(turns, self.draft.trim_end().to_string(), 0, shared);
        } else if again && let Some(last) = self.conversation.turns().last() {
            self.send(turns - 1, last.user.clone(), last.attempt + 1, shared);
        }
    }
}

/// Draws the choice of a teacher for side-by-side replies.
fn teacher(ui: &mut Ui, chat: &mut ChatSettings) {
    ui.checkbox(&mut chat.side_by_side, "Side by side with a teacher");
    if chat.side_by_side {
        let label = ui.label("Teacher path").on_hover_text("embedded for the embedded teacher, or a file or directory; it must have the same tokens");
        ui.add(TextEdit::singleline(&mut chat.teacher).desired_width(f32::INFINITY)).labelled_by(label.id);
    }
}

/// Draws the choice of the device.
fn device(ui: &mut Ui, shared: &mut Shared) {
    let mut choices = vec![("auto".to_string(), "The best device".to_string()), ("cpu".into(), "The CPU device".into())];
    choices.extend(shared.devices.iter().filter(|device| device.lacks.is_empty()).map(|device| (device.index.to_string(), device.name.clone())));
    let chosen = &mut shared.settings.chat.device;
    let shown = choices.iter().find(|(device, _)| device == chosen).map_or(chosen.clone(), |(_, name)| name.clone());
    ComboBox::from_label("Device of the chat").selected_text(shown).truncate().show_ui(ui, |ui| {
        for (device, name) in choices {
            ui.selectable_value(chosen, device, name);
        }
    });
}
