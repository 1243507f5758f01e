//! `signet bench`.

use super::choice;
use super::options::{DeviceOption, TuningOptions};
use super::output::{self, put};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use signet::runner::{
    Command, DecodeBench, DecodeReport, DecodeSide, DispatchCounts, Event, KernelRow, MatmulReport, MatrixStorage, Moments, Precision, Rates, Runner, Stop,
    TrainBench, TrainBenchReport, format_bytes,
};

/// Run benchmarks.
#[derive(Subcommand)]
pub(super) enum Bench {
    Train(BenchTrain),
    Decode(BenchDecode),
    Matmul(BenchMatmul),
    Dispatch(BenchDispatch),
    App(BenchApp),
}

/// Measure the latency of a dispatch that waits for the previous one: a lower bound for every dispatch in decoding and training.
#[derive(Args)]
pub(super) struct BenchDispatch {
    #[command(flatten)]
    at: DeviceOption,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Benchmark the frame time of the app, without a window: with a long run, in every tab, and during training.
#[derive(Args)]
pub(super) struct BenchApp {
    /// Steps of the displayed run.
    #[arg(long, default_value_t = 1_000_000)]
    points: u64,
    /// Frames to time in each scene.
    #[arg(long, default_value_t = 600)]
    frames: usize,
    /// Folder for the run that trains during the benchmark.
    #[arg(long, default_value = "runs")]
    runs: std::path::PathBuf,
    /// Print the results as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Benchmark training steps: teacher forward, student forward and backward, clipping, AdamW.
#[derive(Args)]
pub(super) struct BenchTrain {
    /// Model size: tiny, 5M, 130M, 1.3B, 7B or 13B.
    #[arg(long, default_value = "5M")]
    size: String,
    /// Sequences per step [default: 4 for small sizes, else 1].
    #[arg(long)]
    batch: Option<usize>,
    /// Tokens per sequence.
    #[arg(long, default_value_t = 256)]
    seq: usize,
    /// Steps to time, after two warmup steps.
    #[arg(long, default_value_t = 6)]
    steps: usize,
    /// Storage of the teacher's matrices: f16, f32, or q8 (8-bit blocks).
    #[arg(long, default_value = "f16", value_parser = choice::<MatrixStorage>)]
    teacher_storage: MatrixStorage,
    /// Storage of AdamW's moments: f32, or q8 (blocks of 8-bit codes).
    #[arg(long, default_value = "f32", value_parser = choice::<Moments>)]
    moments: Moments,
    /// Precision of matrix products on a GPU: f32, or f16 (half-precision operands where that is faster, with matrix units if there are any).
    #[arg(long, default_value = "f32", value_parser = choice::<Precision>)]
    precision: Precision,
    /// Also time each kernel on a GPU, relative to the device's measured bandwidth and compute rate.
    #[arg(long)]
    kernels: bool,
    /// Recompute activations in the backward pass instead of storing them.
    #[arg(long)]
    recompute: bool,
    #[command(flatten)]
    at: DeviceOption,
    #[command(flatten)]
    pub(super) tuning: TuningOptions,
    /// Print the results as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Benchmark matrix products with the shapes that occur in models: dense in f32 and f16, and with binarized weights.
#[derive(Args)]
pub(super) struct BenchMatmul {
    #[command(flatten)]
    at: DeviceOption,
    /// Print one JSON object per product.
    #[arg(long)]
    json: bool,
}

/// Benchmark decoding: a packed model with random weights, and the same model dense in f16.
#[derive(Args)]
pub(super) struct BenchDecode {
    /// Model size: tiny, 5M, 130M, 1.3B, 7B or 13B, or the shape of a public model: SmolLM2-1.7B, TinyLlama-1.1B.
    #[arg(long, default_value = "130M")]
    size: String,
    /// Prompt tokens.
    #[arg(long, default_value_t = 64)]
    prompt: usize,
    /// Tokens to decode.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Skip the dense model, which needs up to 16 times the memory.
    #[arg(long)]
    packed_only: bool,
    /// Also time each kernel on a GPU, relative to the device's measured bandwidth and compute rate.
    #[arg(long)]
    kernels: bool,
    #[command(flatten)]
    at: DeviceOption,
    #[command(flatten)]
    pub(super) tuning: TuningOptions,
    /// Print the results as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        match self {
            Bench::Train(train) => train.run(runner),
            Bench::Decode(decode) => decode.run(runner),
            Bench::Matmul(matmul) => matmul.run(runner),
            Bench::Dispatch(dispatch) => dispatch.run(runner),
            Bench::App(app) => app.run(runner.stop()),
        }
    }
}

impl BenchApp {
    fn run(self, stop: &Stop) -> Result<()> {
        let Self { points, frames, runs, json } = self;
        let runs = runs.to_str().context("--runs: the name is not UTF-8")?;
        let numbers = [format!("--points={points}"), format!("--frames={frames}"), format!("--runs={runs}")];
        let json = json.then(|| "--json".to_string());
        super::app::bench(&numbers.into_iter().chain(json).collect::<Vec<_>>(), stop)
    }
}

impl BenchTrain {
    fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { size, batch, seq, steps, teacher_storage, moments, precision, recompute, kernels, at: DeviceOption { device }, json, .. } = self;
        let batch = batch.unwrap_or(TrainBench::usual_batch(&size));
        let bench = TrainBench { batch, size, seq, steps, teacher_storage, moments, precision, recompute, kernels };
        runner.run(Command::BenchTrain { bench, device }, &mut |event| match &event {
            Event::Progress { done, of, .. } if !json => output::note(&format!("step {done} of {of}")),
            Event::BenchTrain(_) if json => output::put_json(&event),
            Event::BenchTrain(report) => {
                let TrainBenchReport { bench, parameters, device, tokens_per_s, memory, needed, dispatches, submits, rates, kernels } = report;
                let recompute = if bench.recompute { ", activations recomputed" } else { "" };
                put(&format!("{} ({parameters} parameters), {} × {} tokens a step{recompute}, on {device}\n", bench.size, bench.batch, bench.seq));
                put(&format!("{:.1} tokens/s (least {:.1}, greatest {:.1})\n", tokens_per_s.median, tokens_per_s.min, tokens_per_s.max));
                put(&format!(
                    "{} of memory, {:.2} × the {} that cannot be done without\n",
                    signet::runner::format_bytes(*memory),
                    *memory as f64 / *needed as f64,
                    signet::runner::format_bytes(*needed)
                ));
                if let Some(DispatchCounts { train_layer, train_rest, .. }) = dispatches {
                    put(&format!(
                        "{train_layer} dispatches a layer and {train_rest} besides, forward and backward without the teacher; {submits} submits a step\n"
                    ));
                }
                table(*rates, kernels);
            }
            event => output::tuning(event),
        })
    }
}

