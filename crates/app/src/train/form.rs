//! The form of a new run: it explains itself, says what the run would take before it is started, and
//! starts it only when nothing stands in the way.

use super::inputs::Inputs;
use super::plan::Planning;
use super::preset::Presets;
use super::start::name_problem;
use crate::dialog::{Dialog, Pick};
use crate::settings::{Checked, Form};
use crate::shared::Shared;
use crate::widgets::{heading, refused, section};
use eframe::egui::{self, Id, Panel, RichText, Role, ScrollArea, Sense, Shape, Stroke, Ui, WidgetInfo};
use signet::runner::{
    Command, Event, InputKind, NONE, PathKind, Reply, Setting, SettingGroup, SettingKind, TrainConfig, TrainRequest, Tuning, Wake, Worker, setting,
};
use std::collections::VecDeque;
use std::path::PathBuf;

/// What a file dialog was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Browse {
    /// The path of a field, by its name.
    Field(&'static str),
    /// Another text file.
    Data,
    /// Settings to open.
    OpenPreset,
    /// Where settings are saved.
    SavePreset,
}

/// What the form's worker was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The plan of the form's settings.
    Plan,
    /// Anything else: its error is for the person.
    Other,
}

/// A way back.
struct Undo {
    /// What was done.
    what: String,
    /// The form on the other side of it.
    form: Form,
    /// Whether it was undone: then it can be done again.
    redo: bool,
}

/// The form on the screen. What it holds is in [`Form`], among the settings that are remembered.
pub(super) struct FormPanel {
    worker: Worker,
    errands: VecDeque<Errand>,
    pub(super) checked: Checked,
    /// The form that `checked` and the plan are of.
    seen: Option<Form>,
    pub(super) planning: Planning,
    pub(super) inputs: Inputs,
    pub(super) presets: Presets,
    pub(super) dialog: Dialog<Browse>,
    /// The form that takes this one's place when somebody wants it back.
    undo: Option<Undo>,
    /// Start was pressed: the run begins once the plan of the form as it is then is there.
    pub(super) starting: bool,
}

