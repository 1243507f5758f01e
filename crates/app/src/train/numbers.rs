//! The current run as text: progress, metrics of the last step, samples, log.

use super::live::{Live, Phase};
use crate::plots::number;
use eframe::egui::{self, ScrollArea, Ui};

/// Draws the run's phase, progress and last metrics; `last` describes the run that Resume would continue.
pub(super) fn show(ui: &mut Ui, live: &Live, last: Option<String>) {
    let name = live.run.as_ref().and_then(|run| run.file_name()).unwrap_or_default().to_string_lossy();
    let state = match &live.phase {
        Phase::Idle => last.map_or("No active run".into(), |last| format!("No active run. {last}")),
        Phase::Starting => format!("{name}: {}", live.status),
        Phase::Training => format!("{name}: training on {}", live.device),
        Phase::Paused => format!("{name}: paused at step {}", live.step),
        Phase::Saving => format!("{name}: saving"),
        Phase::Stopped => format!("{name}: stopped at step {}; everything is saved", live.step),
        Phase::Finished => format!("{name}: finished after {} steps", live.step),
        Phase::Failed(_) => format!("{name}: failed at step {}", live.step),
    };
    ui.add(egui::Label::new(state).wrap());
    if live.steps > 0 {
        let share = live.step as f32 / live.steps as f32;
        ui.add(egui::ProgressBar::new(share).text(format!("step {} of {}", live.step, live.steps)));
    }
    let values = values(live);
    if !values.is_empty() {
        ui.horizontal_wrapped(|ui| {
            for (name, value) in values {
                ui.label(format!("{name} {value}"));
                ui.separator();
            }
        });
    }
}

fn values(live: &Live) -> Vec<(&'static str, String)> {
    let Some(last) = live.last() else { return Vec::new() };
    let mut values = vec![("loss", number(last.loss))];
    values.extend(last.kl.map(|kl| ("KL", number(kl))));
    if !last.flips.is_empty() {
        values.push(("flip-flop ratio", number(last.flip_ratio)));
    }
    values.push(("gradient norm", last.norm.map_or("not finite".into(), number)));
    values.push(("learning rate", number(last.lr)));
    values.extend(live.pace.tokens_per_s().map(|speed| ("tokens/s", format!("{speed:.0}"))));
    if live.phase.runs() {
        values.extend(live.left().map(|left| ("time left", duration(left))));
        values.push((
            "memory",
            if live.memory < 1_000_000_000 { format!("{:.0} MB", live.memory as f64 / 1e6) } else { format!("{:.1} GB", live.memory as f64 / 1e9) },
        ));
    }
    values
}

/// Formats seconds by their two largest units.
fn duration(seconds: f64) -> String {
    let all = seconds.round() as u64;
    let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", all % 60),
        (0, 0, _) => format!("{minutes} min {} s", all % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Draws samples, the newest first, and the log, the newest last.
pub(super) fn samples_and_log(ui: &mut Ui, live: &Live) {
    ui.strong("Samples");
    ScrollArea::vertical().id_salt("samples").max_height(180.0).auto_shrink([false, true]).show(ui, |ui| {
        for (step, text) in live.samples.iter().rev() {
            ui.weak(format!("step {step}"));
            ui.add(egui::Label::new(text).wrap());
        }
        if live.samples.is_empty() {
            ui.weak("Texts that the model writes along the way come here");
        }
    });
    ui.separator();
    ui.strong("Log");
    ScrollArea::vertical().id_salt("log").max_height(180.0).auto_shrink([false, true]).stick_to_bottom(true).show(ui, |ui| {
        for line in &live.log {
            ui.add(egui::Label::new(line).wrap());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_two_largest_units() {
        assert_eq!([0.4, 61.0, 3700.0, 90_061.0].map(duration), ["0 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
