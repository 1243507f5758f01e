//! The Devices tab: adapters, conformance checks, benchmarks.

mod benchmark;
mod conformance;

use super::action::Action;
use super::dialog::{Dialog, Pick};
use super::shared::Shared;
use crate::tab_view::TabView;
use crate::widgets::{heading, section};
use benchmark::Benchmark;
use conformance::{ConformanceResults, ReportAction};
use eframe::egui::{self, ProgressBar, ScrollArea, Ui};
use signet::runner::{Clock, Command, ConformRequest, DeviceInfo, Event, Reply, Report, Tuning, Wake, Worker, format_bytes};
use std::collections::VecDeque;
use std::path::PathBuf;

/// The Devices tab.
pub(super) struct DevicesTab {
    /// Runs checks and benchmarks.
    worker: Worker,
    /// Lists adapters and writes files, also while `worker` is busy.
    file_worker: Worker,
    /// The chosen device, as `--device` names it.
    chosen: String,
    filter: String,
    work: Option<Work>,
    /// Devices that wait for a conformance check: their `--device` value and their name.
    queue: VecDeque<(String, String)>,
    progress: Option<Progress>,
    checked: Vec<ConformanceResults>,
    benchmark: Benchmark,
    /// Folder for reports.
    folder: String,
    dialog: Dialog<()>,
    auto_check: AutoCheck,
}

/// State of a conformance check that starts without a click, for test machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AutoCheck {
    No,
    /// Waiting for the list of adapters.
    Listing,
    /// Running or done.
    Started,
}

/// The worker's current job.
#[derive(Clone, PartialEq)]
enum Work {
    Conformance,
    /// A benchmark on the device of this name.
    Benchmark(String),
}

struct Progress {
    done: usize,
    of: usize,
    note: String,
    clock: Clock,
}

impl Progress {
    fn summary(&self) -> String {
        let Self { done, of, note, clock } = self;
        let left = clock.seconds() / (*done).max(1) as f64 * of.saturating_sub(*done) as f64;
        let left = match left {
            _ if *done == 0 || done == of => String::new(),
            left if left < 90.0 => format!(", about {left:.0} s left"),
            left => format!(", about {:.0} min left", left / 60.0),
        };
        format!("{note}: {done} of {of}{left}")
    }
}

impl TabView for DevicesTab {
    fn poll(&mut self, shared: &mut Shared) {
        for reply in self.worker.poll() {
            self.handle(reply, shared);
        }
        for reply in self.file_worker.poll() {
            match reply {
                Reply::Event(Event::Devices { adapters }) => shared.devices = adapters,
                Reply::Event(Event::Note { text }) => shared.notices.tell(text),
                Reply::Ended { error } => {
                    error.into_iter().for_each(|error| shared.notices.warn(error.text));
                    self.adapters_listed(shared);
                }
                Reply::Event(_) | Reply::Restarted { .. } => {}
            }
        }
    }

    fn handle(&mut self, reply: Reply, _: &mut Shared) {
        match reply {
            Reply::Event(event) => self.handle_event(event),
            Reply::Restarted { .. } => {}
            Reply::Ended { error } => {
                self.progress = None;
                match self.work.take() {
                    Some(Work::Benchmark(device)) => self.benchmark.problem = error.map(|error| format!("{device}: {error}")),
                    Some(Work::Conformance) | None => {
                        if let Some(checked) = self.checked.last_mut() {
                            checked.end(error.map(|error| error.text));
                        }
                    }
                }
                self.next();
            }
        }
    }

    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if let Some(((), folder)) = self.dialog.chosen(ui.ctx()) {
            self.folder = folder.display().to_string();
        }
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            section(ui, "adapters", |ui| self.adapters(ui, shared));
            ui.separator();
            section(ui, "controls", |ui| self.controls(ui, shared));
            if let Some(progress) = &self.progress {
                let share = progress.done as f32 / progress.of.max(1) as f32;
                ui.add(ProgressBar::new(share).text(progress.summary()));
            }
            section(ui, "results", |ui| self.results(ui, shared));
        });
    }

    fn act(&mut self, action: Action, _: &mut Shared) -> Option<Action> {
        Some(action)
    }

    fn keys(&mut self, _: &Ui, _: &mut Shared) {}
}

