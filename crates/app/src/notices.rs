//! Notices at the bottom of the window, some with an Undo button.

use super::action::Action;
use eframe::egui::{self, Ui};
use signet::runner::Command;

/// A notice.
struct Notice {
    text: String,
    bad: bool,
    undo: Option<Undo>,
}

/// How something is undone.
pub enum Undo {
    /// Send a command to the runner.
    Command(Box<Command>),
    /// Ask another tab.
    Action(Action),
}

/// The notices that are shown, and undo requests that are not handled yet.
#[derive(Default)]
pub struct Notices {
    lines: Vec<Notice>,
    undone: Vec<Undo>,
}

/// Maximum number of notices; the oldest are dropped.
const LINES: usize = 4;

impl Notices {
    /// Shows a message.
    pub fn tell(&mut self, text: impl Into<String>) {
        self.add(Notice { text: text.into(), bad: false, undo: None });
    }

    /// Shows an error.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Notice { text: text.into(), bad: true, undo: None });
    }

    /// Shows a message with an Undo button.
    pub fn offer(&mut self, text: impl Into<String>, undo: Undo) {
        self.add(Notice { text: text.into(), bad: false, undo: Some(undo) });
    }

    /// Returns the undo requests since the last call.
    pub fn undone(&mut self) -> Vec<Undo> {
        std::mem::take(&mut self.undone)
    }

    /// True if there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn add(&mut self, notice: Notice) {
        if self.lines.len() == LINES {
            self.lines.remove(0);
        }
        self.lines.push(notice);
    }

    /// Draws the notices, the newest first.
    pub fn ui(&mut self, ui: &mut Ui) {
        let mut gone = None;
        for (n, notice) in self.lines.iter_mut().enumerate().rev() {
            ui.push_id(n, |ui| {
                ui.horizontal_wrapped(|ui| {
                    if ui.button("Dismiss").clicked() {
                        gone = Some(n);
                    }
                    if notice.undo.is_some() && ui.button("Undo").clicked() {
                        self.undone.extend(notice.undo.take());
                        gone = Some(n);
                    }
                    let colour = if notice.bad { ui.visuals().error_fg_color } else { ui.visuals().text_color() };
                    let label = ui.add(egui::Label::new(egui::RichText::new(&notice.text).color(colour)).wrap());
                    ui.ctx().accesskit_node_builder(label.id, |node| node.set_live(egui::accesskit::Live::Polite));
                });
            });
        }
        if let Some(n) = gone {
            self.lines.remove(n);
        }
    }
}
