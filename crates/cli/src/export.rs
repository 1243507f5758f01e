//! `signet export`.

use super::choice;
use super::output::{self, put};
use anyhow::Result;
use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use signet::runner::{Command, Event, ExportModelRequest, Floats, ModelExport, Runner};
use std::path::PathBuf;

/// Export a model for transformers, FBI-LLM's code or llama.cpp.
#[derive(Args)]
#[command(group(ArgGroup::new("form").required(true).args(["dense", "latent", "gguf"])))]
pub(super) struct Export {
    /// Model: embedded, a packed file, a model directory, or a run's directory.
    model: String,
    /// Directory to write, or file with --gguf; must not exist.
    out: PathBuf,
    /// Write a Hugging Face directory of a plain LLaMA, with each binarized layer as the matrix α·sign(W) + β.
    #[arg(long)]
    dense: bool,
    /// Write a Hugging Face directory with FBI-LLM's tensors weight, wscale and wbias, to continue training in PyTorch.
    #[arg(long)]
    latent: bool,
    /// Write a GGUF file of a plain LLaMA in f16.
    #[arg(long)]
    gguf: bool,
    /// With --dense: data type of the tensors, f16, bf16 or f32.
    #[arg(long, alias = "floats", default_value = "f16", value_parser = choice::<Floats>)]
    dtype: Floats,
    /// Print one JSON object per event.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { model, out, latent, gguf, dtype: floats, json, .. } = self;
        let form = match (latent, gguf) {
            (true, _) => ModelExport::Latent,
            (_, true) => ModelExport::Gguf,
            _ => ModelExport::Dense { floats },
        };
        let style = ProgressStyle::with_template("{bar:24} {msg} eta {eta}").expect("a fixed template");
        let bar = ProgressBar::new(0).with_style(style);
        let result = runner.run(Command::ExportModel(ExportModelRequest { model, out, form }), &mut |event| match &event {
            event if json => output::put_json(event),
            Event::Progress { done, of, note } => {
                bar.set_length(*of as u64);
                bar.set_position(*done as u64);
                bar.set_message(note.clone());
            }
            Event::ModelExported { out, bytes } => {
                bar.finish_and_clear();
                put(&format!("{}: {} of tensors\n", out.display(), signet::runner::format_bytes(*bytes)));
            }
            _ => {}
        });
        bar.finish_and_clear();
        result
    }
}
