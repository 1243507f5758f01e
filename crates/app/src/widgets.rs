//! Parts of a form that every tab draws alike. They know nothing of the app.

use eframe::egui::{AsIdSalt, Label, RichText, Role, Ui, UiBuilder};

/// A part of the window whose controls keep their ids, and with them the focus, whatever appears before
/// it: egui counts the widgets before a control otherwise. `name` is unique within `ui`.
pub(crate) fn section<R>(ui: &mut Ui, name: impl AsIdSalt, add: impl FnOnce(&mut Ui) -> R) -> R {
    let id = ui.scope_id().with(name);
    ui.scope_builder(UiBuilder::new().scope_id(id), add).inner
}

/// A heading, which is one for screen readers too.
pub(crate) fn heading(ui: &mut Ui, text: impl Into<String>) {
    let text = text.into();
    let shown = ui.heading(&text);
    ui.ctx().accesskit_node_builder(shown.id, |node| {
        node.set_role(Role::Heading);
        node.set_label(text);
    });
}

/// Says what is wrong, beneath the control it is about.
pub(crate) fn refused(ui: &mut Ui, problem: &str) {
    ui.add(Label::new(RichText::new(problem).color(ui.visuals().error_fg_color)).wrap());
}
