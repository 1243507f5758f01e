//! Benchmarks of a device: choice and results.

use crate::plots::number;
use eframe::egui::{ComboBox, Grid, ScrollArea, Ui};
use signet::runner::{Command, DecodeBench, DecodeReport, DecodeSide, Event, MatrixStorage, Moments, Precision, TrainBench, TrainBenchReport};

/// A benchmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Products,
    Dispatches,
    Decoding,
    Training,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Products, Kind::Dispatches, Kind::Decoding, Kind::Training];

    fn name(self) -> &'static str {
        match self {
            Kind::Products => "Matrix products",
            Kind::Dispatches => "Dispatches",
            Kind::Decoding => "Decoding",
            Kind::Training => "Training steps",
        }
    }
}

/// Model sizes.
const SIZES: [&str; 5] = ["tiny", "5M", "130M", "1.3B", "7B"];

/// The chosen benchmark, and the results so far.
#[derive(Default)]
pub(super) struct Benchmark {
    kind: Kind,
    size: usize,
    /// Device, benchmark and result of each measurement.
    pub(super) lines: Vec<[String; 3]>,
    /// The error of the last benchmark.
    pub(super) problem: Option<String>,
}

impl Benchmark {
    /// Returns the command that runs the chosen benchmark on a device.
    pub(super) fn command(&self, device: String) -> Command {
        let size = SIZES[self.size].to_string();
        match self.kind {
            Kind::Products => Command::BenchMatmul { device },
            Kind::Dispatches => Command::BenchDispatch { device },
            Kind::Decoding => Command::BenchDecode { bench: DecodeBench { size, prompt: 64, tokens: 64, dense: self.size < 3, kernels: false }, device },
            Kind::Training => {
                let batch = TrainBench::usual_batch(&size);
                let (teacher_storage, moments) = (MatrixStorage::F16, Moments::F32);
                let bench =
                    TrainBench { size, batch, seq: 256, steps: 6, teacher_storage, moments, precision: Precision::F32, kernels: false, recompute: false };
                Command::BenchTrain { bench, device }
            }
        }
    }

    /// Draws the choices.
    pub(super) fn choices(&mut self, ui: &mut Ui) {
        let label = ui.label("Benchmark");
        let list = ComboBox::from_id_salt("benchmark").selected_text(self.kind.name());
        let list = list.show_ui(ui, |ui| Kind::ALL.into_iter().for_each(|kind| drop(ui.selectable_value(&mut self.kind, kind, kind.name()))));
        list.response.labelled_by(label.id);
        if matches!(self.kind, Kind::Decoding | Kind::Training) {
            let label = ui.label("Size");
            let list = ComboBox::from_id_salt("size").width(70.0).selected_text(SIZES[self.size]);
            let list = list.show_ui(ui, |ui| SIZES.iter().enumerate().for_each(|(n, size)| drop(ui.selectable_value(&mut self.size, n, *size))));
            list.response.labelled_by(label.id);
        }
    }

    /// Adds a result, if `event` is one. `device` is used for events that do not name their device.
    pub(super) fn add_result(&mut self, event: &Event, device: &str) {
        match event {
            Event::BenchMatmul(report) => {
                let [tokens, inputs, outputs] = report.shape;
                let what = format!("{} {} {tokens} × {inputs} to {outputs}", report.kind, report.variant).replace("  ", " ");
                let spread = report.gflops;
                self.add(device, what, format!("{:.1} GFLOP/s ({:.1} to {:.1})", spread.median, spread.min, spread.max));
            }
            Event::BenchDispatch { device, seconds } => self.add(device, "a dependent dispatch".into(), format!("{:.2} µs", 1e6 * seconds)),
            Event::BenchDecode(report) => self.decoded(report),
            Event::BenchTrain(report) => {
                let TrainBenchReport { bench, device, tokens_per_s: spread, memory, .. } = report;
                let what = format!("training {}, {} × {} tokens a step", bench.size, bench.batch, bench.seq);
                let memory = number(*memory as f64 / 1e9);
                self.add(device, what, format!("{:.1} tokens/s ({:.1} to {:.1}), {memory} GB of memory", spread.median, spread.min, spread.max));
            }
            _ => {}
        }
    }

    fn decoded(&mut self, report: &DecodeReport) {
        for (name, side) in [("packed", Some(&report.packed)), ("dense in f16", report.dense.as_ref())] {
            let Some(DecodeSide { tokens_per_second, first_token_seconds, memory, roofline, .. }) = side else { continue };
            let result = format!(
                "{tokens_per_second:.1} tokens/s, the first after {:.1} ms, {:.0} % of what memory allows, {} GB of memory",
                1e3 * first_token_seconds,
                100.0 * roofline,
                number(*memory as f64 / 1e9)
            );
            self.add(&report.device, format!("decoding {}, {name}", report.bench.size), result);
        }
    }

    fn add(&mut self, device: &str, what: String, result: String) {
        self.lines.push([device.into(), what, result]);
    }

    /// Returns all results as text.
    pub(super) fn text(&self) -> String {
        self.lines.iter().map(|[device, what, result]| format!("{device}: {what}: {result}\n")).collect()
    }

    /// Draws the results.
    pub(super) fn results(&self, ui: &mut Ui) {
        ScrollArea::horizontal().id_salt("timed").show(ui, |ui| {
            Grid::new("timings").num_columns(3).striped(true).spacing([24.0, 4.0]).show(ui, |ui| {
                for line in &self.lines {
                    line.iter().for_each(|cell| drop(ui.label(cell)));
                    ui.end_row();
                }
            });
        });
    }
}
