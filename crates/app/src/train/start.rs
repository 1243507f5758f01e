//! Starts the run that the form describes: obstacles, and a press that waits for the plan.

use super::draft::Draft;
use crate::settings::Form;
use crate::shared::Shared;
use eframe::egui::{self, RichText, Ui};
use signet::runner::{self, TrainConfig, TrainRequest, setting};

/// Why the run cannot be started now; none if it can.
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

/// Draws Start, and beside it what stands in the way.
pub(super) fn show(ui: &mut Ui, draft: &mut Draft, shared: &Shared) {
    let obstacle = obstacle(draft, shared);
    ui.horizontal_wrapped(|ui| {
        let button = ui.add_enabled(obstacle.is_none(), egui::Button::new(RichText::new("Start").strong()));
        // A page's elements press what was drawn last: the setting that was in the way may come in the same frame.
        let asked = ui.input(|input| input.has_accesskit_action_request(button.id, egui::accesskit::Action::Click));
        draft.starting |= button.on_hover_text("Train with these settings").clicked() || asked;
        match obstacle {
            Some(obstacle) => _ = ui.add(egui::Label::new(format!("It cannot start: {obstacle}")).wrap()),
            None if draft.starting => _ = ui.label("It starts once it is known what it takes"),
            None => {}
        }
    });
}

/// Has the run begin that the form describes: at once, or when its plan is there. If it cannot, says why.
pub(super) fn press(draft: &mut Draft, shared: &mut Shared) {
    match obstacle(draft, shared) {
        Some(obstacle) => shared.notices.warn(format!("It cannot start: {obstacle}")),
        None => draft.starting = true,
    }
}

/// The run to begin now. A press waits while its plan is computed: a setting may have been typed in the frame of
/// the press or the one before, when Start still stood there as it was for the settings before.
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
        shared.notices.warn("It cannot start: no free name is left in the folder of runs: give the run a name");
    }
    request
}

fn request(config: &TrainConfig, shared: &Shared) -> Option<TrainRequest> {
    let Form { name, device, .. } = &shared.settings.form;
    let runs = &shared.settings.runs;
    let run = if name.is_empty() { runner::free_run(runs)? } else { runs.join(name) };
    Some(TrainRequest { run, numbered: name.is_empty(), config: Some(config.clone()), resume: false, from_step: None, device: device.clone(), memory: None })
}

/// The problem with the name of a run, if there is one.
pub(super) fn name_problem(name: &str) -> Option<String> {
    // Without one, the first that is free is taken.
    if name.is_empty() { None } else { runner::check_name(name).err().map(|error| error.to_string()) }
}
