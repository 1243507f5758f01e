//! α and β of a layer: values by input column, and histograms.

use crate::plots::{number, palette};
use eframe::egui::{self, Role, Ui, WidgetInfo};
use egui_plot::{Bar, BarChart, Line, Plot, PlotPoint, PlotPoints};
use signet::runner::Curve;

/// Bars of a histogram.
const BARS: usize = 60;
/// Height of a plot, in points.
const HEIGHT: f32 = 150.0;

/// One of the two vectors.
struct Scale {
    name: &'static str,
    curve: Curve,
    /// Centre, count and width of each bar.
    bars: Vec<(f64, f64, f64)>,
    /// Minimum, mean and maximum.
    spread: [f64; 3],
}

impl Scale {
    fn new(name: &'static str, values: &[f32]) -> Self {
        let mut curve = Curve::default();
        values.iter().zip(0..).for_each(|(&value, column)| curve.push(column, f64::from(value)));
        let real = || values.iter().map(|&value| f64::from(value));
        let (least, most) = (real().fold(f64::INFINITY, f64::min), real().fold(f64::NEG_INFINITY, f64::max));
        let mean = real().sum::<f64>() / values.len().max(1) as f64;
        Self { name, curve, bars: bars(values, least, most), spread: [least, mean, most] }
    }

    fn summary(&self) -> String {
        let [least, mean, most] = self.spread.map(number);
        format!("{}: {least} to {most}, {mean} on average", self.name)
    }

    /// Plots the values by input column; minimum and maximum of each pixel if there are more columns than pixels.
    fn by_input(&self, ui: &mut Ui, colour: egui::Color32) {
        let pixels = ui.available_width().max(1.0) as usize;
        let plot = Plot::new((self.name, "along")).height(HEIGHT).allow_scroll(false).y_axis_min_width(48.0);
        let plot = plot.x_axis_formatter(|mark, _| number(mark.value)).y_axis_formatter(|mark, _| number(mark.value));
        let response = plot.show(ui, |plot| {
            let inputs = self.curve.len() as f64;
            let bounds = plot.plot_bounds();
            let (from, to) = if plot.auto_bounds().x { (0.0, inputs) } else { (bounds.min()[0], bounds.max()[0]) };
            let columns = self.curve.columns(from, to, pixels);
            let points = columns.iter().flat_map(|column| column.points()).map(|&(x, y)| PlotPoint::new(x, y)).collect();
            plot.line(Line::new(self.name, PlotPoints::Owned(points)).color(colour).width(1.0));
        });
        let label = format!("{} by input column", self.name);
        response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    }

    /// Plots the histogram.
    fn histogram(&self, ui: &mut Ui, colour: egui::Color32) {
        let plot = Plot::new((self.name, "often")).height(HEIGHT).allow_scroll(false).y_axis_min_width(48.0).include_y(0.0);
        let plot = plot.x_axis_formatter(|mark, _| number(mark.value)).y_axis_formatter(|mark, _| number(mark.value));
        let response = plot.show(ui, |plot| {
            let bars = self.bars.iter().map(|&(middle, count, width)| Bar::new(middle, count).width(width)).collect();
            plot.bar_chart(BarChart::new(self.name, bars).color(colour));
        });
        let label = format!("Histogram of {}", self.name);
        response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    }
}

/// Returns centre, count and width of each histogram bar between minimum and maximum.
fn bars(values: &[f32], least: f64, most: f64) -> Vec<(f64, f64, f64)> {
    if values.is_empty() {
        return Vec::new();
    }
    // If all values are equal, choose a width from their magnitude.
    let width = if most > least { (most - least) / BARS as f64 } else { least.abs().max(1.0) / BARS as f64 };
    let mut counts = [0u32; BARS];
    for &value in values {
        counts[(((f64::from(value) - least) / width) as usize).min(BARS - 1)] += 1;
    }
    counts.iter().enumerate().map(|(n, &count)| (least + (n as f64 + 0.5) * width, f64::from(count), width)).collect()
}

/// α and β of a layer.
pub(super) struct Scales {
    pub(super) layer: String,
    both: [Scale; 2],
}

impl Scales {
    pub(super) fn new(layer: String, alpha: &[f32], beta: &[f32]) -> Self {
        Self { layer, both: [Scale::new("α", alpha), Scale::new("β", beta)] }
    }

    /// Draws both, with plot and histogram side by side if there is room.
    pub(super) fn ui(&self, ui: &mut Ui) {
        let wide = ui.available_width() > 640.0;
        for (n, scale) in self.both.iter().enumerate() {
            ui.label(scale.summary());
            if wide {
                ui.columns(2, |columns| {
                    scale.by_input(&mut columns[0], palette(n));
                    scale.histogram(&mut columns[1], palette(n));
                });
            } else {
                scale.by_input(ui, palette(n));
                scale.histogram(ui, palette(n));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bar() {
        let values: Vec<f32> = (0..1000).map(|n| (n as f32 / 999.0).powi(2) - 0.5).collect();
        for values in [&values[..], &[0.25; 7], &[-3.0], &[]] {
            let scale = Scale::new("α", values);
            assert_eq!(scale.bars.iter().map(|bar| bar.1).sum::<f64>(), values.len() as f64);
            assert!(scale.bars.iter().all(|bar| bar.2 > 0.0));
        }
        assert_eq!(Scale::new("α", &[1.0, 2.0, 3.0]).summary(), "α: 1 to 3, 2 on average");
        let bars = bars(&values, -0.5, 0.5);
        assert!(bars[0].1 > bars[BARS - 1].1 * 5.0 && (bars[0].0 + 0.5 - 0.5 / BARS as f64).abs() < 1e-9);
    }
}