impl DevicesTab {
    /// Creates the tab.
    pub(super) fn new(wake: &Wake) -> Self {
        Self {
            worker: Worker::spawn("devices", Tuning::default(), wake.clone()),
            file_worker: Worker::spawn("reports", Tuning::Off, wake.clone()),
            chosen: "cpu".into(),
            filter: String::new(),
            work: None,
            queue: VecDeque::new(),
            progress: None,
            checked: Vec::new(),
            benchmark: Benchmark::default(),
            folder: String::new(),
            dialog: Dialog::default(),
            auto_check: AutoCheck::No,
        }
    }

    /// Starts a conformance check without a click: on the first adapter, or on the CPU device if there is none.
    pub(super) fn start_conformance(&mut self, filter: String) {
        self.filter = filter;
        self.auto_check = AutoCheck::Listing;
        self.file_worker.send(Command::Devices);
    }

    /// Returns the report of [`start_conformance`](Self::start_conformance) or the error, once the check is over.
    pub(super) fn conformance_result(&self) -> Option<Result<&Report, &str>> {
        if self.auto_check != AutoCheck::Started || self.work.is_some() {
            return None;
        }
        let last = self.checked.last()?;
        Some(last.report.as_deref().ok_or_else(|| last.problem().unwrap_or("the conformance check did not start")))
    }

    /// Starts the conformance check that waits for the list of adapters.
    fn adapters_listed(&mut self, shared: &Shared) {
        if self.auto_check == AutoCheck::Listing {
            self.auto_check = AutoCheck::Started;
            let first = shared.devices.first();
            self.chosen = first.map_or("cpu".into(), |device| device.index.to_string());
            self.queue.push_back((self.chosen.clone(), self.name(&shared.devices)));
            self.next();
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Progress { done, of, note } => self.advance(done, of, note),
            Event::Tuning { done, of, what } => self.advance(done, of, format!("tuning {what}")),
            Event::Case { device, result } => self.checking(device).add(&result),
            Event::Conformance { report, .. } => {
                let device = report.device.clone();
                self.checking(device).report = Some(report);
            }
            event => {
                let device = if let Some(Work::Benchmark(device)) = &self.work { device.clone() } else { String::new() };
                self.benchmark.add_result(&event, &device);
            }
        }
    }

    fn advance(&mut self, done: usize, of: usize, note: String) {
        let clock = self.progress.take().filter(|before| before.of == of).map_or_else(Clock::start, |before| before.clock);
        self.progress = Some(Progress { done, of, note, clock });
    }

    /// Returns the results of the check in progress, and sets their device's name.
    fn checking(&mut self, device: String) -> &mut ConformanceResults {
        if self.checked.last().is_none_or(|last| last.report.is_some()) {
            self.checked.push(ConformanceResults::default());
        }
        let last = self.checked.last_mut().expect("there is one");
        last.device = device;
        last
    }

    /// Starts the conformance check of the next device in the queue.
    fn next(&mut self) {
        if self.work.is_some() {
            return;
        }
        if let Some((device, name)) = self.queue.pop_front() {
            let filter = Some(self.filter.trim()).filter(|filter| !filter.is_empty()).map(str::to_string);
            self.checked.push(ConformanceResults::new(name));
            self.begin(Work::Conformance, Command::Conform(ConformRequest { device, seed: None, filter, report: None }));
        }
    }

    fn begin(&mut self, work: Work, command: Command) {
        self.progress = None;
        self.work = Some(work);
        self.worker.send(command);
    }

    /// The name of the chosen device.
    fn name(&self, devices: &[DeviceInfo]) -> String {
        devices.iter().find(|device| device.index.to_string() == self.chosen).map_or("CPU".into(), |device| device.name.clone())
    }

    /// Draws the list of devices, to choose one.
    fn adapters(&mut self, ui: &mut Ui, shared: &Shared) {
        ui.horizontal_wrapped(|ui| {
            heading(ui, "Devices");
            if ui.button("Look again").on_hover_text("List the adapters of this machine anew").clicked() {
                self.file_worker.send(Command::Devices);
            }
        });
        let auto = |preferred: bool| if preferred { ", taken by auto" } else { "" };
        let cpu = format!("CPU{}", auto(!shared.devices.iter().any(|device| device.preferred)));
        ui.radio_value(&mut self.chosen, "cpu".into(), cpu).on_hover_text("No driver needed; what all others are held to");
        for device in &shared.devices {
            let DeviceInfo { index, name, kind, driver, binding_bytes, buffer_bytes, memory_bytes, lacks, features, preferred } = device;
            section(ui, ("device", index), |ui| ui.radio_value(&mut self.chosen, index.to_string(), format!("{name}{}", auto(*preferred))));
            ui.indent(index, |ui| {
                let memory = memory_bytes.map_or("unknown".into(), format_bytes);
                let features = if features.is_empty() { "none".into() } else { features.join(", ") };
                ui.label(format!(
                    "{kind}, driver {driver}; {memory} of memory, bindings up to {}, buffers up to {}",
                    format_bytes(*binding_bytes),
                    format_bytes(*buffer_bytes)
                ));
                ui.label(format!("features: {features}"));
                lacks.iter().for_each(|lack| drop(ui.colored_label(ui.visuals().error_fg_color, format!("cannot be used: {lack}"))));
            });
        }
    }

