//! `signet inspect`.

use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, Event, Inspection, LayerReport, Runner};

/// Show a model's layers: bits, signs, α and β, sizes; for a run, also how often signs flipped.
#[derive(Args)]
pub(super) struct Inspect {
    /// Model: embedded, a packed file, a model directory, or a run's directory.
    #[arg(default_value = "embedded")]
    model: String,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { model, json } = self;
        runner.run(Command::Inspect { model }, &mut |event| match &event {
            Event::Inspected { .. } if json => output::put_json(&event),
            Event::Inspected { model, inspection, flips } => put(&table(model, inspection, flips.as_deref())),
            _ => {}
        })
    }
}

fn table(model: &str, inspection: &Inspection, flips: Option<&[f64]>) -> String {
    let Inspection { config, layers, sizes } = inspection;
    let width = layers.iter().map(|layer| short(&layer.name).len()).max().unwrap_or(0);
    let mut text = format!("{model}: {} blocks, width {}, {:.1} M parameters\n\n", config.num_hidden_layers, config.hidden_size, sizes.parameters as f64 / 1e6);
    let binary = sizes.binarized > 0;
    let columns = if binary { "  bits     +1   α mean (least to greatest)         β mean (least to greatest)       " } else { "  bits  " };
    let ending = if binary && layers.iter().all(|layer| layer.weight.is_none()) { "" } else { "  weight mean ± deviation" };
    let flipped = if flips.is_some() { "  flips a weight" } else { "" };
    text += &format!("{:width$}  {:>13}{columns}{ending}{flipped}\n", "layer", "out × in");
    for (n, layer) in layers.iter().enumerate() {
        text += &format!("{:width$}  {:>6} × {:<4}{}", short(&layer.name), layer.rows, layer.cols, row(layer));
        if let Some(flips) = flips.and_then(|flips| flips.get(n)) {
            text += &format!("  {flips:.3}");
        }
        text.truncate(text.trim_end().len());
        text += "\n";
    }
    text += &format!("\nbinarized weights   {:.1} M at {:.4} bits each\n", sizes.binarized as f64 / 1e6, sizes.bits_per_weight);
    text += &format!("all parameters      {:.4} bits each\n", sizes.bits_per_parameter);
    text += &format!(
        "as a file           {} packed, {} in f16 ({:.1} × as much)\n",
        signet::runner::format_bytes(sizes.packed),
        signet::runner::format_bytes(sizes.f16),
        sizes.f16 as f64 / sizes.packed as f64
    );
    text
}

/// Returns a layer's name without the common prefix.
fn short(name: &str) -> &str {
    name.strip_prefix("model.layers.").unwrap_or(name)
}

fn row(layer: &LayerReport) -> String {
    let mut text = format!("  {:6.3}", layer.bits);
    if let (Some(positive), Some(alpha), Some(beta)) = (layer.positive, layer.alpha, layer.beta) {
        text += &format!("  {positive:.3}");
        for range in [alpha, beta] {
            text += &format!("  {:>9.2e} ({:>9.2e} to {:>9.2e})", range.mean, range.min, range.max);
        }
    }
    if let Some(weight) = layer.weight {
        text += &format!("  {:>9.2e} ± {:.2e}", weight.mean, weight.deviation);
    }
    text
}
