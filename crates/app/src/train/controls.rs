//! Controls of a run: buttons, learning rate, sample prompt, and recovery after an error.

use super::live::{Live, Phase};
use crate::widgets::section;
use eframe::egui::{self, Role, Ui, WidgetInfo};
use signet::runner::CommandErrorKind;

/// An action that the user chose.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ControlAction {
    Resume,
    /// Resume on the CPU, which is always available.
    ResumeOnCpu,
    /// Set the form's device to the CPU.
    ChooseCpu,
    /// Open the list of runs.
    ShowRuns,
    Pause,
    Continue,
    StepOnce,
    Save,
    Stop,
    Sample,
    /// Set the learning rate.
    LearningRate(f64),
    /// Set the prompt of the samples.
    Prompt(String),
}

/// The text fields, whose text may differ from the run's values until it is set.
#[derive(Default)]
pub(super) struct Controls {
    learning_rate: String,
    prompt: String,
    /// Error in the typed learning rate.
    problem: Option<String>,
}

impl Controls {
    /// Draws the controls; returns the chosen action. `obstacle` is the reason why the last run cannot be resumed, if any.
    pub(super) fn ui(&mut self, ui: &mut Ui, live: &mut Live, obstacle: Option<&str>) -> Option<ControlAction> {
        if let Some((rate, prompt)) = live.reported.take() {
            (self.learning_rate, self.prompt, self.problem) = (rate.to_string(), prompt, None);
        }
        let pressed = buttons(ui, &live.phase, obstacle);
        let can_change = matches!(live.phase, Phase::Training | Phase::Paused);
        let changed = if can_change { section(ui, "rate", |ui| self.learning_rate(ui)).or(section(ui, "prompt", |ui| self.prompt(ui))) } else { None };
        pressed.or(changed).or(failure(ui, live))
    }

    fn learning_rate(&mut self, ui: &mut Ui) -> Option<ControlAction> {
        let mut pressed = None;
        ui.horizontal_wrapped(|ui| {
            let label = ui.label("Learning-rate override");
            let typed = ui.add(egui::TextEdit::singleline(&mut self.learning_rate).desired_width(80.0)).labelled_by(label.id);
            let entered = typed.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            let help = "Applies from the next step on. It is recorded, so a resumed run uses it at the same step";
            if apply(ui, "Apply learning rate", help) || entered {
                match self.learning_rate.trim().parse::<f64>() {
                    Ok(rate) => (self.problem, pressed) = (None, Some(ControlAction::LearningRate(rate))),
                    Err(_) => self.problem = Some(format!("{:?} is not a number; enter one such as 0.001 or 1e-3", self.learning_rate)),
                }
            }
            if let Some(problem) = &self.problem {
                ui.colored_label(ui.visuals().error_fg_color, problem);
            }
        });
        pressed
    }

    fn prompt(&mut self, ui: &mut Ui) -> Option<ControlAction> {
        let mut pressed = None;
        ui.horizontal_wrapped(|ui| {
            let label = ui.label("Sample prompt");
            let width = (ui.available_width() - 220.0).clamp(120.0, 480.0);
            ui.add(egui::TextEdit::singleline(&mut self.prompt).desired_width(width)).labelled_by(label.id);
            if apply(ui, "Apply prompt", "Use this prompt for the next samples") {
                pressed = Some(ControlAction::Prompt(self.prompt.clone()));
            }
            if ui.button("Generate sample").clicked() {
                pressed = Some(ControlAction::Sample);
            }
        });
        pressed
    }
}

/// Draws a button that applies a field. `name` is its accessible name.
fn apply(ui: &mut Ui, name: &str, help: &str) -> bool {
    let button = ui.button("Apply").on_hover_text(help);
    button.widget_info(|| WidgetInfo::labeled(Role::Button, true, name));
    button.clicked()
}

fn buttons(ui: &mut Ui, phase: &Phase, obstacle: Option<&str>) -> Option<ControlAction> {
    let can_pause = matches!(phase, Phase::Training | Phase::Paused);
    let pause_or_continue = if *phase == Phase::Paused {
        ("Continue", ControlAction::Continue, "Continue training")
    } else {
        ("Pause", ControlAction::Pause, "Pause after the current step")
    };
    let buttons = [
        (!phase.runs() && obstacle.is_none(), ("Resume", ControlAction::Resume, "Continue the last run bit-exactly from its last checkpoint")),
        (can_pause, pause_or_continue),
        (can_pause, ("Step once", ControlAction::StepOnce, "Run one step, then pause")),
        (can_pause, ("Save now", ControlAction::Save, "Write a checkpoint")),
        (phase.runs() && *phase != Phase::Saving, ("Stop", ControlAction::Stop, "Write a checkpoint and stop; Resume continues the run")),
    ];
    let mut pressed = None;
    ui.horizontal_wrapped(|ui| {
        for (enabled, (name, press, help)) in buttons {
            let why_disabled = if press == ControlAction::Resume && !phase.runs() { obstacle.unwrap_or_default() } else { "" };
            let button = ui.add_enabled(enabled, egui::Button::new(name)).on_hover_text(help);
            if (if why_disabled.is_empty() { button } else { button.on_disabled_hover_text(why_disabled) }).clicked() {
                pressed = Some(press);
            }
        }
    });
    pressed
}

/// Draws the run's error with buttons for recovery.
fn failure(ui: &mut Ui, live: &mut Live) -> Option<ControlAction> {
    let Phase::Failed(error) = &live.phase else { return None };
    let begun = live.begun;
    let recoveries: &[(bool, &str, ControlAction)] = &[
        (begun, "Resume the run", ControlAction::Resume),
        (begun, "Resume on the CPU", ControlAction::ResumeOnCpu),
        (!begun, "Choose the CPU", ControlAction::ChooseCpu),
        (error.kind == CommandErrorKind::RunInUse, "Show run", ControlAction::ShowRuns),
    ];
    let (mut pressed, mut dismissed) = (None, false);
    egui::Frame::group(ui.style()).show(ui, |ui| {
        ui.colored_label(ui.visuals().error_fg_color, "The run failed");
        ui.add(egui::Label::new(&error.text).wrap());
        ui.horizontal_wrapped(|ui| {
            for (_, name, press) in recoveries.iter().filter(|(applies, ..)| *applies) {
                if ui.button(*name).clicked() {
                    pressed = Some(press.clone());
                }
            }
            dismissed = ui.button("Dismiss error").clicked();
        });
    });
    if dismissed {
        live.phase = Phase::Idle;
    }
    pressed
}
