//! Presets: open and save settings as TOML files, by a dialog or by a path.

use super::draft::{Browse, Draft};
use crate::dialog::Pick;
use crate::shared::Shared;
use eframe::egui::{self, Ui};
use signet::runner::Command;
use std::path::PathBuf;

/// The controls of presets.
#[derive(Default)]
pub(super) struct Presets {
    /// The path being typed.
    path: String,
}

impl Presets {
    /// Draws the buttons to open and save presets, and a path that replaces the dialog.
    pub(super) fn ui(&mut self, ui: &mut Ui, draft: &mut Draft, shared: &Shared) {
        ui.horizontal_wrapped(|ui| {
            let path = PathBuf::from(self.path.trim());
            let typed = !path.as_os_str().is_empty();
            if ui.button("Open preset…").on_hover_text("Settings from a TOML file, such as a run's run.toml; can be undone").clicked() {
                match typed {
                    true => draft.send(Command::OpenSettings { path: path.clone() }),
                    false => draft.dialog.open(Browse::OpenPreset, Pick::File),
                }
            }
            let whole = draft.checked.problems.is_empty();
            let save = ui.add_enabled(whole, egui::Button::new("Save preset…")).on_hover_text("The settings as a TOML file that `signet train --config` reads");
            if save.on_disabled_hover_text("Some settings are refused").clicked() {
                match typed {
                    true => draft.save_preset(path),
                    false => draft.dialog.open(Browse::SavePreset, Pick::Save),
                }
            }
            let edit = ui.add(egui::TextEdit::singleline(&mut self.path).desired_width(130.0).hint_text("path, or choose"));
            edit.accessible_name("Path of a preset").on_hover_text("Used in place of the dialog, if it is given");
        });
        match shared.settings.form.typed.len() {
            0 => {}
            1 => _ = ui.label("One setting is not as by default"),
            changed => _ = ui.label(format!("{changed} settings are not as by default")),
        }
    }
}
