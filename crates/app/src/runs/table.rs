//! The table of runs: checkboxes and sortable columns; only visible rows are drawn.

use super::RunsTab;
use super::chosen::Chosen;
use super::rows::{Column, Row};
use crate::widgets::section;
use eframe::egui::{self, Align, Layout, Rect, Response, ScrollArea, Sense, Shape, TextWrapMode, Ui, pos2, vec2};

/// Number of visible rows.
const ROWS: f32 = 9.0;
/// Maximum number of chosen runs.
const MAX_CHOSEN: usize = 16;

impl RunsTab {
    pub(super) fn table(&mut self, ui: &mut Ui) {
        let height = ui.spacing().interact_size.y;
        let widths: f32 = Column::ALL.iter().map(|column| column.heading().1 + ui.spacing().item_spacing.x).sum();
        ScrollArea::horizontal().id_salt("columns").show(ui, |ui| {
            ui.set_min_width(widths);
            ui.horizontal(|ui| {
                for column in Column::ALL {
                    cell(ui, column, height, |ui| self.heading(ui, column));
                }
            });
            let (seen, all) = self.rows.counts();
            if seen == 0 {
                ui.weak(if all == 0 { "No runs yet" } else { "No run matches the filter" });
            }
            let step = height + ui.spacing().item_spacing.y;
            let rows = ScrollArea::vertical().id_salt("rows").max_height(ROWS * step).show_rows(ui, height, seen, |ui, range| {
                let (mut toggled, mut reached) = (None, false);
                for (n, row) in self.rows.seen(range.clone()).enumerate() {
                    let place = self.chosen.iter().position(|chosen| chosen.path == row.info.path);
                    let name = section(ui, &row.info.path, |ui| ui.horizontal(|ui| self.row(ui, row, place, height)).inner);
                    if name.as_ref().is_some_and(Response::changed) {
                        toggled = Some(row.info.path.clone());
                    }
                    reached |= name.is_some_and(|name| name.gained_focus());
                    if (range.start + n) % 2 == 1 {
                        let line = Rect::from_min_size(pos2(ui.min_rect().left(), ui.cursor().top() - step), vec2(widths, height));
                        ui.painter().rect_filled(line, 2.0, ui.visuals().faint_bg_color);
                    }
                }
                if let Some(path) = toggled {
                    self.toggle(path);
                }
                reached
            });
            if rows.inner {
                // The rows scroll vertically only; scroll horizontally to a name that got the keyboard focus.
                ui.scroll_to_rect(Rect::from_min_size(ui.min_rect().left_top(), vec2(1.0, height)), None);
            }
        });
    }

    fn heading(&mut self, ui: &mut Ui, column: Column) {
        let (name, _) = column.heading();
        let (sorted, downwards) = self.rows.sort;
        let chosen = sorted == column;
        let how = if !chosen {
            "Sort by this"
        } else if downwards {
            "Sorted downwards"
        } else {
            "Sorted upwards"
        };
        if ui.selectable_label(chosen, name).on_hover_text(how).clicked() {
            self.rows.sort = (column, chosen && !downwards);
            self.rows.arrange();
        }
        if chosen {
            let (area, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
            let tip = if downwards { area.bottom() } else { area.top() };
            let base = if downwards { area.top() } else { area.bottom() };
            let points = vec![pos2(area.center().x, tip), pos2(area.left(), base), pos2(area.right(), base)];
            ui.painter().add(Shape::convex_polygon(points, ui.visuals().text_color(), egui::Stroke::NONE));
        }
    }

    /// Draws a row; returns the response of its checkbox. `place` is its index among the chosen runs.
    fn row(&self, ui: &mut Ui, row: &Row, place: Option<usize>, height: f32) -> Option<Response> {
        let mut name = None;
        for column in Column::ALL {
            cell(ui, column, height, |ui| match column {
                Column::Name => {
                    let mut on = place.is_some();
                    let mut text = egui::RichText::new(&row.info.name);
                    if let Some(place) = place {
                        text = text.color(self.chosen[place].colour()).strong();
                    }
                    name = Some(ui.checkbox(&mut on, text).on_hover_text(row.info.path.display().to_string()));
                }
                Column::State => {
                    let colour = match row.state() {
                        "damaged" => ui.visuals().error_fg_color,
                        "in training" => ui.visuals().hyperlink_color,
                        _ => ui.visuals().text_color(),
                    };
                    let label = ui.colored_label(colour, row.state());
                    if let Some(problem) = &row.info.problem {
                        label.on_hover_text(problem);
                    }
                }
                column => {
                    ui.label(row.cell(column, self.now));
                }
            });
        }
        name
    }

    /// Adds a run to the chosen ones, or removes it.
    fn toggle(&mut self, path: std::path::PathBuf) {
        if let Some(place) = self.chosen.iter().position(|chosen| chosen.path == path) {
            self.chosen.remove(place);
            return;
        }
        // A run keeps its colour, the first unused one, for as long as it is chosen.
        let colour = (0..).find(|&n| self.chosen.iter().all(|chosen| chosen.colour_index != n)).unwrap_or_default();
        if self.chosen.len() < MAX_CHOSEN {
            self.chosen.push(Chosen::new(path.clone(), colour));
            self.follow(&path);
        }
    }
}

/// Draws a cell of its column's width.
fn cell(ui: &mut Ui, column: Column, height: f32, add: impl FnOnce(&mut Ui)) {
    let size = vec2(column.heading().1, height);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_size(size);
        ui.set_max_width(size.x);
        ui.style_mut().wrap_mode = Some(TextWrapMode::Truncate);
        add(ui);
    });
}
