//! The Runs tab: lists and compares the runs of a folder, including runs that other processes train.

mod actions;
mod chosen;
mod rows;
mod table;

use super::action::Action;
use super::plots::View;
use super::shared::Shared;
use crate::tab_view::TabView;
use crate::widgets::section;
use actions::RunsDialog;
use chosen::Chosen;
use eframe::egui::{self, ScrollArea, Ui};
use rows::{Rows, plural};
use signet::runner::{Command, CommandError, Event, Reply, Tuning, Wake, Worker};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Seconds between reads of the folder while the tab is shown.
const REFRESH: f64 = 2.0;
/// Chunks of metrics in one request.
const PIECES: usize = 16;
// Replies with metrics handled in one frame: while the user interacts, and otherwise.
const BUSY: usize = 3;
const IDLE: usize = 16;

/// A request to the worker, kept until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RunsRequest {
    List,
    Follow(PathBuf),
    /// A change whose error is shown as a notice.
    Change,
    /// A change whose error is shown in the dialog that requested it.
    Dialog,
}

/// The Runs tab.
pub(super) struct RunsTab {
    worker: Worker,
    /// Writes files, so that exports do not delay the list.
    exporter: Worker,
    requests: VecDeque<RunsRequest>,
    /// Replies that later frames handle.
    inbox: VecDeque<Reply>,
    rows: Rows,
    /// The folder of the current list.
    listed: Option<PathBuf>,
    found: bool,
    trashed: usize,
    /// Time of the list, in seconds since 1970.
    now: f64,
    /// Time of the last request for the list, on the frame clock.
    refreshed: Option<f64>,
    /// The error of listing the folder.
    problem: Option<String>,
    chosen: Vec<Chosen>,
    /// Marker and zoom of their curves.
    view: View,
    /// The marked step, and the runs that were chosen when it was set.
    pinned: (Option<f64>, Vec<PathBuf>),
    dialog: Option<RunsDialog>,
    /// The folder being typed.
    folder: Option<String>,
}

impl TabView for RunsTab {
    fn poll(&mut self, shared: &mut Shared) {
        self.inbox.extend(self.worker.poll());
        for reply in self.exporter.poll() {
            match reply {
                Reply::Ended { error: Some(error) } => self.refused(error, shared),
                Reply::Ended { error: None } => {}
                event => self.handle(event, shared),
            }
        }
    }

    fn handle(&mut self, reply: Reply, shared: &mut Shared) {
        match reply {
            Reply::Event(event) => self.event(event, shared),
            Reply::Restarted { .. } => {}
            Reply::Ended { error } => self.ended(error, shared),
        }
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.read(ui, shared);
        self.refresh(ui, shared);
        self.head(ui, shared);
        section(ui, "runs", |ui| {
            ScrollArea::vertical().id_salt("runs").auto_shrink([false, false]).show(ui, |ui| {
                self.table(ui);
                section(ui, "acts", |ui| self.actions(ui, shared));
                ui.separator();
                self.compare(ui, shared);
            });
        });
        self.show_dialog(ui, shared);
    }

    fn act(&mut self, action: Action, _: &mut Shared) -> Option<Action> {
        Some(action)
    }

    fn keys(&mut self, _: &Ui, _: &mut Shared) {}
}

