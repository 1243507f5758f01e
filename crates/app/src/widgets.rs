//! Widgets that all tabs use; independent of the app.

use eframe::egui::{AsIdSalt, Context, FontDefinitions, FontFamily, Label, RichText, Role, Ui, UiBuilder};

/// Lets proportional text fall back to the monospace font, which has characters that the proportional one lacks, such as ‖.
pub(crate) fn install_fonts(context: &Context) {
    let mut fonts = FontDefinitions::default();
    let monospace = fonts.families.get(&FontFamily::Monospace).cloned().unwrap_or_default();
    fonts.families.entry(FontFamily::Proportional).or_default().extend(monospace);
    context.set_fonts(fonts);
}

/// Adds a part whose widgets have stable ids, and so keep the focus, when widgets before it appear or go: by
/// default, egui derives ids from a counter. `name` must be unique within `ui`.
pub(crate) fn section<R>(ui: &mut Ui, name: impl AsIdSalt, add: impl FnOnce(&mut Ui) -> R) -> R {
    let id = ui.scope_id().with(name);
    ui.scope_builder(UiBuilder::new().scope_id(id), add).inner
}

/// Draws a heading, with the heading role for screen readers.
pub(crate) fn heading(ui: &mut Ui, text: impl Into<String>) {
    let text = text.into();
    let shown = ui.heading(&text);
    ui.ctx().accesskit_node_builder(shown.id, |node| {
        node.set_role(Role::Heading);
        node.set_label(text);
    });
}

/// Draws the error of a control beneath it.
pub(crate) fn refused(ui: &mut Ui, problem: &str) {
    ui.add(Label::new(RichText::new(problem).color(ui.visuals().error_fg_color)).wrap());
}
