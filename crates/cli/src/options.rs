//! Options that several commands share.

use super::output;
use anyhow::Result;
use clap::Args;
use signet::runner::{Command, Event, PlanModelRequest, Request, Runner, Sampling, Tuning};

/// The device of a command.
#[derive(Args)]
pub(super) struct DeviceOption {
    /// Device to run on: auto, cpu, or an adapter's name or index (see `signet devices`).
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
}

/// Kernel tuning, for commands that choose among variants of kernels.
#[derive(Args)]
pub(super) struct TuningOptions {
    /// Retune the kernels: time their variants on the device and cache the fastest.
    #[arg(long, conflicts_with = "no_tune")]
    tune: bool,
    /// Use the portable kernels, even if tuned ones are cached for the device.
    #[arg(long)]
    no_tune: bool,
}

impl TuningOptions {
    /// Returns the tuning that they request.
    pub(super) fn tuning(&self) -> Tuning {
        match (self.tune, self.no_tune) {
            (true, _) => Tuning::Retune,
            (_, true) => Tuning::Off,
            _ => Tuning::Once,
        }
    }
}

/// A model that is opened, its device and the kernels that it uses there.
#[derive(Args)]
pub(super) struct ModelOptions {
    /// Model: embedded, a packed or GGUF file, a model directory, a run's directory, or a Hugging Face name (owner/name).
    #[arg(default_value = "embedded")]
    pub(super) model: String,
    #[command(flatten)]
    pub(super) at: DeviceOption,
    #[command(flatten)]
    pub(super) tuning: TuningOptions,
}

/// Options for a plan of memory.
#[derive(Args)]
pub(super) struct PlanOptions {
    /// Print the memory that the model needs, part by part, and exit. MODEL may then also be the size of a packed model: 130M, 1.3B, 7B or 13B, or SmolLM2-1.7B.
    #[arg(long)]
    pub(super) plan: bool,
    /// With --plan: available memory, such as 8GB, instead of the amount that the device reports.
    #[arg(long, requires = "plan", value_name = "SIZE", value_parser = output::bytes)]
    memory: Option<u64>,
}

impl PlanOptions {
    /// Prints the plan.
    pub(super) fn print(self, of: ModelOptions, context: Option<usize>, json: bool, runner: &mut Runner) -> Result<()> {
        let ModelOptions { model, at: DeviceOption { device }, .. } = of;
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
    /// Sampling temperature; 0 decodes greedily.
    #[arg(long, default_value_t = Sampling::default().temperature)]
    temperature: f64,
    /// Sample from the k most likely tokens only; 0 disables it.
    #[arg(long, default_value_t = Sampling::default().top_k)]
    top_k: usize,
    /// Sample from the most likely tokens whose probabilities add up to this; 1 disables it.
    #[arg(long, default_value_t = Sampling::default().top_p)]
    top_p: f64,
    /// Exclude tokens below this fraction of the most likely token's probability; 0 disables it.
    #[arg(long, default_value_t = Sampling::default().min_p)]
    min_p: f64,
    /// Penalty on tokens that have already occurred; 1 disables it.
    #[arg(long, default_value_t = Sampling::default().repetition_penalty)]
    repetition_penalty: f64,
    /// Sampling seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Maximum number of tokens to generate.
    #[arg(long, default_value_t = Request::default().max_tokens)]
    max_tokens: usize,
    /// Text that ends the generation; may be repeated.
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
