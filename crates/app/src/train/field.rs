//! One setting in the form: name, control, reset button, and error.

use super::draft::{Browse, Draft};
use crate::dialog::Pick;
use crate::shared::Shared;
use crate::widgets::{refused, section};
use eframe::egui::{self, Id, Ui};
use signet::runner::{PathKind, Setting, SettingKind};

/// Draws a setting.
pub(super) fn show(ui: &mut Ui, field: &'static Setting, draft: &mut Draft, shared: &mut Shared) {
    let mut text = shared.settings.form.text(field);
    let before = text.clone();
    section(ui, field.name, |ui| {
        ui.horizontal_wrapped(|ui| {
            // A checkbox includes its name.
            let id = match field.kind {
                SettingKind::Flag => Id::NULL,
                _ => named(ui, field.label).on_hover_text(field.help).id,
            };
            control(ui, field, id, &mut text, draft, shared.environment.folders());
            if text != field.default().to_string() {
                let back = ui.small_button("Reset").on_hover_text(format!("Back to the default: {}", field.default()));
                if back.accessible_name(format!("Reset {}", field.label)).clicked() {
                    text = field.default().to_string();
                }
            }
        });
    });
    if text != before {
        shared.settings.form.set(field, text);
    }
    if let Some(problem) = draft.problem(field.name) {
        refused(ui, problem);
    }
}

/// Draws the control for a setting's kind; `folders` is true if folders can be chosen.
fn control(ui: &mut Ui, field: &'static Setting, label: Id, text: &mut String, draft: &mut Draft, folders: bool) {
    let help = |response: egui::Response| {
        ui_description(&response, field.help);
        response.on_hover_text(format!("{}. By default {}", field.help, field.default()))
    };
    match field.kind {
        SettingKind::Flag => {
            let mut on = text == "true";
            help(ui.checkbox(&mut on, field.label));
            *text = on.to_string();
        }
        SettingKind::Whole(..) | SettingKind::Real(..) | SettingKind::PowerOfTwo(_) => {
            _ = help(ui.add(egui::TextEdit::singleline(text).desired_width(90.0)).labelled_by(label))
        }
        // `Texts` draws the list of paths.
        SettingKind::Paths => {}
        SettingKind::Text => _ = help(ui.add(egui::TextEdit::singleline(text).desired_width(180.0)).labelled_by(label)),
        SettingKind::Choice(choices) => _ = help(choose(ui, choices, None, text).labelled_by(label)),
        SettingKind::Named(choices, kind) | SettingKind::Path(choices, kind) => {
            help(choose(ui, choices, Some("a path…"), text).labelled_by(label));
            // A typed path may equal one of the choices on the way: keep the field while it has the focus.
            let id = Id::unique(("path", field.name));
            if !choices.iter().any(|(name, _)| name == text) || ui.memory(|memory| memory.has_focus(id)) {
                let edit = ui.add(egui::TextEdit::singleline(text).id(id).desired_width(180.0).hint_text("path"));
                edit.accessible_name(format!("{}: path", field.label));
                let (folder, file) = (folders && kind != PathKind::File, kind != PathKind::Folder);
                for (title, name, pick, can) in [("Browse…", "Browse for", Pick::File, file), ("Folder…", "Browse folders for", Pick::Folder, folder)] {
                    if can && ui.button(title).accessible_name(format!("{name} {}", field.label)).clicked() {
                        draft.dialog.open(Browse::Field(field.name), pick);
                    }
                }
            }
        }
    }
}

/// Draws the name of a control to its left, in a fixed width that aligns the controls.
pub(super) fn named(ui: &mut Ui, name: &str) -> egui::Response {
    let size = egui::vec2(150.0, ui.spacing().interact_size.y);
    let place = egui::Layout::left_to_right(egui::Align::Center);
    let shown = ui.allocate_ui_with_layout(size, place, |ui| {
        ui.set_min_width(size.x);
        ui.label(name)
    });
    shown.inner
}

/// Sets the description of a control for screen readers.
fn ui_description(response: &egui::Response, text: &str) {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_description(text));
}

/// Draws a choice among words; `other` is the entry for a path that is typed beside it.
fn choose(ui: &mut Ui, choices: &[(&str, &str)], other: Option<&str>, text: &mut String) -> egui::Response {
    let known = choices.iter().any(|(name, _)| *name == *text);
    let shown = if known { text.clone() } else { other.unwrap_or(text).to_string() };
    let combo = egui::ComboBox::from_id_salt("choice").selected_text(shown).width(110.0);
    let combo = combo.show_ui(ui, |ui| {
        for (name, meaning) in choices {
            if ui.selectable_label(text == name, format!("{name}: {meaning}")).clicked() {
                *text = name.to_string();
            }
        }
        if let Some(other) = other
            && ui.selectable_label(!known, other).clicked()
            && known
        {
            text.clear();
        }
    });
    combo.response
}