impl FormPanel {
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("form", Tuning::Off, wake.clone()),
            errands: VecDeque::new(),
            checked: Checked::default(),
            seen: None,
            planning: Planning::default(),
            inputs: Inputs::default(),
            presets: Presets::default(),
            dialog: Dialog::default(),
            undo: None,
            starting: false,
        }
    }

    /// Takes what its worker said.
    pub(super) fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.take(reply, shared);
        }
    }

    /// Applies one reply.
    pub(super) fn take(&mut self, reply: Reply, shared: &mut Shared) {
        match reply {
            Reply::Event(Event::Input { path, kind, problem, what }) => {
                if let Some(kind) = self.inputs.take(&path, kind, problem, what, shared) {
                    self.dropped(path, kind, shared);
                }
            }
            Reply::Event(Event::Settings { path, config }) => {
                let name = shared.settings.form.name.clone();
                self.replace(&format!("opening {}", path.display()), Form::of(&config, name, shared.settings.form.device.clone()), shared);
            }
            Reply::Event(Event::SettingsSaved { path }) => shared.notices.tell(format!("The settings were saved in {}", path.display())),
            Reply::Event(event) => self.planning.take(event),
            Reply::Anew { .. } => {}
            Reply::Ended { error } => match (self.errands.pop_front(), error) {
                (Some(Errand::Plan), error) => self.planning.ended(error),
                (_, Some(error)) => shared.notices.warn(error),
                (_, None) => {}
            },
        }
    }

    /// Asks the worker for something besides a plan.
    pub(super) fn send(&mut self, command: Command) {
        self.errands.push_back(Errand::Other);
        self.worker.send(command);
    }

    /// Puts another form in the place of this one, with a way back.
    pub(super) fn replace(&mut self, what: &str, form: Form, shared: &mut Shared) {
        self.starting = false;
        let before = std::mem::replace(&mut shared.settings.form, form);
        self.undo = Some(Undo { what: what.into(), form: before, redo: false });
    }

    /// Undoes what was done last, or does it again: what was typed since is not lost.
    fn undo_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(Undo { what, form, redo }) = &mut self.undo else { return };
        let short: String = if what.chars().count() > 40 { what.chars().take(39).chain(['…']).collect() } else { what.clone() };
        if ui.button(format!("{} {short}", if *redo { "Redo" } else { "Undo" })).on_hover_text(what.as_str()).clicked() {
            std::mem::swap(form, &mut shared.settings.form);
            *redo = !*redo;
        }
    }

    /// Fills the form with the settings of another run.
    pub(super) fn use_settings(&mut self, config: &TrainConfig, name: String, shared: &mut Shared) {
        let form = Form::of(config, name, shared.settings.form.device.clone());
        self.replace("using the settings of another run", form, shared);
    }

    /// Uses a file that was dropped for what it is.
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

    /// Draws the form in a scrolled area of its own, with what starts the run always in sight beneath;
    /// gives a run that is to be started.
    pub(super) fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) -> Option<TrainRequest> {
        self.chosen(ui, shared);
        for path in self.inputs.dropped(ui) {
            self.send(Command::CheckInput { path, kind: InputKind::Any });
        }
        Panel::bottom("start").show(ui, |ui| self.start_ui(ui, shared));
        ScrollArea::vertical().id_salt("settings").auto_shrink(false).show(ui, |ui| {
            self.head(ui, shared);
            self.basics(ui, shared);
            self.advanced(ui, shared);
            ui.separator();
            self.planning.ui(ui, self.checked.problems.is_empty());
        });
        self.look(ui, shared);
        self.begin(shared)
    }

    /// Takes what was chosen in a file dialog.
    fn chosen(&mut self, ui: &Ui, shared: &mut Shared) {
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
    }

    fn head(&mut self, ui: &mut Ui, shared: &mut Shared) {
        heading(ui, "New run");
        section(ui, "name", |ui| self.name_ui(ui, shared));
        if let Some(problem) = name_problem(&shared.settings.form.name) {
            refused(ui, &problem);
        }
        section(ui, "preset", |ui| self.preset_ui(ui, shared));
        section(ui, "device", |ui| device(ui, shared));
    }

    fn name_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label("Run name");
            let edit = egui::TextEdit::singleline(&mut shared.settings.form.name).desired_width(130.0).hint_text("the next free one");
            ui.add(edit).labelled_by(label.id).on_hover_text("The run lives in a folder of this name");
            if ui.button("Reset all").on_hover_text("All settings as by default; can be undone").clicked() {
                let Form { name, device, .. } = shared.settings.form.clone();
                self.replace("resetting all", Form { name, device, ..Form::default() }, shared);
            }
            self.undo_ui(ui, shared);
        });
    }

    fn basics(&mut self, ui: &mut Ui, shared: &mut Shared) {
        for group in SettingGroup::ALL.into_iter().filter(|group| !group.is_advanced()) {
            ui.separator();
            self.group(ui, group, shared);
            match group {
                SettingGroup::Model => self.planning.model_ui(ui),
                SettingGroup::Schedule => schedule(ui, &self.checked.config),
                SettingGroup::Batch => self.planning.length_ui(ui),
                _ => {}
            }
        }
    }

    fn advanced(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.separator();
        egui::CollapsingHeader::new("Advanced").id_salt("advanced").show(ui, |ui| {
            for group in SettingGroup::ALL.into_iter().filter(|group| group.is_advanced()) {
                ui.add_space(4.0);
                self.group(ui, group, shared);
            }
        });
        // What is refused is shown even where it is folded away.
        for field in SettingGroup::ALL.into_iter().filter(|group| group.is_advanced()).flat_map(SettingGroup::settings) {
            if let Some(problem) = self.problem(field.name) {
                refused(ui, &format!("{}: {problem}", field.label));
            }
        }
    }

    /// The title of a group, and its settings.
    fn group(&mut self, ui: &mut Ui, group: SettingGroup, shared: &mut Shared) {
        ui.label(RichText::new(group.title()).strong());
        for field in group.settings() {
            match field.kind {
                SettingKind::Paths => self.data_ui(ui, field, shared),
                _ => self.field(ui, field, shared),
            }
        }
    }

    /// What is wrong with a setting, by itself or as the plan found.
    pub(super) fn problem(&self, name: &str) -> Option<&String> {
        self.checked.problems.get(name).or_else(|| self.planning.refused.get(name))
    }

    /// One setting: what it is called, what it is, a way back, and beneath it what is wrong.
    fn field(&mut self, ui: &mut Ui, field: &'static Setting, shared: &mut Shared) {
        let mut text = shared.settings.form.text(field);
        let before = text.clone();
        section(ui, field.name, |ui| {
            ui.horizontal_wrapped(|ui| {
                // A checkbox bears its name itself.
                let id = match field.kind {
                    SettingKind::Flag => Id::NULL,
                    _ => named(ui, field.label).on_hover_text(field.help).id,
                };
                self.widget(ui, field, id, &mut text, shared.surroundings.folders());
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
        if let Some(problem) = self.problem(field.name) {
            refused(ui, problem);
        }
    }

    fn widget(&mut self, ui: &mut Ui, field: &'static Setting, label: Id, text: &mut String, folders: bool) {
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
            // A list of its own.
            SettingKind::Paths => {}
            SettingKind::Text => _ = help(ui.add(egui::TextEdit::singleline(text).desired_width(180.0)).labelled_by(label)),
            SettingKind::Choice(choices) => _ = help(choose(ui, choices, None, text).labelled_by(label)),
            SettingKind::Named(choices, kind) | SettingKind::Path(choices, kind) => {
                help(choose(ui, choices, Some("a path…"), text).labelled_by(label));
                // A path may begin with one of the words: whoever is typing it goes on.
                let id = Id::unique(("path", field.name));
                if !choices.iter().any(|(name, _)| name == text) || ui.memory(|memory| memory.has_focus(id)) {
                    let edit = ui.add(egui::TextEdit::singleline(text).id(id).desired_width(180.0).hint_text("path"));
                    edit.accessible_name(format!("{}: path", field.label));
                    let (folder, file) = (folders && kind != PathKind::File, kind != PathKind::Folder);
                    for (said, name, pick, can) in [("Browse…", "Browse for", Pick::File, file), ("Folder…", "Browse folders for", Pick::Folder, folder)] {
                        if can && ui.button(said).accessible_name(format!("{name} {}", field.label)).clicked() {
                            self.dialog.open(Browse::Field(field.name), pick);
                        }
                    }
                }
            }
        }
    }

    /// Sees whether the form changed; checks it anew and has it planned.
    fn look(&mut self, ui: &Ui, shared: &Shared) {
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
                self.errands.push_back(Errand::Plan);
                self.worker.send(self.planning.ask(&self.checked.config, &form.device));
            }
            None => {}
        }
    }
}

