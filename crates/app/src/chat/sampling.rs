//! Controls for sampling and the system prompt, with the bounds of each number.

use eframe::egui::{DragValue, TextEdit, Ui};
use signet::runner::Request;
use std::ops::RangeInclusive;

// Bounds of the controls and of values in a link.
pub(super) const TEMPERATURE: RangeInclusive<f64> = 0.0..=5.0;
pub(super) const TOP_K: RangeInclusive<usize> = 0..=1000;
pub(super) const TOP_P: RangeInclusive<f64> = 0.01..=1.0;
pub(super) const MIN_P: RangeInclusive<f64> = 0.0..=1.0;
pub(super) const REPETITION_PENALTY: RangeInclusive<f64> = 0.5..=2.0;
pub(super) const SEED: RangeInclusive<u64> = 0..=u32::MAX as u64;
pub(super) const MAX_TOKENS: RangeInclusive<usize> = 1..=4096;

/// Draws a labelled, bounded number with help text.
fn number<T: eframe::egui::emath::Numeric>(ui: &mut Ui, name: &str, help: &str, value: &mut T, bounds: RangeInclusive<T>, speed: f64) {
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(name).on_hover_text(help);
        ui.add(DragValue::new(value).range(bounds).speed(speed).max_decimals(3)).labelled_by(label.id).on_hover_text(help);
    });
}

/// Draws the sampling controls.
pub(super) fn controls(ui: &mut Ui, request: &mut Request) {
    let sampling = &mut request.sampling;
    number(ui, "Temperature", "Divides the logits: low is safe, high is bold; 0 takes the likeliest token", &mut sampling.temperature, TEMPERATURE, 0.01);
    number(ui, "Top-k", "Only the k likeliest tokens; 0 for all", &mut sampling.top_k, TOP_K, 1.0);
    number(ui, "Top-p", "Only the likeliest tokens that together have this probability", &mut sampling.top_p, TOP_P, 0.005);
    number(ui, "Min-p", "Only tokens with this share of the likeliest one's probability; 0 for all", &mut sampling.min_p, MIN_P, 0.005);
    number(ui, "Repetition penalty", "Makes tokens already seen less likely; 1 for no effect", &mut sampling.repetition_penalty, REPETITION_PENALTY, 0.005);
    number(ui, "Seed", "Decides the draws: the same seed gives the same reply", &mut sampling.seed, SEED, 1.0);
    number(ui, "Most tokens", "A reply is at most this long", &mut request.max_tokens, MAX_TOKENS, 1.0);
    if ui.button("Reset sampling").clicked() {
        *request = Request::default();
    }
}

/// Draws the field of the system prompt.
pub(super) fn system(ui: &mut Ui, system: &mut String) {
    let label = ui.label("System prompt").on_hover_text("Said before the conversation. Models trained on the embedded corpus know none");
    ui.add(TextEdit::multiline(system).desired_rows(2).desired_width(f32::INFINITY).hint_text("none")).labelled_by(label.id);
}
