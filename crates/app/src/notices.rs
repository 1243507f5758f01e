//! Lines at the bottom of the window that tell what happened, some with a way back.

use super::action::Action;
use eframe::egui::{self, Ui};
use signet::runner::Command;

/// A line.
struct Notice {
    text: String,
    bad: bool,
    undo: Option<Undo>,
}

/// How something is undone.
pub enum Undo {
    /// By a command of the runner.
    Command(Box<Command>),
    /// By another tab.
    Action(Action),
}

/// Lines that were not put away yet, and what was undone.
#[derive(Default)]
pub struct Notices {
    lines: Vec<Notice>,
    undone: Vec<Undo>,
}

/// Lines kept; of more, the oldest go.
const LINES: usize = 4;

impl Notices {
    /// Tells something.
    pub fn tell(&mut self, text: impl Into<String>) {
        self.add(Notice { text: text.into(), bad: false, undo: None });
    }

    /// Tells what went wrong, and what to do.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Notice { text: text.into(), bad: true, undo: None });
    }

    /// Tells something that can be undone.
    pub fn offer(&mut self, text: impl Into<String>, undo: Undo) {
        self.add(Notice { text: text.into(), bad: false, undo: Some(undo) });
    }

    /// What somebody wants undone, since the last time it was asked.
    pub fn undone(&mut self) -> Vec<Undo> {
        std::mem::take(&mut self.undone)
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn add(&mut self, notice: Notice) {
        if self.lines.len() == LINES {
            self.lines.remove(0);
        }
        self.lines.push(notice);
    }

    /// Draws them, the newest first.
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
                    let told = ui.add(egui::Label::new(egui::RichText::new(&notice.text).color(colour)).wrap());
                    ui.ctx().accesskit_node_builder(told.id, |node| node.set_live(egui::accesskit::Live::Polite));
                });
            });
        }
        if let Some(n) = gone {
            self.lines.remove(n);
        }
    }
}
