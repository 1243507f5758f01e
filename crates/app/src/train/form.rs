//! The form of a new run: settings with help, the plan (memory, length) of the run, and the Start button, which
//! is enabled only for a valid form.

use super::draft::Draft;
use super::field::{self, named};
use super::preset::Presets;
use super::start::{self, name_problem};
use super::texts::Texts;
use crate::settings::Form;
use crate::shared::Shared;
use crate::widgets::{heading, refused, section};
use eframe::egui::{self, Panel, RichText, Role, ScrollArea, Sense, Shape, Stroke, Ui, WidgetInfo};
use signet::runner::{NONE, SettingGroup, SettingKind, TrainConfig, TrainRequest, Wake};

/// The drawn form. Its content is a stored [`Form`].
pub(super) struct FormPanel {
    pub(super) draft: Draft,
    presets: Presets,
    texts: Texts,
}

impl FormPanel {
    pub(super) fn new(wake: &Wake) -> Self {
        Self { draft: Draft::new(wake), presets: Presets::default(), texts: Texts::default() }
    }

    /// Draws the form in a scroll area, with the Start button always visible beneath; returns a run to start.
    pub(super) fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) -> Option<TrainRequest> {
        self.draft.receive_files(ui, shared);
        Panel::bottom("start").show(ui, |ui| start::show(ui, &mut self.draft, shared));
        ScrollArea::vertical().id_salt("settings").auto_shrink(false).show(ui, |ui| {
            self.head(ui, shared);
            self.basics(ui, shared);
            self.advanced(ui, shared);
            ui.separator();
            self.draft.planning.ui(ui, self.draft.checked.problems.is_empty());
        });
        self.draft.update(ui, shared);
        start::begin(&mut self.draft, shared)
    }

    fn head(&mut self, ui: &mut Ui, shared: &mut Shared) {
        heading(ui, "New run");
        section(ui, "name", |ui| self.name_ui(ui, shared));
        if let Some(problem) = name_problem(&shared.settings.form.name) {
            refused(ui, &problem);
        }
        section(ui, "preset", |ui| self.presets.ui(ui, &mut self.draft, shared));
        section(ui, "device", |ui| device(ui, shared));
    }

    fn name_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label("Run name");
            let edit = egui::TextEdit::singleline(&mut shared.settings.form.name).desired_width(130.0).hint_text("the next free one");
            ui.add(edit).labelled_by(label.id).on_hover_text("The run lives in a folder of this name");
            if ui.button("Reset all").on_hover_text("All settings as by default; can be undone").clicked() {
                let Form { name, device, .. } = shared.settings.form.clone();
                self.draft.replace("resetting all", Form { name, device, ..Form::default() }, shared);
            }
            self.undo_ui(ui, shared);
        });
    }

    /// Draws the button that undoes or redoes the last change.
    fn undo_ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(undo) = self.draft.undo() else { return };
        let what = undo.what.as_str();
        let short: String = if what.chars().count() > 40 { what.chars().take(39).chain(['…']).collect() } else { what.into() };
        if ui.button(format!("{} {short}", if undo.redo { "Redo" } else { "Undo" })).on_hover_text(what).clicked() {
            self.draft.swap(shared);
        }
    }

    fn basics(&mut self, ui: &mut Ui, shared: &mut Shared) {
        for group in SettingGroup::ALL.into_iter().filter(|group| !group.is_advanced()) {
            ui.separator();
            self.group(ui, group, shared);
            match group {
                SettingGroup::Model => self.draft.planning.model_ui(ui),
                SettingGroup::Schedule => schedule(ui, &self.draft.checked.config),
                SettingGroup::Batch => self.draft.planning.length_ui(ui),
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
        // Errors of collapsed settings are shown too.
        for field in SettingGroup::ALL.into_iter().filter(|group| group.is_advanced()).flat_map(SettingGroup::settings) {
            if let Some(problem) = self.draft.problem(field.name) {
                refused(ui, &format!("{}: {problem}", field.label));
            }
        }
    }

    /// Draws the title of a group and its settings.
    fn group(&mut self, ui: &mut Ui, group: SettingGroup, shared: &mut Shared) {
        ui.label(RichText::new(group.title()).strong());
        for field in group.settings() {
            match field.kind {
                SettingKind::Paths => self.texts.ui(ui, field, &mut self.draft, shared),
                _ => field::show(ui, field, &mut self.draft, shared),
            }
        }
    }
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

/// Draws a small plot of the learning rate over the run.
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
