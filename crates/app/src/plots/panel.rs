//! A plot of curves: linear or logarithmic, optionally smoothed; zoom and marker are shared by a group of plots.

use super::axis::{log_marks, number};
use super::history::Mark;
use eframe::egui::{self, Color32, Id, Ui};
use egui_plot::{HoverPosition, Legend, LineStyle, Plot, PlotPoint, PlotPoints, PlotUi, VLine};
use signet::runner::{Column, Curve};

/// Colours that all kinds of colour vision can distinguish (Okabe and Ito), in the order of use.
const PALETTE: [[u8; 3]; 8] = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [148, 148, 148], [120, 94, 60]];

/// The `n`-th line colour.
pub fn palette(n: usize) -> Color32 {
    let [r, g, b] = PALETTE[n % PALETTE.len()];
    Color32::from_rgb(r, g, b)
}

/// Display options of all plots of a tab.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Look {
    /// Logarithmic values, in panels that allow it.
    pub logarithmic: bool,
    /// Smoothing width as a fraction of the visible range; 0 for none.
    pub smoothing: f32,
}

impl Default for Look {
    fn default() -> Self {
        Self { logarithmic: true, smoothing: 0.0 }
    }
}

/// Marker and zoom of the current curves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The step marked on all plots.
    pub marker: Option<f64>,
    /// Number of zoom resets.
    pub reset: u32,
}

impl Look {
    /// Draws the controls: scale, smoothing, zoom, marker.
    pub fn ui(&mut self, ui: &mut Ui, view: &mut View) {
        ui.horizontal_wrapped(|ui| {
            ui.checkbox(&mut self.logarithmic, "Logarithmic").on_hover_text("Draw values by their logarithm, where none is below 0");
            let label = ui.label("Smoothing");
            ui.add(egui::Slider::new(&mut self.smoothing, 0.0..=0.2).show_value(false))
                .labelled_by(label.id)
                .on_hover_text("Average over a share of the range that is seen");
            if ui.button("Show all").on_hover_text("Undo zooming: drag a box with the right button, scroll with Ctrl, or double-click to go back").clicked() {
                view.reset += 1;
            }
            if let Some(step) = view.marker {
                ui.label(format!("Marker at step {step:.0}"));
                if ui.button("Remove marker").clicked() {
                    view.marker = None;
                }
            } else {
                ui.weak("Click a plot to mark a step on all");
            }
        });
    }
}

/// One curve in a plot.
pub struct Line<'a> {
    /// Its name in the legend.
    pub name: String,
    /// Its colour.
    pub colour: Color32,
    /// Its values.
    pub curve: &'a Curve,
    /// Drawn dashed, to distinguish it from another of the same colour.
    pub broken: bool,
}

impl<'a> Line<'a> {
    /// A line in the `n`-th colour.
    pub fn new(name: impl Into<String>, n: usize, curve: &'a Curve) -> Self {
        Self { name: name.into(), colour: palette(n), curve, broken: false }
    }
}

/// A plot.
pub struct Panel<'a> {
    /// Its title and accessible name.
    pub title: &'a str,
    /// Its lines.
    pub lines: Vec<Line<'a>>,
    /// Events, drawn as vertical lines.
    pub marks: &'a [Mark],
    /// True if its values are positive, so that the axis can be logarithmic.
    pub positive: bool,
    /// Its height, in points.
    pub height: f32,
}

/// Maximum number of marks drawn.
const MARKS: usize = 200;
/// Radius of a curve of one point.
const DOT: f32 = 3.0;

