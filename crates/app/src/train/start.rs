//! The Start button: it is disabled with a reason, or waits for the plan after a press.

use super::draft::Draft;
use crate::settings::Form;
use crate::shared::Shared;
use eframe::egui::{self, RichText, Ui};
use signet::runner::{self, TrainConfig, TrainRequest, setting};

/// The reason why the run cannot start now; none if it can.
fn obstacle(draft: &Draft, shared: &Shared) -> Option<String> {
    let label = |name: &str| setting(name).map_or(name.to_string(), |setting| setting.label.to_string());
    let form = &shared.settings.form;
    if shared.training.is_some() {
        return Some("a run is in training".into());
    }
    if let Some(problem) = name_problem(&form.name) {
        return Some(problem);
    }
    if let Some((name, problem)) = draft.checked.problems.iter().next() {
        return Some(format!("{}: {problem}", label(name)));
    }
    if let Some(problem) = form.data.iter().find_map(|path| draft.inputs.problem(path)) {
        return Some(problem.clone());
    }
    draft.planning.obstacle()
}

/// Draws the Start button, and the reason beside it if it is disabled.
pub(super) fn show(ui: &mut Ui, draft: &mut Draft, shared: &Shared) {
    let obstacle = obstacle(draft, shared);
    ui.horizontal_wrapped(|ui| {
        let button = ui.add_enabled(obstacle.is_none(), egui::Button::new(RichText::new("Start").strong()));
        // In the browser, a click can arrive in the same frame as the setting that enables the button.
        let asked = ui.input(|input| input.has_accesskit_action_request(button.id, egui::accesskit::Action::Click));
        draft.starting |= button.on_hover_text("Train with these settings").clicked() || asked;
        match obstacle {
            Some(obstacle) => _ = ui.add(egui::Label::new(format!("The run cannot start: {obstacle}")).wrap()),
            None if draft.starting => _ = ui.label("It starts once it is known what it takes"),
            None => {}
        }
    });
}

/// Starts the form's run, once its plan is there; warns with the reason if it cannot start.
pub(super) fn press(draft: &mut Draft, shared: &mut Shared) {
    match obstacle(draft, shared) {
        Some(obstacle) => shared.notices.warn(format!("The run cannot start: {obstacle}")),
        None => draft.starting = true,
    }
}

/// Returns the run to start now. A press waits for the plan: a setting may have changed in the frame of the press
/// or the one before, when the button was still enabled for the previous settings.
pub(super) fn begin(draft: &mut Draft, shared: &mut Shared) -> Option<TrainRequest> {
    let possible = obstacle(draft, shared).is_none();
    if !draft.starting || (possible && draft.planning.stale()) {
        return None;
    }
    draft.starting = false;
    if !possible {
        return None;
    }
    let request = request(&draft.checked.config, shared);
    if request.is_none() {
        shared.notices.warn("The run cannot start: all automatic names are in use. Enter a name");
    }
    request
}

fn request(config: &TrainConfig, shared: &Shared) -> Option<TrainRequest> {
    let Form { name, device, .. } = &shared.settings.form;
    let runs = &shared.settings.runs;
    let run = if name.is_empty() { runner::free_run(runs)? } else { runs.join(name) };
    Some(TrainRequest { run, numbered: name.is_empty(), config: Some(config.clone()), resume: false, from_step: None, device: device.clone(), memory: None })
}

/// The error of a run's name; none if it is valid or empty.
pub(super) fn name_problem(name: &str) -> Option<String> {
    // An empty name selects the first unused one.
    if name.is_empty() { None } else { runner::check_name(name).err().map(|error| error.to_string()) }
}
