//! State of the form of a new run: settings are validated as they are typed, a worker plans the run, and the
//! last change can be undone.

use super::inputs::Inputs;
use super::plan::Planning;
use crate::dialog::Dialog;
use crate::settings::{CheckedForm, Form};
use crate::shared::Shared;
use eframe::egui::Ui;
use signet::runner::{Command, Event, InputKind, Reply, TrainConfig, Tuning, Wake, Worker, setting};
use std::collections::VecDeque;
use std::path::PathBuf;

/// The purpose of a file dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Browse {
    /// The path of a setting, by its name.
    Field(&'static str),
    /// Another text file.
    Data,
    /// A preset to open.
    OpenPreset,
    /// The file to save a preset to.
    SavePreset,
}

/// A command of the form's worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DraftCommand {
    /// Plan the form's settings.
    Plan,
    /// Any other; its error is shown to the user.
    Other,
}

/// A change that can be undone or redone.
pub(super) struct FormChange {
    /// Description of the change, for the button.
    pub(super) what: String,
    /// The form before the change, or after it once it was undone.
    form: Form,
    /// True once it was undone and can be redone.
    pub(super) redo: bool,
}

/// State of the form besides its content, which is a stored [`Form`].
pub(super) struct Draft {
    worker: Worker,
    pending: VecDeque<DraftCommand>,
    pub(super) checked: CheckedForm,
    /// The form that `checked` and the plan belong to.
    seen: Option<Form>,
    pub(super) planning: Planning,
    pub(super) inputs: Inputs,
    pub(super) dialog: Dialog<Browse>,
    undo: Option<FormChange>,
    /// Start was pressed: the run begins once the form's plan is there.
    pub(super) starting: bool,
}

impl Draft {
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("form", Tuning::Off, wake.clone()),
            pending: VecDeque::new(),
            checked: CheckedForm::default(),
            seen: None,
            planning: Planning::default(),
            inputs: Inputs::default(),
            dialog: Dialog::default(),
            undo: None,
            starting: false,
        }
    }

    /// Handles the worker's replies.
    pub(super) fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.handle(reply, shared);
        }
    }

    /// Handles one reply.
    pub(super) fn handle(&mut self, reply: Reply, shared: &mut Shared) {
        match reply {
            Reply::Event(Event::Input { path, kind, problem, what }) => {
                if let Some(kind) = self.inputs.set_result(&path, kind, problem, what, shared) {
                    self.dropped(path, kind, shared);
                }
            }
            Reply::Event(Event::Settings { path, config }) => {
                let name = shared.settings.form.name.clone();
                self.replace(&format!("opening {}", path.display()), Form::of(&config, name, shared.settings.form.device.clone()), shared);
            }
            Reply::Event(Event::SettingsSaved { path }) => shared.notices.tell(format!("The settings were saved in {}", path.display())),
            Reply::Event(event) => self.planning.handle(event),
            Reply::Restarted { .. } => {}
            Reply::Ended { error } => match (self.pending.pop_front(), error) {
                (Some(DraftCommand::Plan), error) => self.planning.ended(error.map(|error| error.text)),
                (_, Some(error)) => shared.notices.warn(error.text),
                (_, None) => {}
            },
        }
    }

    /// Sends the worker a command other than a plan.
    pub(super) fn send(&mut self, command: Command) {
        self.pending.push_back(DraftCommand::Other);
        self.worker.send(command);
    }

    /// Replaces the form; can be undone.
    pub(super) fn replace(&mut self, what: &str, form: Form, shared: &mut Shared) {
        self.starting = false;
        let before = std::mem::replace(&mut shared.settings.form, form);
        self.undo = Some(FormChange { what: what.into(), form: before, redo: false });
    }

    /// The change that can be undone or redone.
    pub(super) fn undo(&self) -> Option<&FormChange> {
        self.undo.as_ref()
    }

    /// Undoes or redoes the last change, by swapping the forms: text typed since is not lost.
    pub(super) fn swap(&mut self, shared: &mut Shared) {
        if let Some(FormChange { form, redo, .. }) = &mut self.undo {
            std::mem::swap(form, &mut shared.settings.form);
            *redo = !*redo;
        }
    }

    /// Fills the form with the settings of another run.
    pub(super) fn use_settings(&mut self, config: &TrainConfig, name: String, shared: &mut Shared) {
        let form = Form::of(config, name, shared.settings.form.device.clone());
        self.replace("using the settings of another run", form, shared);
    }

    /// Adds a dropped file to the form according to its kind.
    fn dropped(&mut self, path: PathBuf, kind: InputKind, shared: &mut Shared) {
        let mut form = shared.settings.form.clone();
        let name = match kind {
            InputKind::Settings => return self.send(Command::OpenSettings { path }),
            InputKind::Text | InputKind::Any => {
                form.add_text(path.clone());
                return self.replace(&format!("adding {}", path.display()), form, shared);
            }
            InputKind::Model => "teacher",
            InputKind::Shape => "model",
            InputKind::Tokenizer => "tokenizer",
            InputKind::TeacherCache => "teacher_cache",
        };
        let field = setting(name).expect("it is in the table");
        form.set(field, path.display().to_string());
        self.replace(&format!("{} = {}", field.label, path.display()), form, shared);
    }

    /// Applies the path from a file dialog, and has dropped files checked.
    pub(super) fn receive_files(&mut self, ui: &Ui, shared: &mut Shared) {
        match self.dialog.chosen(ui.ctx()) {
            None => {}
            Some((Browse::Data, path)) => shared.settings.form.add_text(path),
            Some((Browse::OpenPreset, path)) => self.send(Command::OpenSettings { path }),
            Some((Browse::SavePreset, path)) => self.save_preset(path),
            Some((Browse::Field(name), path)) => {
                if let Some(field) = setting(name) {
                    shared.settings.form.set(field, path.display().to_string());
                }
            }
        }
        let dropped: Vec<PathBuf> = ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_path_buf()).collect());
        for path in dropped {
            self.send(Command::CheckInput { path, kind: InputKind::Any });
        }
    }

    /// Saves the valid settings as a preset, with the extension `.toml` by default.
    pub(super) fn save_preset(&mut self, path: PathBuf) {
        let path = if path.extension().is_none() { path.with_extension("toml") } else { path };
        self.send(Command::SaveSettings { config: Box::new(self.checked.config.clone()), path });
    }

    /// The error of a setting, found by validation or by the plan.
    pub(super) fn problem(&self, name: &str) -> Option<&String> {
        self.checked.problems.get(name).or_else(|| self.planning.refused.get(name))
    }

    /// Validates the form again if it changed, and requests its plan when that is due.
    pub(super) fn update(&mut self, ui: &Ui, shared: &Shared) {
        let (form, now) = (&shared.settings.form, ui.input(|input| input.time));
        if self.seen.as_ref() != Some(form) {
            self.checked = form.check();
            self.seen = Some(form.clone());
            self.planning.changed(now);
            for path in self.inputs.unknown(&form.data) {
                self.send(Command::CheckInput { path, kind: InputKind::Text });
            }
        }
        if !self.checked.problems.is_empty() || self.worker.busy() {
            return;
        }
        match self.planning.due(now) {
            Some(wait) if wait > 0.0 => ui.ctx().request_repaint_after_secs(wait as f32),
            Some(_) => {
                self.pending.push_back(DraftCommand::Plan);
                self.worker.send(self.planning.ask(&self.checked.config, &form.device));
            }
            None => {}
        }
    }
}
