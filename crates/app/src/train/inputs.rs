//! Files that somebody names or drops: the list of texts, and whether each is what it is taken for.

use super::form::{Browse, FormPanel};
use crate::dialog::Pick;
use crate::settings::Form;
use crate::shared::Shared;
use crate::widgets::{refused, section};
use eframe::egui::{self, Ui};
use signet::runner::{InputKind, Setting};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is known of the texts in the form.
#[derive(Default)]
pub(super) struct Inputs {
    /// What each is, or why it cannot be used; none while it is being looked at.
    texts: BTreeMap<PathBuf, Option<Result<String, String>>>,
    /// The path that is being typed.
    typed: String,
}

impl Inputs {
    /// Paths that were dropped on the window.
    pub(super) fn dropped(&self, ui: &Ui) -> Vec<PathBuf> {
        ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_path_buf()).collect())
    }

    /// Texts that nobody has looked at yet; from now on somebody has.
    pub(super) fn unknown(&mut self, data: &[PathBuf]) -> Vec<PathBuf> {
        self.texts.retain(|path, _| data.contains(path));
        let new: Vec<PathBuf> = data.iter().filter(|path| !self.texts.contains_key(*path)).cloned().collect();
        self.texts.extend(new.iter().map(|path| (path.clone(), None)));
        new
    }

    /// Takes what came of looking at a path. What was dropped and can be used is given back.
    pub(super) fn take(&mut self, path: &Path, kind: InputKind, problem: Option<String>, what: String, shared: &mut Shared) -> Option<InputKind> {
        if let Some(text) = self.texts.get_mut(path)
            && text.is_none()
        {
            *text = Some(problem.map_or(Ok(what), Err));
            return None;
        }
        match problem {
            Some(problem) => shared.notices.warn(format!("It was not taken: {problem}")),
            None => return Some(kind),
        }
        None
    }

    /// Why a text cannot be used.
    pub(super) fn problem(&self, path: &Path) -> Option<&String> {
        self.texts.get(path)?.as_ref()?.as_ref().err()
    }
}

impl FormPanel {
    /// The list of texts.
    pub(super) fn data_ui(&mut self, ui: &mut Ui, field: &Setting, shared: &mut Shared) {
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
                    let what = match self.inputs.texts.get(path) {
                        Some(Some(Ok(what))) => what.as_str(),
                        Some(Some(Err(_))) => "cannot be used",
                        _ => "looking…",
                    };
                    ui.add(egui::Label::new(format!("{name}: {what}")).wrap()).on_hover_text(path.display().to_string());
                });
            });
            if let Some(problem) = self.inputs.problem(path) {
                refused(ui, problem);
            }
        }
        if let Some(n) = removed {
            let mut form: Form = shared.settings.form.clone();
            let path = form.data.remove(n);
            self.replace(&format!("removing {}", path.file_name().unwrap_or_default().to_string_lossy()), form, shared);
        }
        if let Some(problem) = self.problem(field.name).cloned() {
            refused(ui, &problem);
        }
        section(ui, "add text", |ui| self.add_ui(ui, shared));
    }

    fn add_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.horizontal_wrapped(|ui| {
            let edit = ui.add(egui::TextEdit::singleline(&mut self.inputs.typed).desired_width(150.0).hint_text("path of a text file"));
            let entered = edit.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            edit.accessible_name("Path of a text file");
            let path = PathBuf::from(self.inputs.typed.trim());
            let can = !path.as_os_str().is_empty();
            if (ui
                .add_enabled(can, egui::Button::new("Add"))
                .on_hover_text("Adds the file of this path, or all files that match a pattern: text or JSON lines, also as .gz or .zst")
                .clicked()
                || entered)
                && can
            {
                self.inputs.typed.clear();
                shared.settings.form.add_text(path);
            }
            if ui.button("Browse…").accessible_name("Browse for text").clicked() {
                self.dialog.open(Browse::Data, Pick::File);
            }
        });
    }
}
