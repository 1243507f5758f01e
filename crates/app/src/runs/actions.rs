//! Actions on the chosen runs.

use super::rows::{Row, plural};
use super::{RunsRequest, RunsTab, name};
use crate::action::Action;
use crate::notices::Undo;
use crate::shared::Shared;
use crate::widgets::{heading, section};
use eframe::egui::{self, Button, Key, TextEdit, Ui};
use signet::runner::{Command, CommandError, CommandErrorKind, check_name};
use std::path::{Path, PathBuf};

/// A modal dialog of the tab.
pub(super) enum RunsDialog {
    /// Rename a run.
    Rename { path: PathBuf, name: String, problem: Option<CommandError> },
    /// Export runs to a file.
    Export { runs: Vec<PathBuf>, out: String, problem: Option<CommandError> },
    /// Confirm emptying the trash.
    EmptyTrash,
}

impl RunsDialog {
    /// Shows the error of the dialog's command.
    pub(super) fn refuse(&mut self, error: CommandError) {
        if let RunsDialog::Rename { problem, .. } | RunsDialog::Export { problem, .. } = self {
            *problem = Some(error);
        }
    }
}

/// Export formats: file extension and description.
const KINDS: [(&str, &str); 5] = [("svg", "SVG"), ("png", "PNG"), ("csv", "CSV, every step"), ("zip", "Zip, all files"), ("signet", "Packed model")];

/// Shows a notice that a run was moved to the trash, with Undo.
pub(super) fn offer_restore(from: PathBuf, to: PathBuf, shared: &mut Shared) {
    let text = format!("{} is in the trash", name(&from));
    shared.notices.offer(text, Undo::Command(Box::new(Command::RestoreRun { from: to, to: from })));
}

impl RunsTab {
    /// Draws the buttons for the chosen runs.
    pub(super) fn actions(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let row = match &self.chosen[..] {
            [only] => self.rows.find(&only.path),
            _ => None,
        };
        let mut dialog = None;
        let mut thrown = Vec::new();
        ui.horizontal_wrapped(|ui| {
            let button = |ui: &mut Ui, name: &str, why: Result<(), &str>| match why {
                Ok(()) => ui.button(name).clicked(),
                Err(why) => ui.add_enabled(false, Button::new(name)).on_disabled_hover_text(why).clicked(),
            };
            let info = row.map(|row| &row.info).ok_or("Tick one run");
            let idle = info.and_then(|info| if info.training { Err("It is being trained right now; stop the training first") } else { Ok(info) });
            let saved = info.and_then(|info| if info.checkpoints.is_empty() { Err("It has no checkpoint yet") } else { Ok(info) });
            if button(ui, "Continue", row.ok_or("Tick one run").and_then(can_continue)) {
                shared.actions.extend(info.ok().map(|info| Action::Continue(info.path.clone())));
            }
            if button(ui, "Duplicate settings", info.and_then(|info| info.config.as_ref().map(drop).ok_or("Its settings cannot be read")))
                && let Ok(info) = info
                && let Some(config) = &info.config
            {
                shared.ask(Action::UseSettings { config: config.clone(), name: self.rows.free_name(&info.name) });
            }
            if button(ui, "Rename…", idle.map(drop))
                && let Ok(info) = idle
            {
                dialog = Some(RunsDialog::Rename { path: info.path.clone(), name: info.name.clone(), problem: None });
            }
            let rows = || self.chosen.iter().filter_map(|chosen| self.rows.find(&chosen.path));
            let trained = rows().any(|row| row.info.training);
            let throw = match (rows().count(), trained) {
                (0, _) => Err("Tick one run or more"),
                (_, true) => Err("One of them is being trained right now; stop the training first"),
                _ => Ok(()),
            };
            if button(ui, "Move to trash", throw) {
                thrown = rows().map(|row| row.info.path.clone()).collect();
            }
            if button(ui, "Export…", if self.chosen.is_empty() { Err("Tick one run or more") } else { Ok(()) }) {
                let runs: Vec<PathBuf> = self.chosen.iter().map(|chosen| chosen.path.clone()).collect();
                let name = if let [only] = &runs[..] { name(only) } else { "compared".into() };
                // The browser build cannot render plots to files.
                let ending = if shared.environment.folders() { "svg" } else { "zip" };
                let out = shared.environment.saved_in(&shared.settings.runs).join(format!("{name}.{ending}")).display().to_string();
                dialog = Some(RunsDialog::Export { runs, out, problem: None });
            }
            if button(ui, "Chat with it", saved.map(drop)) {
                shared.actions.extend(saved.ok().map(|info| Action::Chat(info.path.display().to_string())));
            }
            if button(ui, "Show weights", saved.map(drop)) {
                shared.actions.extend(saved.ok().map(|info| Action::Weights(info.path.display().to_string())));
            }
        });
        if let Some(problem) = row.and_then(|row| row.info.problem.as_ref()) {
            ui.colored_label(ui.visuals().error_fg_color, problem);
        }
        thrown.into_iter().for_each(|path| self.send(Command::TrashRun { path }, RunsRequest::Change));
        self.dialog = dialog.or(self.dialog.take());
    }