impl BenchMatmul {
    fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { at: DeviceOption { device }, json } = self;
        runner.run(Command::BenchMatmul { device }, &mut |event| match &event {
            Event::BenchMatmul(_) if json => output::put_json(&event),
            Event::BenchMatmul(MatmulReport { kind, variant, shape: [tokens, inputs, outputs], gflops }) => {
                put(&format!(
                    "{kind:<10} {variant:<18} {tokens:>4} × {inputs:>5} → {outputs:>6}   {:>8.1} GFLOP/s (least {:.1}, greatest {:.1})\n",
                    gflops.median, gflops.min, gflops.max
                ));
            }
            Event::Note { text } if !json => put(&format!("on {text}\n")),
            _ => {}
        })
    }
}

impl BenchDecode {
    fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { size, prompt, tokens, packed_only, kernels, at: DeviceOption { device }, json, .. } = self;
        let bench = DecodeBench { size, prompt, tokens, dense: !packed_only, kernels };
        let mut shown = String::new();
        runner.run(Command::BenchDecode { bench, device }, &mut |event| match &event {
            Event::BenchDecode(_) if json => output::put_json(&event),
            Event::BenchDecode(report) => print(report),
            Event::Progress { done, of, note } => {
                if *note != shown && done < of {
                    output::note(note);
                    shown.clone_from(note);
                }
            }
            event => output::tuning(event),
        })
    }
}

fn print(report: &DecodeReport) {
    let DecodeReport { bench, device, bandwidth, packed, dense, dispatches, rates, kernels } = report;
    put(&format!("{} on {device}, {} tokens after a prompt of {}; memory moves {:.1} GB/s\n", bench.size, bench.tokens, bench.prompt, bandwidth / 1e9));
    let line = |name: &str, side: &DecodeSide| {
        let DecodeSide { tokens_per_second, first_token_seconds, prefill_tokens_per_second, bytes_per_token, memory, roofline } = side;
        put(&format!(
            "{name:<10} {tokens_per_second:>8.1} tokens/s   first token {:>7.1} ms   prefill {prefill_tokens_per_second:>7.0} tokens/s   reads {} a token, {:.0}% of what memory allows   {} of memory\n",
            1e3 * first_token_seconds,
            format_bytes(*bytes_per_token),
            100.0 * roofline,
            format_bytes(*memory)
        ));
    };
    line("packed", packed);
    if let Some(dense) = dense {
        line("dense f16", dense);
        put(&format!("packed is {:.2} times as fast\n", packed.tokens_per_second / dense.tokens_per_second));
    }
    if let Some(DispatchCounts { decode_layer, decode_rest, .. }) = dispatches {
        put(&format!("{decode_layer} dispatches a layer and {decode_rest} besides for a token\n"));
    }
    table(*rates, kernels);
}

impl BenchDispatch {
    fn run(self, runner: &mut Runner) -> Result<()> {
        runner.run(Command::BenchDispatch { device: self.at.device }, &mut |event| match &event {
            Event::BenchDispatch { .. } if self.json => output::put_json(&event),
            Event::BenchDispatch { device, seconds } => put(&format!("a dependent dispatch costs {:.2} µs on {device}\n", 1e6 * seconds)),
            _ => {}
        })
    }
}

/// Prints a table of kernels with their fractions of the device's measured rates.
fn table(rates: Option<Rates>, kernels: &[KernelRow]) {
    let Some(Rates { bandwidth, operations }) = rates else { return };
    put(&format!("a copy moves {:.1} GB/s, a dense product does {:.1} GFLOP/s\n\n", bandwidth / 1e9, operations / 1e9));
    put("| kernel                         | dispatches |       time |       bytes | operations | of bandwidth | of f32 rate |\n");
    put("|--------------------------------|-----------:|-----------:|------------:|-----------:|-------------:|------------:|\n");
    for KernelRow { kernel, dispatches, seconds, bytes, operations, bandwidth, rate } in kernels {
        put(&format!(
            "| {kernel:<30} | {dispatches:>10} | {:>7.2} ms | {:>11} | {:>8.2} G | {:>10.1} % | {:>9.1} % |\n",
            1e3 * seconds,
            format_bytes(*bytes),
            operations / 1e9,
            100.0 * bandwidth,
            100.0 * rate
        ));
    }
    let total: f64 = kernels.iter().map(|row| row.seconds).sum();
    put(&format!("\n{:.2} ms in {} dispatches\n", 1e3 * total, kernels.iter().map(|row| row.dispatches).sum::<usize>()));
}