impl Panel<'_> {
    /// Draws the plot. Plots of the same `group` share zoom, pan and cursor along the step axis.
    pub fn show(&self, ui: &mut Ui, group: Id, look: &Look, view: &mut View) {
        ui.horizontal_wrapped(|ui| {
            ui.strong(self.title);
            if let Some(step) = view.marker {
                self.values(ui, step);
            }
        });
        let logarithmic = look.logarithmic && self.positive;
        let lines = self.lines.iter().filter(|line| !line.curve.is_empty()).count();
        let show = move |value: f64| number(if logarithmic { 10_f64.powf(value) } else { value });
        let mut plot = Plot::new((group, self.title, view.reset))
            .height(self.height)
            .link_axis(group.with(view.reset), [true, false])
            .link_cursor(group, [true, false])
            .allow_scroll(false)
            .y_axis_min_width(48.0)
            .x_axis_formatter(|mark, _| number(mark.value))
            .y_axis_formatter(move |mark, _| show(mark.value))
            .label_formatter(move |at| hover(at, show));
        if logarithmic {
            plot = plot.y_grid_spacer(|input| log_marks(&input));
        }
        if lines > 1 {
            plot = plot.legend(Legend::default().background_alpha(0.6));
        }
        let width = ui.available_width();
        let response = plot.show(ui, |plot| self.draw(plot, width, logarithmic, look, view)).response;
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, self.summary()));
    }

    fn draw(&self, plot: &mut PlotUi<'_>, width: f32, logarithmic: bool, look: &Look, view: &mut View) {
        let (from, to) = self.seen(plot);
        let pixels = width.max(1.0) as usize;
        for line in &self.lines {
            let columns = line.curve.columns(from, to, pixels);
            let style = if line.broken { LineStyle::dashed_dense() } else { LineStyle::Solid };
            let draw = |name: &str, colour: Color32, points: Vec<PlotPoint>| {
                egui_plot::Line::new(name, PlotPoints::Owned(points)).color(colour).style(style).width(1.5).id((name, colour == line.colour))
            };
            let smooth = look.smoothing > 0.0 && columns.len() > 4;
            if smooth {
                // Draw the raw values faintly behind the smoothed ones.
                plot.line(draw("", line.colour.gamma_multiply(0.3), ends(&columns, logarithmic)).allow_hover(false));
            }
            let points = if smooth { means(&columns, f64::from(look.smoothing) * (to - from), logarithmic) } else { ends(&columns, logarithmic) };
            if let [point] = points[..] {
                // A line through one point has no length.
                let dot = egui_plot::Points::new(&line.name, vec![[point.x, point.y]]).color(line.colour).radius(DOT);
                plot.points(dot.id((&line.name, true)));
            } else {
                plot.line(draw(&line.name, line.colour, points));
            }
        }
        let colour = Color32::from_rgb(200, 60, 60).gamma_multiply(0.6);
        for mark in self.marks.iter().rev().filter(|mark| (from..=to).contains(&(mark.step as f64))).take(MARKS) {
            plot.vline(VLine::new("", mark.step as f64).color(colour).style(LineStyle::dashed_loose()).id((mark.step, &mark.text)));
        }
        if let Some(step) = view.marker {
            plot.vline(VLine::new("", step).color(Color32::GRAY).width(1.5).allow_hover(false));
        }
        if plot.response().clicked()
            && let Some(at) = plot.pointer_coordinate()
        {
            view.marker = Some(at.x.round().max(0.0));
        }
    }

    /// The visible range of steps: all, unless zoomed.
    fn seen(&self, plot: &PlotUi<'_>) -> (f64, f64) {
        if plot.auto_bounds().x {
            let ranges = || self.lines.iter().filter_map(|line| line.curve.range());
            (ranges().map(|(first, _)| first).min().unwrap_or(0) as f64, ranges().map(|(_, last)| last).max().unwrap_or(1) as f64)
        } else {
            let bounds = plot.plot_bounds();
            (bounds.min()[0], bounds.max()[0])
        }
    }

    /// Draws the lines' values and the marks at a step.
    fn values(&self, ui: &mut Ui, step: f64) {
        for line in &self.lines {
            if let Some((_, value)) = line.curve.at(step) {
                ui.colored_label(line.colour, format!("{} {}", line.name, number(value)));
            }
        }
        for mark in self.marks.iter().filter(|mark| mark.step as f64 == step) {
            ui.label(&mark.text);
        }
    }

    /// A text description for screen readers.
    fn summary(&self) -> String {
        let lines = self.lines.iter().filter_map(|line| {
            let (first, last) = line.curve.range()?;
            let known = if first > 1 { format!(", known from step {first}") } else { String::new() };
            Some(format!("{} is {} at step {last}{known}", line.name, number(line.curve.last()?)))
        });
        let lines: Vec<String> = lines.collect();
        format!("{}: {}", self.title, if lines.is_empty() { "nothing yet".into() } else { lines.join(", ") })
    }
}

/// The y coordinate of a value; none if it has no logarithm.
fn place(value: f64, logarithmic: bool) -> Option<f64> {
    if !logarithmic { Some(value) } else { (value > 0.0).then(|| value.log10()) }
}

/// Minimum and maximum of each column.
fn ends(columns: &[Column], logarithmic: bool) -> Vec<PlotPoint> {
    columns.iter().flat_map(|column| column.points()).filter_map(|&(step, value)| Some(PlotPoint::new(step, place(value, logarithmic)?))).collect()
}

/// Exponential moving average with a time constant of `width` steps.
fn means(columns: &[Column], width: f64, logarithmic: bool) -> Vec<PlotPoint> {
    let mut average: Option<(f64, f64)> = None;
    let points = columns.iter().filter_map(|column| {
        let step = column.ends[0].0;
        let smooth = match average {
            Some((before, value)) => {
                let keep = (-(step - before) / width.max(1e-9)).exp();
                keep * value + (1.0 - keep) * column.mean
            }
            None => column.mean,
        };
        average = Some((step, smooth));
        Some(PlotPoint::new(step, place(smooth, logarithmic)?))
    });
    points.collect()
}

fn hover(at: &HoverPosition<'_>, show: impl Fn(f64) -> String) -> Option<String> {
    match at {
        HoverPosition::NearDataPoint { plot_name, position, .. } if !plot_name.is_empty() => {
            Some(format!("{plot_name}: {}\nstep {:.0}", show(position.y), position.x))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_approaches_the_mean_and_log_axes_skip_negative_values() {
        let mut curve = Curve::default();
        (1..=1000_u64).for_each(|step| curve.push(step, if step % 2 == 0 { 3.0 } else { -1.0 }));
        let columns = curve.columns(1.0, 1000.0, 2000);
        let smooth = means(&columns, 200.0, false);
        assert!((smooth.last().unwrap().y - 1.0).abs() < 0.02);
        assert_eq!(ends(&columns, true).len(), 500);
        assert!(ends(&columns, true).iter().all(|point| (point.y - 3_f64.log10()).abs() < 1e-6));
    }
}
