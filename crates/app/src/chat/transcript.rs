//! The conversation on the screen. Only turns in view are laid out; the others keep their last height.

use super::conversation::{Conversation, Turn};
use super::shade;
use crate::mirror::CHAT_MESSAGE;
use crate::widgets::section;
use eframe::egui::{Button, Frame, Label, Pos2, Rect, Response, RichText, Role, ScrollArea, TextEdit, Ui, UiBuilder, Vec2, WidgetInfo};
use signet::runner::GenerateReport;

/// Assumed height of a turn that was not drawn yet, in points.
const GUESS: f32 = 140.0;
/// Minimum width for student and teacher side by side, in points.
const BESIDE: f32 = 480.0;

/// An action on a turn that the user chose.
pub(super) enum TurnAction {
    /// Edit the turn.
    Edit(usize),
    /// Discard the edit.
    Cancel,
    /// Send the edited message.
    SendEdited,
}

/// Layout state of a conversation.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// Width and pixels per point at which heights were measured.
    measured: (f32, f32),
}

impl Transcript {
    /// Draws the conversation; `busy` while a reply is generated.
    pub(super) fn ui(&mut self, ui: &mut Ui, conversation: &mut Conversation, editing: &mut Option<(usize, String)>, busy: bool) -> Option<TurnAction> {
        if conversation.turns().is_empty() {
            ui.small("Nothing was said yet. Write a message below; the model is loaded with the first.");
            return None;
        }
        let area = ScrollArea::vertical().id_salt("conversation").auto_shrink(false).stick_to_bottom(true);
        area.show_viewport(ui, |ui, view| self.turns(ui, view, conversation, editing, busy)).inner
    }

    fn turns(&mut self, ui: &mut Ui, view: Rect, conversation: &mut Conversation, editing: &mut Option<(usize, String)>, busy: bool) -> Option<TurnAction> {
        let at = (ui.available_width(), ui.ctx().pixels_per_point());
        if at != self.measured {
            self.measured = at;
            conversation.unmeasure();
        }
        let (first, above, all) = conversation.first_below(view.min.y, GUESS);
        ui.set_height(all);
        let corner = ui.max_rect().min;
        let (mut top, mut wish, mut moved) = (above, None, false);
        let (forgotten, count) = (conversation.forgotten(), conversation.turns().len());
        for n in first..count {
            if top > view.max.y {
                break;
            }
            let room = Rect::from_min_size(Pos2::new(corner.x, corner.y + top), Vec2::new(at.0, view.height()));
            let turn = &conversation.turns()[n];
            let shown = TurnView { n, forgotten: n < forgotten, coming: busy && n + 1 == count, busy };
            let drawn = ui.scope_builder(UiBuilder::new().max_rect(room).scope_id(ui.scope_id().with(("turn", n))), |ui| shown.ui(ui, turn, editing));
            wish = drawn.inner.or(wish);
            let height = drawn.response.rect.height() + ui.spacing().item_spacing.y;
            moved |= conversation.measure(n, height);
            top += height;
        }
        if moved {
            ui.ctx().request_repaint();
        }
        wish
    }
}

/// The state in which a turn is drawn.
struct TurnView {
    n: usize,
    /// The turn no longer fits into the context.
    forgotten: bool,
    /// Its reply is being generated.
    coming: bool,
    busy: bool,
}

impl TurnView {
    fn ui(&self, ui: &mut Ui, turn: &Turn, editing: &mut Option<(usize, String)>) -> Option<TurnAction> {
        Frame::group(ui.style())
            .show(ui, |ui| {
                ui.set_width(ui.available_width());
                if self.forgotten {
                    ui.small("The model no longer sees this turn: its context was full.");
                }
                let wish = section(ui, "words", |ui| match editing {
                    Some((n, text)) if *n == self.n => self.editor(ui, text),
                    _ => self.user(ui, turn),
                });
                section(ui, "replies", |ui| self.replies(ui, turn));
                if let Some(problem) = &turn.problem {
                    ui.colored_label(ui.visuals().error_fg_color, problem);
                }
                wish
            })
            .inner
    }