impl RunsTab {
    /// Creates the tab.
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("runs", Tuning::Off, wake.clone()),
            exporter: Worker::spawn("export", Tuning::Off, wake.clone()),
            requests: VecDeque::new(),
            inbox: VecDeque::new(),
            rows: Rows::default(),
            listed: None,
            found: true,
            trashed: 0,
            now: 0.0,
            refreshed: None,
            problem: None,
            chosen: Vec::new(),
            view: View::default(),
            pinned: (None, Vec::new()),
            dialog: None,
            folder: None,
        }
    }

    fn event(&mut self, event: Event, shared: &mut Shared) {
        match event {
            Event::Runs { folder, found, runs, trashed, now } => {
                for chosen in &mut self.chosen {
                    chosen.gone = !runs.iter().any(|run| run.path == chosen.path);
                }
                (self.listed, self.found, self.trashed, self.now, self.problem) = (Some(folder), found, trashed, now, None);
                self.rows.set(runs);
            }
            Event::RunMetrics { path, until, restarted, more, metrics, broken } => {
                if let Some(chosen) = self.chosen.iter_mut().find(|chosen| chosen.path == path) {
                    chosen.append(until, restarted, more, &metrics, &broken);
                }
            }
            Event::Renamed { from, to } => {
                for chosen in self.chosen.iter_mut().filter(|chosen| chosen.path == from) {
                    chosen.path.clone_from(&to);
                }
                self.dialog = None;
                if shared.settings.last_run.as_ref() == Some(&from) {
                    shared.settings.last_run = Some(to.clone());
                }
                let (from, to) = (name(&from), name(&to));
                shared.notices.tell(format!("{from} is called {to} now"));
                self.refreshed = None;
            }
            Event::Trashed { from, to } => {
                self.chosen.retain(|chosen| chosen.path != from);
                actions::offer_restore(from, to, shared);
                self.refreshed = None;
            }
            Event::TrashEmptied { runs, .. } => {
                shared.notices.tell(format!("deleted {}", plural(runs, "run", "runs")));
                self.refreshed = None;
            }
            Event::Exported { out, .. } => {
                self.dialog = None;
                shared.notices.tell(format!("{} is written", out.display()));
            }
            Event::Note { text } => shared.notices.tell(text),
            _ => {}
        }
    }

    /// Handles the end of a command.
    fn ended(&mut self, error: Option<CommandError>, shared: &mut Shared) {
        let request = self.requests.pop_front();
        let Some(error) = error else {
            // Continue reading a long run.
            if let Some(RunsRequest::Follow(path)) = request
                && self.chosen.iter().any(|chosen| chosen.path == path && chosen.more)
            {
                self.follow(&path);
            }
            return;
        };
        // After a failed change, list the folder at once; failed reads are retried at the usual interval.
        if !matches!(request, Some(RunsRequest::List | RunsRequest::Follow(_))) {
            self.refreshed = None;
        }
        match request {
            Some(RunsRequest::List) => self.problem = Some(error.text),
            Some(RunsRequest::Follow(path)) => {
                for chosen in self.chosen.iter_mut().filter(|chosen| chosen.path == path) {
                    chosen.problem = Some(error.text.clone());
                }
            }
            Some(RunsRequest::Dialog) => self.refused(error, shared),
            Some(RunsRequest::Change) | None => shared.notices.warn(error.text),
        }
    }

    /// Shows an error in the dialog that requested the command, or as a notice.
    fn refused(&mut self, error: CommandError, shared: &mut Shared) {
        match &mut self.dialog {
            Some(dialog) => dialog.refuse(error),
            None => shared.notices.warn(error.text),
        }
    }

    fn send(&mut self, command: Command, request: RunsRequest) {
        self.requests.push_back(request);
        self.worker.send(command);
    }

    fn follow(&mut self, path: &Path) {
        let request = RunsRequest::Follow(path.into());
        if let Some(chosen) = self.chosen.iter().find(|chosen| chosen.path == path)
            && !self.requests.contains(&request)
        {
            self.send(Command::FollowRun { path: path.into(), from: chosen.place, pieces: PIECES }, request);
        }
    }

    /// Requests the list and new metrics of the chosen runs, if they are due.
    fn refresh(&mut self, ui: &Ui, shared: &Shared) {
        let time = ui.input(|input| input.time);
        if self.listed.as_ref().is_some_and(|listed| *listed != shared.settings.runs) {
            (self.refreshed, self.listed) = (None, None);
            self.rows.set(Vec::new());
        }
        if self.refreshed.is_none_or(|last| time - last >= REFRESH) && !self.requests.contains(&RunsRequest::List) {
            self.refreshed = Some(time);
            self.send(Command::ListRuns { folder: shared.settings.runs.clone() }, RunsRequest::List);
            for path in self.chosen.iter().map(|chosen| chosen.path.clone()).collect::<Vec<_>>() {
                self.follow(&path);
            }
        }
        ui.ctx().request_repaint_after_secs(REFRESH as f32);
    }

    /// Handles as many replies as a frame has time for.
    fn read(&mut self, ui: &Ui, shared: &mut Shared) {
        let mut room = if ui.input(|input| input.unstable_dt) < 0.1 { BUSY } else { IDLE };
        while let Some(reply) = self.inbox.pop_front() {
            let large = matches!(reply, Reply::Event(Event::RunMetrics { .. }));
            self.handle(reply, shared);
            room -= usize::from(large);
            if room == 0 {
                break;
            }
        }
        if !self.inbox.is_empty() {
            ui.ctx().request_repaint_after_secs(0.25);
        }
    }

    fn folder(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let label = ui.label("Folder");
        let text = self.folder.get_or_insert_with(|| shared.settings.runs.display().to_string());
        let edit = ui.add(egui::TextEdit::singleline(text).desired_width(220.0)).labelled_by(label.id);
        if edit.lost_focus() && !text.trim().is_empty() {
            shared.settings.runs = text.trim().into();
        }
        if !edit.has_focus() {
            self.folder = None;
        }
    }

    /// Draws the folder, the filter, and an error of the folder.
    fn head(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.horizontal_wrapped(|ui| {
            if shared.environment.folders() {
                self.folder(ui, shared);
            }
            let label = ui.label("Filter");
            let edit = ui.add(egui::TextEdit::singleline(&mut self.rows.filter).desired_width(180.0)).labelled_by(label.id);
            if edit.on_hover_text("Words that are all in a run's name or settings, such as lr=0.002").changed() {
                self.rows.arrange();
            }
            let (seen, all) = self.rows.counts();
            ui.label(if seen == all { plural(all, "run", "runs") } else { format!("{seen} of {all} runs") });
            self.trash_button(ui);
        });
        if let Some(problem) = &self.problem {
            ui.colored_label(ui.visuals().error_fg_color, format!("{problem}. What is shown is from before"));
        } else if !self.found {
            let folder = shared.settings.runs.display();
            ui.label(match shared.environment.folders() {
                true => format!("There is no folder {folder} yet. The first run makes it; or name another folder above"),
                false => "There are no runs yet: the Train tab makes them. They stay in this browser until you delete them".into(),
            });
        }
    }
}

/// A run's name.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
