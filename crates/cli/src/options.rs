//! Options that several commands share.

use super::output;
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, Event, PlanModelRequest, Request, Runner, Sampling};

/// The device of a command.
#[derive(Args)]
pub(super) struct DeviceOption {
    /// Where it is computed: auto, cpu, or an adapter's name or index.
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

/// A model that is opened, and its device.
#[derive(Args)]
pub(super) struct ModelOptions {
    /// embedded, a packed or GGUF file, a model directory, a run's directory, or a name on Hugging Face (owner/name).
    #[arg(default_value = "embedded")]
    pub(super) model: String,
    #[command(flatten)]
    pub(super) at: DeviceOption,
}

/// Options for a plan of memory.
#[derive(Args)]
pub(super) struct PlanOptions {
    /// Only say what memory the model would take, part by part. MODEL may be a size then (130M, 1.3B, 7B, 13B), taken as packed.
    #[arg(long)]
    pub(super) plan: bool,
    /// With --plan: memory to compare with (8GB), in the place of what the device says it has.
    #[arg(long, requires = "plan", value_name = "SIZE", value_parser = output::bytes)]
    memory: Option<u64>,
}

impl PlanOptions {
    /// Prints the plan.
    pub(super) fn print(self, of: ModelOptions, context: Option<usize>, json: bool, runner: &mut Runner) -> Result<()> {
        let ModelOptions { model, at: DeviceOption { device } } = of;
        let request = PlanModelRequest { model, device, context, memory: self.memory };
        runner.run(Command::PlanModel(request), &mut |event| match &event {
            event if json => output::put_json(event),
            Event::Planned(report) => output::plan(report),
            _ => {}
        })
    }
}

/// Options of sampling.
#[derive(Args)]
pub(super) struct SamplingOptions {
    /// Divides the logits; 0 takes the likeliest token.
    #[arg(long, default_value_t = Sampling::default().temperature)]
    temperature: f64,
    /// Only the k likeliest tokens; 0 for all.
    #[arg(long, default_value_t = Sampling::default().top_k)]
    top_k: usize,
    /// Only the likeliest tokens that together have this probability.
    #[arg(long, default_value_t = Sampling::default().top_p)]
    top_p: f64,
    /// Only tokens with this share of the likeliest one's probability.
    #[arg(long, default_value_t = Sampling::default().min_p)]
    min_p: f64,
    /// Makes tokens already seen less likely; 1 for no effect.
    #[arg(long, default_value_t = Sampling::default().repetition_penalty)]
    repetition_penalty: f64,
    /// Decides the draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most tokens to generate.
    #[arg(long, default_value_t = Request::default().max_tokens)]
    max_tokens: usize,
    /// Text that ends the generation; may be given several times.
    #[arg(long)]
    stop: Vec<String>,
}

impl SamplingOptions {
    /// Returns the request with these options.
    pub(super) fn request(self) -> Request {
        let Self { temperature, top_k, top_p, min_p, repetition_penalty, seed, max_tokens, stop } = self;
        let sampling = Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed };
        Request { max_tokens, sampling, stop_tokens: Vec::new(), stop_strings: stop }
    }
}
