//! Formats events for the terminal.

pub(super) use super::terminal::{note, put, put_line};
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{Event, GenerateReport, PlanReport, format_bytes};
use std::sync::Mutex;

/// Prints an event as a line of JSON.
pub(super) fn put_json(event: &Event) {
    put_line(&serde_json::to_string(event).expect("events are plain data"));
}

/// Formats a duration in seconds, minutes or hours.
pub(super) fn time(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        _ if minutes < 100 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

/// Parses a size in bytes: `8GB`, `512MB`, `7.5GiB`, or a plain number.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let units = [("GiB", 1024f64.powi(3)), ("MiB", 1024f64.powi(2)), ("GB", 1e9), ("MB", 1e6), ("", 1.0)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.trim().strip_suffix(name)?, unit))).expect("any text ends in nothing");
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok((number * unit) as u64),
        _ => Err(format!("{text:?} is not a size; write 8GB, 512MB or 7.5GiB")),
    }
}

/// Prints a memory plan as a table.
pub(super) fn plan(report: &PlanReport) {
    let row = |what: &str, bytes: u64| put(&format!("  {what:<32}{:>12}\n", format_bytes(bytes)));
    put(&format!("{}\n", report.what));
    report.plan.parts.iter().for_each(|(part, bytes)| row(part, *bytes));
    row("total", report.plan.total());
    put("activations of each program (they share slots)\n");
    report.plan.programs.iter().for_each(|(program, bytes)| row(program, *bytes));
    let binding = report.binding_bytes.map_or(String::new(), |bytes| format!(", {} in a binding", format_bytes(bytes)));
    put(&format!("{}: {} of memory{binding}\n", report.device, report.memory.map_or("an unknown amount".into(), format_bytes)));
    let numbers = &report.model;
    put(&format!(
        "model: {:.1} M parameters, {:.1} M of them binarized; packed {:.3} bits a weight, {} without the tokenizer\n",
        numbers.parameters as f64 / 1e6,
        numbers.binarized as f64 / 1e6,
        numbers.bits_per_weight,
        format_bytes(numbers.packed_bytes)
    ));
    if let Some(length) = &report.length {
        let epochs = length.epochs().map_or(String::new(), |epochs| format!(", about {epochs:.2} times the text"));
        put(&format!("run: {} tokens a step, {:.3} M in all{epochs}\n", length.tokens_per_step, length.tokens as f64 / 1e6));
    }
    match &report.advice {
        None => put(if report.memory.is_some() { "it fits\n" } else { "the device's memory is unknown; pass it with --memory\n" }),
        Some(advice) => put(&format!("it does not fit; {advice}\n")),
    }
}

/// Prints on standard error that a model is loaded.
pub(super) fn loaded(event: &Event) {
    tuning(event);
    if let Event::Loaded { model, device, context, memory } = event {
        note(&format!("{model} on {device}: context {context}, {} of memory", format_bytes(*memory)));
    }
}

/// Prints tuning progress, notes and downloads on standard error.
pub(super) fn tuning(event: &Event) {
    match event {
        Event::Tuning { .. } | Event::Note { .. } => note(&event.line().unwrap_or_default()),
        Event::Fetching { name, done, of, rate, note } => fetching(name, *done, *of, *rate, note),
        _ => {}
    }
}

/// Updates the progress bar of a download.
fn fetching(name: &str, done: u64, of: Option<u64>, rate: f64, note: &str) {
    static BAR: Mutex<Option<(String, ProgressBar)>> = Mutex::new(None);
    let mut shown = BAR.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if shown.as_ref().is_none_or(|(shown, _)| shown != name) {
        let style = ProgressStyle::with_template("{prefix} {bar:30} {msg}").expect("a template");
        *shown = Some((name.into(), ProgressBar::new(0).with_style(style).with_prefix(name.to_string())));
    }
    let Some((_, bar)) = &*shown else { return };
    let of = of.unwrap_or(done);
    bar.set_length(of);
    bar.set_position(done);
    bar.set_message(format!("{} of {}, {}/s {note}", format_bytes(done), format_bytes(of), format_bytes(rate as u64)));
    if done == of && of > 0 {
        bar.finish();
        *shown = None;
    }
}

/// Summarizes a generation in one line.
pub(super) fn summary(report: &GenerateReport) -> String {
    let GenerateReport { tokens, tokens_per_second, first_token_seconds, prompt_tokens, cached_tokens, stopped, .. } = report;
    format!(
        "{tokens} tokens, {tokens_per_second:.1} a second, the first after {first_token_seconds:.2} s; prompt {prompt_tokens}, {cached_tokens} of it cached; {stopped}"
    )
}
