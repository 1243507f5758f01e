//! The list of text files to train on, and the field that adds one.

use super::draft::{Browse, Draft};
use crate::dialog::Pick;
use crate::settings::Form;
use crate::shared::Shared;
use crate::widgets::{refused, section};
use eframe::egui::{self, Ui};
use signet::runner::Setting;
use std::path::PathBuf;

/// The list.
#[derive(Default)]
pub(super) struct Texts {
    /// The path being typed.
    typed: String,
}

impl Texts {
    /// Draws each file with its size or its error, and the field for another.
    pub(super) fn ui(&mut self, ui: &mut Ui, field: &Setting, draft: &mut Draft, shared: &mut Shared) {
        ui.label(field.label);
        if shared.settings.form.data.is_empty() {
            ui.add(egui::Label::new("The embedded corpus. Drop text files here, or add them:").wrap());
        }
        let mut removed = None;
        for (n, path) in shared.settings.form.data.iter().enumerate() {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            section(ui, ("text", path), |ui| {
                ui.horizontal_wrapped(|ui| {
                    if ui.small_button("Remove").on_hover_text("Takes it off the list; can be undone").accessible_name(format!("Remove {name}")).clicked() {
                        removed = Some(n);
                    }
                    let what = match draft.inputs.checked(path) {
                        Some(Ok(what)) => what.as_str(),
                        Some(Err(_)) => "cannot be used",
                        None => "looking…",
                    };
                    ui.add(egui::Label::new(format!("{name}: {what}")).wrap()).on_hover_text(path.display().to_string());
                });
            });
            if let Some(problem) = draft.inputs.problem(path) {
                refused(ui, problem);
            }
        }
        if let Some(n) = removed {
            let mut form: Form = shared.settings.form.clone();
            let path = form.data.remove(n);
            draft.replace(&format!("removing {}", path.file_name().unwrap_or_default().to_string_lossy()), form, shared);
        }
        if let Some(problem) = draft.problem(field.name) {
            refused(ui, problem);
        }
        section(ui, "add text", |ui| self.add_ui(ui, draft, shared));
    }

    fn add_ui(&mut self, ui: &mut Ui, draft: &mut Draft, shared: &mut Shared) {
        ui.horizontal_wrapped(|ui| {
            let edit = ui.add(egui::TextEdit::singleline(&mut self.typed).desired_width(150.0).hint_text("path of a text file"));
            let entered = edit.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            edit.accessible_name("Path of a text file");
            let path = PathBuf::from(self.typed.trim());
            let can = !path.as_os_str().is_empty();
            if (ui
                .add_enabled(can, egui::Button::new("Add"))
                .on_hover_text("Adds the file of this path, or all files that match a pattern: text or JSON lines, also as .gz or .zst")
                .clicked()
                || entered)
                && can
            {
                self.typed.clear();
                shared.settings.form.add_text(path);
            }
            if ui.button("Browse…").accessible_name("Browse for text").clicked() {
                draft.dialog.open(Browse::Data, Pick::File);
            }
        });
    }
}