    /// Draws the buttons for checks and benchmarks.
    fn controls(&mut self, ui: &mut Ui, shared: &Shared) {
        let name = self.name(&shared.devices);
        let free = self.work.is_none();
        ui.horizontal_wrapped(|ui| {
            let one = ui.add_enabled(free, egui::Button::new("Run conformance"));
            if one.on_hover_text("Hold every operation on the chosen device against a float64 oracle, and whole models against the CPU").clicked() {
                self.queue.push_back((self.chosen.clone(), name.clone()));
            }
            if ui.add_enabled(free, egui::Button::new("Run on all")).on_hover_text("The CPU, then every adapter").clicked() {
                self.queue.push_back(("cpu".into(), "CPU".into()));
                self.queue.extend(shared.devices.iter().map(|device| (device.index.to_string(), device.name.clone())));
            }
            let label = ui.label("Only cases with");
            let hint = "operation: label";
            ui.add_enabled(free, egui::TextEdit::singleline(&mut self.filter).hint_text(hint).desired_width(140.0)).labelled_by(label.id);
        });
        ui.horizontal_wrapped(|ui| {
            self.benchmark.choices(ui);
            if ui.add_enabled(free, egui::Button::new("Run benchmark")).on_hover_text(format!("On {name}")).clicked() {
                self.benchmark.problem = None;
                let command = self.benchmark.command(self.chosen.clone());
                self.begin(Work::Benchmark(name.clone()), command);
            }
            if !free && ui.button("Stop").on_hover_text("What was done so far stays").clicked() {
                self.queue.clear();
                self.worker.stop();
            }
            if !self.queue.is_empty() {
                ui.label(format!("{} more to come", self.queue.len()));
            }
        });
        if shared.environment.folders() {
            ui.horizontal_wrapped(|ui| {
                let label = ui.label("Reports go to");
                let hint = shared.settings.runs.display().to_string();
                ui.add(egui::TextEdit::singleline(&mut self.folder).hint_text(hint).desired_width(320.0)).labelled_by(label.id);
                if ui.button("Browse…").clicked() {
                    self.dialog.open((), Pick::Folder);
                }
            });
        }
        self.next();
    }

    /// Draws the results, the newest first.
    fn results(&mut self, ui: &mut Ui, shared: &Shared) {
        let folder = if self.folder.trim().is_empty() { shared.environment.saved_in(&shared.settings.runs) } else { PathBuf::from(self.folder.trim()) };
        if let Some(problem) = &self.benchmark.problem {
            ui.colored_label(ui.visuals().error_fg_color, problem);
        }
        if !self.benchmark.lines.is_empty() {
            ui.strong("Benchmarks");
            ui.horizontal_wrapped(|ui| {
                if ui.button("Save benchmarks").clicked() {
                    self.file_worker.send(Command::SaveText { text: self.benchmark.text(), path: folder.join("benchmarks.txt") });
                }
                if ui.button("Copy benchmarks").clicked() {
                    ui.ctx().copy_text(self.benchmark.text());
                }
            });
            self.benchmark.results(ui);
        }
        for (number, checked) in self.checked.iter().enumerate().rev() {
            let wish = section(ui, ("conformance", number), |ui| checked.ui(ui, number));
            let Some(report) = &checked.report else { continue };
            match wish {
                Some(ReportAction::Save) => {
                    let path = folder.join(format!("conformance-{}", file_name_part(&checked.device)));
                    self.file_worker.send(Command::SaveReport { report: report.clone(), path });
                }
                Some(ReportAction::Copy) => ui.ctx().copy_text(report.markdown()),
                None => {}
            }
        }
    }
}

/// Converts a device's name to a part of a file name.
fn file_name_part(name: &str) -> String {
    let words = name.to_lowercase();
    words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_become_file_names() {
        assert_eq!(file_name_part("llvmpipe (LLVM 15.0.6, 256 bits) (Vulkan)"), "llvmpipe-llvm-15-0-6-256-bits-vulkan");
    }
}