    fn editor(&self, ui: &mut Ui, text: &mut String) -> Option<TurnAction> {
        let label = ui.label(RichText::new(format!("Turn {} anew", self.n + 1)).strong());
        ui.add(TextEdit::multiline(text).desired_rows(2).desired_width(f32::INFINITY)).labelled_by(label.id);
        let mut wish = None;
        ui.horizontal_wrapped(|ui| {
            let able = !self.busy && !text.trim().is_empty();
            if ui.add_enabled(able, Button::new("Send again")).on_hover_text("What came after this turn goes; it can be undone").clicked() {
                wish = Some(TurnAction::SendEdited);
            }
            if ui.button("Cancel").clicked() {
                wish = Some(TurnAction::Cancel);
            }
        });
        wish
    }

    fn user(&self, ui: &mut Ui, turn: &Turn) -> Option<TurnAction> {
        let mut wish = None;
        ui.horizontal_wrapped(|ui| {
            mark_as_message(&ui.strong("You"));
            if self.button(ui, !self.busy, "Edit").clicked() {
                wish = Some(TurnAction::Edit(self.n));
            }
            if self.button(ui, true, "Copy message").clicked() {
                ui.ctx().copy_text(turn.user.clone());
            }
        });
        match turn.shades.user.is_empty() {
            true => mark_as_message(&ui.add(Label::new(&turn.user).wrap())),
            false => shade::text(ui, &turn.shades.user, ""),
        }
        wish
    }

    /// Draws a small button whose accessible name contains the turn's number.
    fn button(&self, ui: &mut Ui, enabled: bool, text: &str) -> Response {
        let response = ui.add_enabled(enabled, Button::new(text).small());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, format!("{text} of turn {}", self.n + 1)));
        response
    }

    fn replies(&self, ui: &mut Ui, turn: &Turn) {
        let Some(teacher) = &turn.teacher else { return self.reply(ui, turn) };
        let other = |ui: &mut Ui| self.other(ui, teacher, turn.teacher_report.as_ref());
        if ui.available_width() >= BESIDE {
            ui.columns_const(|[left, right]| {
                self.reply(left, turn);
                other(right);
            });
        } else {
            self.reply(ui, turn);
            other(ui);
        }
    }

    fn reply(&self, ui: &mut Ui, turn: &Turn) {
        ui.horizontal_wrapped(|ui| {
            mark_as_message(&ui.strong(if turn.teacher.is_some() { "Student" } else { "Model" }));
            if self.button(ui, true, "Copy reply").clicked() {
                ui.ctx().copy_text(turn.reply.clone());
            }
        });
        match turn.shades.reply.is_empty() {
            true if turn.reply.is_empty() && self.coming => _ = ui.small("…"),
            true => mark_as_message(&ui.add(Label::new(&turn.reply).wrap())),
            false => shade::text(ui, &turn.shades.reply, &turn.shades.spoken),
        }
        if !turn.shades.summary.is_empty() {
            ui.small(&turn.shades.summary);
        }
        if let Some(report) = &turn.report {
            ui.small(figures(report));
        }
    }

    fn other(&self, ui: &mut Ui, text: &str, report: Option<&GenerateReport>) {
        ui.horizontal_wrapped(|ui| {
            mark_as_message(&ui.strong("Teacher"));
            if self.button(ui, true, "Copy teacher's reply").clicked() {
                ui.ctx().copy_text(text.to_string());
            }
        });
        mark_as_message(&ui.add(Label::new(text).wrap()));
        if let Some(report) = report {
            ui.small(figures(report));
        }
    }
}

/// Marks a widget as part of the conversation: the mirror shows all messages in one log, drawn or not.
fn mark_as_message(response: &Response) {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_author_id(CHAT_MESSAGE));
}

/// Statistics of a reply, as text.
fn figures(report: &GenerateReport) -> String {
    let GenerateReport { tokens, tokens_per_second, first_token_seconds, context_used, context, stopped, .. } = report;
    format!("{tokens} tokens, {tokens_per_second:.1} tokens/s, first after {first_token_seconds:.2} s, context {context_used} of {context}; {stopped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_turns_of_a_long_conversation_are_laid_out() {
        let mut conversation = Conversation::default();
        for n in 0..10_000 {
            conversation.begin(n, format!("message {n}"), 0);
            conversation.last().unwrap().reply = "a reply of some words ".repeat(20);
        }
        let mut transcript = Transcript::default();
        eframe::egui::__run_test_ui(|ui| _ = transcript.ui(ui, &mut conversation, &mut None, false));
        let laid_out = conversation.turns().iter().filter(|turn| turn.height.is_some()).count();
        assert!((1..200).contains(&laid_out), "{laid_out} turns were laid out");
    }
}