    /// Draws the button that empties the trash, after confirmation.
    pub(super) fn trash_button(&mut self, ui: &mut Ui) {
        if self.trashed > 0 && ui.button(format!("Empty trash ({})…", self.trashed)).clicked() {
            self.dialog = Some(RunsDialog::EmptyTrash);
        }
    }

    /// Draws the open dialog.
    pub(super) fn show_dialog(&mut self, ui: &mut Ui, shared: &Shared) {
        let Some(mut dialog) = self.dialog.take() else { return };
        let shown = egui::Modal::new(egui::Id::unique("runs dialog")).show(ui.ctx(), |ui| {
            ui.set_max_width(420.0);
            let (done, command) = match &mut dialog {
                RunsDialog::Rename { path, name, problem } => rename(ui, path, name, problem),
                RunsDialog::Export { runs, out, problem } => export(ui, runs, out, problem),
                RunsDialog::EmptyTrash => empty(ui, self.trashed, shared),
            };
            (done, command)
        });
        let closed = shown.should_close();
        let (done, command) = shown.inner;
        let open = !done && !closed;
        match command {
            Some(command @ Command::Export { .. }) => self.exporter.send(command),
            Some(command @ Command::EmptyTrash { .. }) => self.send(command, RunsRequest::Change),
            Some(command) => self.send(command, RunsRequest::Dialog),
            None => {}
        }
        self.dialog = open.then_some(dialog);
    }
}

/// Checks that a run can be resumed; the error is the reason why it cannot.
fn can_continue(row: &Row) -> Result<(), &'static str> {
    match (row.info.training, &row.info.config) {
        (true, _) => Err("It is being trained right now"),
        (_, None) => Err("Its settings cannot be read"),
        (_, Some(config)) if row.info.saved() >= config.steps => Err("All its steps are done"),
        _ => Ok(()),
    }
}

/// True if the dialog is done, and a command to send.
type Answer = (bool, Option<Command>);

/// Draws the buttons of a dialog; returns whether each was clicked: the action, Cancel.
fn buttons(ui: &mut Ui, what: &str, possible: bool) -> (bool, bool) {
    section(ui, "buttons", |ui| ui.horizontal_wrapped(|ui| (ui.add_enabled(possible, Button::new(what)).clicked(), ui.button("Cancel").clicked())).inner)
}

fn show_problem(ui: &mut Ui, problem: Option<&str>) {
    if let Some(problem) = problem {
        ui.colored_label(ui.visuals().error_fg_color, problem);
    }
}

fn rename(ui: &mut Ui, path: &Path, name: &mut String, problem: &mut Option<CommandError>) -> Answer {
    heading(ui, format!("Rename {}", super::name(path)));
    let label = ui.label("New name");
    let edit = ui.add(TextEdit::singleline(name).desired_width(f32::INFINITY)).labelled_by(label.id);
    if edit.changed() {
        *problem = None;
    }
    let entered = edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    let wrong = check_name(name).err().map(|error| error.to_string());
    show_problem(ui, wrong.as_deref().or(problem.as_ref().map(|problem| &problem.text[..])));
    let (go, cancel) = buttons(ui, "Rename", wrong.is_none());
    let go = (go || entered) && wrong.is_none();
    (cancel, go.then(|| Command::RenameRun { path: path.to_path_buf(), name: name.clone() }))
}

fn export(ui: &mut Ui, runs: &[PathBuf], out: &mut String, problem: &mut Option<CommandError>) -> Answer {
    heading(ui, if runs.len() == 1 { format!("Export {}", super::name(&runs[0])) } else { format!("Export {} runs", runs.len()) });
    ui.horizontal_wrapped(|ui| {
        for (ending, kind) in KINDS {
            let chosen = out.to_lowercase().ends_with(&format!(".{ending}"));
            if ui.radio(chosen, kind).clicked() {
                let stem = KINDS.iter().find_map(|(other, _)| out.strip_suffix(&format!(".{other}"))).unwrap_or(out);
                *out = format!("{stem}.{ending}");
                *problem = None;
            }
        }
    });
    let label = ui.label("File");
    if ui.add(TextEdit::singleline(out).desired_width(f32::INFINITY)).labelled_by(label.id).changed() {
        *problem = None;
    }
    show_problem(ui, problem.as_ref().map(|problem| &problem.text[..]));
    let exists = problem.as_ref().is_some_and(|problem| problem.kind == CommandErrorKind::FileExists);
    let (go, cancel) = buttons(ui, if exists { "Replace it" } else { "Export" }, !out.trim().is_empty());
    (cancel, go.then(|| Command::Export { runs: runs.to_vec(), out: out.trim().into(), replace: exists }))
}

fn empty(ui: &mut Ui, trashed: usize, shared: &Shared) -> Answer {
    heading(ui, "Empty the trash");
    ui.label(format!("This deletes {} with all checkpoints. Nothing brings them back.", plural(trashed, "run", "runs")));
    let (go, cancel) = buttons(ui, "Delete them", true);
    (go || cancel, go.then(|| Command::EmptyTrash { folder: shared.settings.runs.clone() }))
}
