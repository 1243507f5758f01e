//! Computes and draws the loss landscape around a checkpoint.

use crate::platform;
use crate::runner::protocol::LandscapeRequest;
use crate::runner::run_inputs::Inputs;
use crate::runner::{Event, Stop, devices, model_loader, settings, text_reader};
use crate::train::{self, landscape_png, landscape_svg};
use anyhow::{Context, Result, bail};
use std::path::Path;

pub(super) async fn draw(request: LandscapeRequest, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let LandscapeRequest { model: name, text, window, windows, grid, device, out } = request;
    let ending = out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !["svg", "png", "json"].contains(&ending.as_str()) {
        bail!("cannot write {}: unknown extension. Use .svg or .png for the picture, .json for the numbers", out.display());
    }
    let file = model_loader::open(&name)?;
    let mut tokens = match text {
        Some(text) => text_reader::tokenize_for_eval(&text, &model_loader::tokenizer(&file)?, &file.chat, stop, emit)?,
        None => held_out(&name, window * windows.max(1), stop, emit)?,
    };
    if tokens.len() < window {
        bail!("the text has {} tokens, fewer than a window of {window}. Use a longer text or a smaller --window", tokens.len());
    }
    tokens.truncate(window * windows.max(1));
    let (mut machine, device) = devices::machine(&device, emit).await?;
    emit(Event::Note { text: format!("{} × {} points, {} tokens at each, on {device}", grid.points, grid.points, tokens.len() / window * window) });
    let mut progress = |done, of| {
        emit(Event::Progress { done, of, note: format!("{done} of {of} points") });
        !stop.is_requested()
    };
    let landscape = train::landscape(&mut machine, &file, &tokens, window, grid, &mut progress).await?;
    let title = format!("{name}: loss around it, seed {}", grid.seed);
    let bytes = match ending.as_str() {
        "json" => serde_json::to_vec(&landscape)?,
        "png" => landscape_png(&landscape, &title).map_err(anyhow::Error::msg)?,
        _ => landscape_svg(&landscape, &title).map_err(anyhow::Error::msg)?.into_bytes(),
    };
    platform::write_atomic(&out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    let edge = landscape.loss.iter().copied().fold(f64::MIN, f64::max);
    emit(Event::Landscape { out, centre: landscape.centre(), greatest: edge });
    Ok(())
}

/// Returns the first token ids of a run's held-out text, at most `max_tokens`.
fn held_out(run: &str, max_tokens: usize, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<Vec<u32>> {
    let file = Path::new(run).join("run.toml");
    if !platform::is_file(&file) {
        bail!("{run}: not a run, so it has no held-out text. Pass a text with --text");
    }
    let checkpoint = train::checkpoints(Path::new(run))?.last().map(|&step| train::checkpoint(Path::new(run), step));
    let text = Inputs::open(&settings(&file)?, checkpoint.as_deref(), stop, emit)?.corpus.held_out;
    Ok(text.read(0..text.len().min(max_tokens))?)
}
