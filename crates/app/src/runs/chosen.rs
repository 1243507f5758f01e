//! Comparison of the chosen runs: curves on the same axes, settings side by side.

use super::super::plots::{History, Line, Panel, View, palette};
use super::super::shared::Shared;
use super::rows::plural;
use super::{RunsTab, name};
use crate::widgets::section;
use eframe::egui::{self, Color32, Grid, Id, ScrollArea, Ui};
use signet::runner::{Metrics, MetricsPosition, PLOTS, PlotLine, QUANTITIES, Scale};
use std::collections::BTreeMap;
use std::path::PathBuf;

// Height of a plot, and the minimum width for two side by side, in points.
const HEIGHT: f32 = 190.0;
const WIDE: f32 = 760.0;

/// A chosen run.
pub(super) struct Chosen {
    pub(super) path: PathBuf,
    /// Index of its colour.
    pub(super) colour_index: usize,
    pub(super) history: History,
    /// Read position in its metrics, and whether more can be read at once.
    pub(super) place: MetricsPosition,
    pub(super) more: bool,
    /// True if it is no longer in the folder.
    pub(super) gone: bool,
    /// The error of the last read.
    pub(super) problem: Option<String>,
}

impl Chosen {
    pub(super) fn new(path: PathBuf, colour_index: usize) -> Self {
        Self { path, colour_index, history: History::default(), place: MetricsPosition::default(), more: false, gone: false, problem: None }
    }

    pub(super) fn colour(&self) -> Color32 {
        palette(self.colour_index)
    }

    /// Adds a chunk of its metrics.
    pub(super) fn append(&mut self, until: MetricsPosition, restarted: bool, more: bool, metrics: &[Metrics], broken: &[String]) {
        if restarted {
            self.history = History::default();
        }
        (self.place, self.more) = (until, more);
        if !metrics.is_empty() {
            self.problem = None;
        }
        for metrics in metrics {
            self.history.push(metrics);
            if !metrics.taken {
                self.history.mark(metrics.step, "the guard did not take this step");
            }
            self.history.mark_changes(metrics);
        }
        if let Some(line) = broken.last() {
            self.problem = Some(format!("left out: {line}"));
        }
    }
}

impl RunsTab {
    /// Draws curves and settings of the chosen runs.
    pub(super) fn compare(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.chosen.is_empty() {
            self.view = View::default();
            ui.weak("Tick runs to see their curves on the same axes and their settings side by side");
            return;
        }
        self.unpin();
        self.errors(ui);
        section(ui, "look", |ui| shared.settings.look.ui(ui, &mut self.view));
        section(ui, "plots", |ui| self.plots(ui, shared));
        section(ui, "compared settings", |ui| self.settings(ui));
    }

    /// Removes the marker once none of the runs that it was set on is chosen any more.
    fn unpin(&mut self) {
        let (marker, runs) = &mut self.pinned;
        if *marker != self.view.marker {
            (*marker, *runs) = (self.view.marker, self.chosen.iter().map(|chosen| chosen.path.clone()).collect());
        } else if !self.chosen.iter().any(|chosen| runs.contains(&chosen.path)) {
            self.view.marker = None;
        }
    }

    /// Draws errors of the chosen runs; curves read so far stay.
    fn errors(&mut self, ui: &mut Ui) {
        let mut removed = None;
        for (n, chosen) in self.chosen.iter().enumerate() {
            let what = match (&chosen.problem, chosen.gone) {
                (_, true) => "is no longer in the folder; its curves are as they were last read".to_string(),
                (Some(problem), _) => problem.clone(),
                _ => continue,
            };
            let name = name(&chosen.path);
            section(ui, ("trouble", &chosen.path), |ui| {
                ui.horizontal_wrapped(|ui| {
                    if chosen.gone && ui.button(format!("Remove {name}")).clicked() {
                        removed = Some(n);
                    }
                    ui.colored_label(chosen.colour(), &name);
                    ui.label(what);
                });
            });
        }
        if let Some(n) = removed {
            self.chosen.remove(n);
        }
    }

    fn plots(&mut self, ui: &mut Ui, shared: &Shared) {
        let has = |line: &&PlotLine| self.chosen.iter().any(|chosen| !chosen.history.curve(line.quantity).is_empty());
        let shown: Vec<&PlotLine> = PLOTS.iter().flat_map(|plot| plot.lines).filter(has).collect();
        if shown.is_empty() {
            ui.label("No step has been recorded yet");
        }
        let columns = if ui.available_width() >= WIDE { 2 } else { 1 };
        let group = Id::unique("runs");
        for row in shown.chunks(columns) {
            ui.columns(columns, |places| {
                for (ui, &&PlotLine { quantity, title, .. }) in places.iter_mut().zip(row) {
                    let line = |chosen| line(chosen, quantity);
                    let marks = if let [only] = &self.chosen[..] { &only.history.marks[..] } else { &[] };
                    let lines = self.chosen.iter().map(line).collect();
                    let positive = QUANTITIES[quantity].scale != Scale::Linear;
                    Panel { title, lines, marks, positive, height: HEIGHT }.show(ui, group, &shared.settings.look, &mut self.view);
                }
            });
        }
    }

    /// Draws the settings that differ between the chosen runs, or all if there is only one.
    fn settings(&self, ui: &mut Ui) {
        let rows: Vec<_> = self.chosen.iter().map(|chosen| (chosen, self.rows.find(&chosen.path))).collect();
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (n, (_, row)) in rows.iter().enumerate() {
            for (name, value) in row.map_or(&[][..], |row| &row.settings) {
                values.entry(name).or_insert_with(|| vec!["unknown"; rows.len()])[n] = value;
            }
        }
        let all = values.len();
        let title = if rows.len() > 1 {
            values.retain(|_, values| values.iter().any(|value| *value != values[0]));
            format!("{}, {} are the same", plural(values.len(), "setting differs", "settings differ"), all - values.len())
        } else {
            format!("{all} settings")
        };
        egui::CollapsingHeader::new(title).id_salt(("settings", rows.len() > 1)).default_open(rows.len() > 1).show(ui, |ui| {
            ScrollArea::horizontal().id_salt("settings").show(ui, |ui| {
                Grid::new("settings").striped(true).num_columns(rows.len() + 1).show(ui, |ui| {
                    ui.strong("Setting");
                    for (chosen, _) in &rows {
                        ui.colored_label(chosen.colour(), name(&chosen.path));
                    }
                    ui.end_row();
                    for (name, values) in values {
                        ui.label(name);
                        for value in values {
                            ui.label(value);
                        }
                        ui.end_row();
                    }
                });
            });
        });
    }
}

fn line(chosen: &Chosen, quantity: usize) -> Line<'_> {
    Line::new(name(&chosen.path), chosen.colour_index, chosen.history.curve(quantity))
}