/// The name of a control, left of it; all of one width, so that controls stand below each other.
fn named(ui: &mut Ui, name: &str) -> egui::Response {
    let size = egui::vec2(150.0, ui.spacing().interact_size.y);
    let place = egui::Layout::left_to_right(egui::Align::Center);
    let shown = ui.allocate_ui_with_layout(size, place, |ui| {
        ui.set_min_width(size.x);
        ui.label(name)
    });
    shown.inner
}

/// Tells screen readers what a control does.
fn ui_description(response: &egui::Response, text: &str) {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_description(text));
}

/// A choice among words; `other` stands for a path that is typed beside it.
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

fn device(ui: &mut Ui, shared: &mut Shared) {
    let device = &mut shared.settings.form.device;
    ui.horizontal_wrapped(|ui| {
        let label = named(ui, "Device");
        let combo = egui::ComboBox::from_id_salt("device").selected_text(device.clone()).show_ui(ui, |ui| {
            let own = [("auto".to_string(), "auto: the best GPU, else the CPU".to_string()), ("cpu".into(), "cpu: the CPU device".into())];
            let adapters = shared.devices.iter().filter(|found| found.lacks.is_empty()).map(|found| (found.name.clone(), found.name.clone()));
            for (value, text) in own.into_iter().chain(adapters) {
                ui.selectable_value(device, value, text);
            }
        });
        combo.response.labelled_by(label.id).on_hover_text("Where the run is computed; `auto` never takes a software adapter");
        if *device == NONE || device.is_empty() {
            *device = "auto".into();
        }
    });
}

/// A small picture of the learning rate over the run.
fn schedule(ui: &mut Ui, config: &TrainConfig) {
    const POINTS: u64 = 120;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width().min(300.0), 44.0), Sense::hover());
    let schedule = config.schedule();
    let most = schedule.peak.max(schedule.end).max(f64::MIN_POSITIVE);
    let point = |n: u64| {
        let rate = schedule.rate((schedule.total as f64 * n as f64 / POINTS as f64) as u64) / most;
        egui::pos2(rect.left() + rect.width() * n as f32 / POINTS as f32, rect.bottom() - 2.0 - (rect.height() - 4.0) * rate as f32)
    };
    let visuals = ui.visuals();
    ui.painter().rect_filled(rect, 3.0, visuals.extreme_bg_color);
    ui.painter().add(Shape::line((0..=POINTS).map(point).collect(), Stroke::new(1.5, visuals.hyperlink_color)));
    let text = format!("Learning rate: up to {:e} in {} steps, then down to {:e} at step {}", config.lr, config.warmup, config.end_lr, config.steps);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
    response.on_hover_text(text);
}
