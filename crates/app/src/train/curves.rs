//! Plots of the current run: curves, and the heat map of flips.

use super::live::Live;
use crate::plots::{Heat, Line, Look, Panel, View, number};
use eframe::egui::{self, ColorImage, Id, TextureHandle, TextureOptions, Ui};
use egui_plot::{PlotImage, PlotPoint};
use signet::runner::{PLOTS, Plot, PlotLine};

/// Height of a plot, in points.
const HEIGHT: f32 = 190.0;
/// Minimum width for two plots side by side, in points.
const WIDE: f32 = 720.0;
/// Minimum seconds between renderings of a growing heat map.
const PICTURE: f64 = 0.5;

/// The plots of a single run.
fn plots() -> impl Iterator<Item = &'static Plot> {
    PLOTS.iter().filter(|plot| plot.alone)
}

/// Draws all plots.
pub(super) fn show(ui: &mut Ui, live: &mut Live, map: &mut Map, look: &mut Look) {
    let Live { history, matrices, view, .. } = live;
    look.ui(ui, view);
    let group = Id::unique("curves of the run at hand");
    let columns = if ui.available_width() >= WIDE { 2 } else { 1 };
    ui.columns(columns, |uis| {
        for (n, plot) in plots().enumerate() {
            // Lines after the first, of the same quantity on held-out text, are dashed.
            let line = |(n, line): (usize, &PlotLine)| Line { broken: n > 0, ..Line::new(line.legend, n, history.curve(line.quantity)) };
            let lines = plot.lines.iter().enumerate().map(line).collect();
            let panel = Panel { title: &sentence(plot.title), lines, marks: &history.marks, positive: true, height: HEIGHT };
            panel.show(&mut uis[n % columns], group, look, view);
        }
        map.show(&mut uis[plots().count() % columns], &history.heat, matrices, group, view);
    });
}

/// Capitalizes the first letter of a title.
fn sentence(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The rendered heat map: texture, version of the data, and time of rendering.
#[derive(Default)]
pub(super) struct Map {
    picture: Option<(TextureHandle, u64, f64)>,
}

impl Map {
    fn show(&mut self, ui: &mut Ui, heat: &Heat, names: &[String], group: Id, view: &View) {
        ui.strong("Flip-flop ratio by matrix");
        let rows = heat.rows();
        self.draw(ui, heat);
        let plot = egui_plot::Plot::new((group, "flips by matrix", view.reset))
            .height(HEIGHT)
            .link_axis(group.with(view.reset), [true, false])
            .link_cursor(group, [true, false])
            .allow_scroll(false)
            .y_axis_min_width(48.0)
            .show_x(false)
            .show_y(false)
            .show_grid([false, false])
            .x_axis_formatter(|mark, _| number(mark.value))
            .y_axis_formatter(|_, _| String::new());
        let shown = plot.show(ui, |plot| {
            if let Some((texture, ..)) = &self.picture {
                let (width, height) = (heat.steps() as f64, rows as f64);
                plot.image(PlotImage::new("", texture, PlotPoint::new(0.5 + width / 2.0, height / 2.0), [width as f32, height as f32]).allow_hover(false));
            }
            plot.pointer_coordinate().filter(|_| plot.response().hovered())
        });
        let response = shown.response;
        response
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Flip-flop ratio by matrix: {rows} matrices, {} steps", heat.steps())));
        if let Some(at) = shown.inner
            && let Some(row) = row_at(at.y, rows)
            && let Some(ratio) = heat.at(row, at.x.max(1.0) as u64)
        {
            let name = names.get(row).map_or_else(|| format!("matrix {row}"), Clone::clone);
            response.on_hover_text_at_pointer(format!("{name}\nstep {:.0}: {}", at.x, number(ratio)));
        }
    }

    /// Renders the heat map again if the data changed and the last rendering is old enough.
    fn draw(&mut self, ui: &Ui, heat: &Heat) {
        let (now, version) = (ui.input(|input| input.time), heat.version());
        if self.picture.as_ref().is_some_and(|(_, of, when)| *of == version || now - when < PICTURE) {
            return;
        }
        let image: Option<ColorImage> = heat.image(ui.visuals().extreme_bg_color);
        self.picture = image.map(|image| (ui.ctx().load_texture("flips by matrix", image, TextureOptions::NEAREST), version, now));
    }
}

/// The index of the matrix at a y coordinate of the plot; the first is on top.
fn row_at(y: f64, rows: usize) -> Option<usize> {
    let row = rows as f64 - y;
    (row >= 0.0 && row < rows as f64).then_some(row as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matrix_is_on_top() {
        assert_eq!([27.9, 0.1, 28.1, -0.1].map(|y| row_at(y, 28)), [Some(0), Some(27), None, None]);
    }
}
