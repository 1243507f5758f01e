//! The plan of the form's run: memory, model size and length, computed in the background while the user types.

use crate::plots::number;
use crate::widgets::refused;
use eframe::egui::{self, RichText, Ui};
use signet::runner::{Command, Event, PlanReport, PlanTrainRequest, TrainConfig, TrainRequest, format_bytes, format_count};
use std::collections::BTreeMap;

/// Seconds without a change before a plan is requested.
const REST: f64 = 0.25;

/// The newest plan, and whether it is up to date.
#[derive(Default)]
pub(super) struct Planning {
    report: Option<PlanReport>,
    error: Option<String>,
    /// Errors of settings that only planning finds, by name.
    pub(super) refused: BTreeMap<String, String>,
    /// Time of the form's last change since the last request.
    changed: Option<f64>,
    /// True while a plan is being computed.
    asked: bool,
}

impl Planning {
    /// Records a change of the form.
    pub(super) fn changed(&mut self, now: f64) {
        self.changed = Some(now);
    }

    /// Seconds until a plan is due; none if the form is unchanged.
    pub(super) fn due(&self, now: f64) -> Option<f64> {
        self.changed.map(|changed| changed + REST - now)
    }

    /// Returns the command that computes a plan.
    pub(super) fn ask(&mut self, config: &TrainConfig, device: &str) -> Command {
        (self.changed, self.asked) = (None, true);
        self.refused.clear();
        self.error = None;
        let train = TrainRequest {
            run: "unnamed".into(),
            numbered: false,
            config: Some(config.clone()),
            resume: false,
            from_step: None,
            device: device.into(),
            memory: None,
        };
        Command::PlanTrain(Box::new(PlanTrainRequest { train, teacher_shape: None }))
    }

    /// Handles an event of the planning.
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Planned(report) => (self.report, self.error) = (Some(report), None),
            Event::SettingRefused { name, problem } => _ = self.refused.insert(name, problem),
            _ => {}
        }
    }

    /// Handles the end of the planning.
    pub(super) fn ended(&mut self, error: Option<String>) {
        self.asked = false;
        if error.is_some() {
            self.report = None;
        }
        self.error = error;
    }

    /// True if the plan is outdated.
    pub(super) fn stale(&self) -> bool {
        self.asked || self.changed.is_some()
    }

    /// The reason why the run cannot start; none if it can, or while the plan is computed.
    pub(super) fn obstacle(&self) -> Option<String> {
        if self.stale() {
            return None;
        }
        match (&self.error, &self.report) {
            (Some(error), _) => Some(error.clone()),
            (None, Some(report)) if report.fits == Some(false) => Some("it does not fit into the device's memory".into()),
            _ => None,
        }
    }

    /// Draws the size of the model.
    pub(super) fn model_ui(&self, ui: &mut Ui) {
        let Some(model) = self.report.as_ref().map(|report| &report.model) else { return };
        let weight = format!("{} bits a weight when packed, {} in all", number(model.bits_per_weight), format_bytes(model.packed_bytes));
        let (all, binarized) = (format_count(model.parameters as f64), format_count(model.binarized as f64));
        self.line(ui, &format!("{all} parameters, {binarized} of them binarized; {weight}. {} token ids, a context of {}", model.vocabulary, model.context));
    }

    /// Draws the number of tokens and epochs of the run.
    pub(super) fn length_ui(&self, ui: &mut Ui) {
        let Some(length) = self.report.as_ref().and_then(|report| report.length) else { return };
        let epochs = length.epochs().map_or(String::new(), |epochs| format!(", about {} times the text", number(epochs)));
        self.line(ui, &format!("{} tokens a step, {} in all{epochs}", length.tokens_per_step, format_count(length.tokens as f64)));
    }

    fn line(&self, ui: &mut Ui, text: &str) {
        let text = if self.stale() { RichText::new(text).weak() } else { RichText::new(text) };
        ui.add(egui::Label::new(text).wrap());
    }

    /// Draws the memory by part, and the device's limit. Without valid settings there is no plan.
    pub(super) fn ui(&self, ui: &mut Ui, whole: bool) {
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new("Memory").strong());
            match (self.stale(), whole) {
                (true, true) => _ = ui.label("computing…"),
                (true, false) => _ = ui.label("as it was before a setting was refused"),
                (false, _) => {}
            }
        });
        if let Some(error) = &self.error {
            refused(ui, error);
        }
        let Some(report) = &self.report else { return };
        egui::CollapsingHeader::new("Part by part").id_salt("parts").default_open(true).show(ui, |ui| {
            for (part, bytes) in &report.plan.parts {
                self.line(ui, &format!("{part}: {}", format_bytes(*bytes)));
            }
        });
        let total = report.plan.total();
        let of = report.memory.map_or("of an unknown amount".into(), |memory| format!("of {}", format_bytes(memory)));
        self.line(ui, &format!("{} {of} on {}", format_bytes(total), report.device));
        if let Some(memory) = report.memory {
            let text = format!("{:.1}% of the device's memory", 100.0 * total as f64 / memory.max(1) as f64);
            ui.add(egui::ProgressBar::new((total as f64 / memory.max(1) as f64).min(1.0) as f32).desired_width(ui.available_width().min(300.0)).text(text));
        }
        match (&report.advice, report.fits) {
            (Some(advice), _) => refused(ui, &format!("It does not fit; {advice}")),
            (None, Some(true)) => self.line(ui, "It fits"),
            (None, _) => self.line(ui, "The device does not tell what it has"),
        }
    }
}
