//! A layer's signs as an image: colours, texture, and input for pan and zoom.

use super::camera::Camera;
use eframe::egui::{self, Color32, ColorImage, EventFilter, Key, Rect, Response, Sense, TextureHandle, TextureOptions, Ui, Vec2, pos2, vec2};
use signet::runner::{LayerInfo, PlaneView};
use std::sync::Arc;

/// Zoom factor of a button or a key.
pub(super) const STEP: f32 = 1.5;
/// Pan distance of an arrow key, in points.
const MOVE: f32 = 60.0;

/// The loaded part of a plane.
pub(super) struct LoadedPlane {
    pub(super) view: PlaneView,
    /// Two bytes a pixel: fractions of +1 and of flipped weights, times 255.
    pub(super) pixels: Arc<Vec<u8>>,
    /// Its texture, and true if that is for the dark theme.
    texture: Option<(TextureHandle, bool)>,
}

/// Colours of −1 and +1, and of weights that flipped to them.
#[derive(Clone, Copy)]
pub(super) struct Colours {
    signs: [Color32; 2],
    flips: [Color32; 2],
}

impl Colours {
    pub(super) fn of(dark: bool) -> Self {
        let flips = [Color32::from_rgb(200, 40, 60), Color32::from_rgb(255, 170, 20)];
        let signs = if dark { [(26, 34, 48), (176, 196, 222)] } else { [(232, 236, 242), (44, 74, 120)] };
        Self { signs: signs.map(|(r, g, b)| Color32::from_rgb(r, g, b)), flips }
    }

    /// The colour of a pixel. The square root keeps a small fraction of flips visible.
    fn pixel(&self, positive: u8, flipped: u8) -> Color32 {
        let share = f32::from(positive) / 255.0;
        let mix = |[from, to]: [Color32; 2]| from.lerp_to_gamma(to, share);
        let flips = (f32::from(flipped) / 255.0).sqrt();
        mix(self.signs).lerp_to_gamma(mix(self.flips), flips)
    }

    /// Draws the legend.
    pub(super) fn legend(&self, ui: &mut Ui, compared: bool) {
        let [negative, positive] = self.signs;
        let [down, up] = self.flips;
        let flips = [(up, "flipped to +1"), (down, "flipped to −1")];
        for (colour, meaning) in [(positive, "+1"), (negative, "−1")].into_iter().chain(flips.into_iter().filter(|_| compared)) {
            let (rect, _) = ui.allocate_exact_size(Vec2::splat(ui.text_style_height(&egui::TextStyle::Body)), Sense::empty());
            ui.painter().rect(rect.shrink(2.0), 2.0, colour, ui.visuals().widgets.noninteractive.bg_stroke, egui::StrokeKind::Inside);
            ui.label(meaning);
        }
    }
}

impl LoadedPlane {
    pub(super) fn new(view: PlaneView, pixels: Arc<Vec<u8>>) -> Self {
        Self { view, pixels, texture: None }
    }

    /// Returns the texture; renders it again if the theme changed.
    fn texture(&mut self, ui: &Ui) -> egui::TextureId {
        let dark = ui.visuals().dark_mode;
        if self.texture.as_ref().is_none_or(|(_, of)| *of != dark) {
            let colours = Colours::of(dark);
            // Cache colours: there are few distinct pairs, and many pixels.
            let mut known: Vec<Option<Color32>> = vec![None; 1 << 16];
            let mut colour = |&[positive, flipped]: &[u8; 2]| {
                let at = usize::from(positive) << 8 | usize::from(flipped);
                *known[at].get_or_insert_with(|| colours.pixel(positive, flipped))
            };
            let image = ColorImage::new([self.view.pixels_wide, self.view.pixels_high], self.pixels.as_chunks::<2>().0.iter().map(&mut colour).collect());
            self.texture = Some((ui.ctx().load_texture("signs", image, TextureOptions::NEAREST), dark));
        }
        self.texture.as_ref().expect("made above").0.id()
    }

    /// Describes the weight at a row and a column.
    pub(super) fn describe(&self, row: usize, col: usize, compared: bool) -> Option<String> {
        let PlaneView { pixels_wide, pixels_high, .. } = self.view;
        let px = (0..pixels_wide).find(|&n| self.view.columns(n).contains(&col))?;
        let py = (0..pixels_high).find(|&n| self.view.rows(n).contains(&row))?;
        let shares = self.pixels.get(2 * (py * pixels_wide + px)..)?;
        let (rows, cols) = (self.view.rows(py), self.view.columns(px));
        if rows.len() * cols.len() == 1 {
            let flipped = if !compared {
                ""
            } else if shares[1] > 0 {
                ", flipped"
            } else {
                ", not flipped"
            };
            return Some(format!("row {row}, column {col}: {}{flipped}", if shares[0] > 0 { "+1" } else { "−1" }));
        }
        let percent = |share: u8| 100.0 * f32::from(share) / 255.0;
        let flipped = if compared { format!(", at most {:.0} % flipped", percent(shares[1]).ceil()) } else { String::new() };
        let span = |range: std::ops::Range<usize>| if range.len() == 1 { range.start.to_string() } else { format!("{} to {}", range.start, range.end - 1) };
        Some(format!("row {row}, column {col}: rows {}, columns {} are {:.0} % +1{flipped}; zoom in to see each", span(rows), span(cols), percent(shares[0])))
    }
}

/// Draws the image, and handles wheel, pointer and keys.
pub(super) fn picture(ui: &mut Ui, size: Vec2, layer: &LayerInfo, camera: &mut Option<Camera>, shown: Option<&mut LoadedPlane>) -> Response {
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let mut at = camera.take().map_or_else(|| Camera::whole(layer.rows, layer.cols, size), |camera| camera.resized(size));
    at = by_pointer(ui, &response, rect, at);
    if response.has_focus() {
        at = by_keys(ui, &response, at);
    }
    let painter = ui.painter().with_clip_rect(rect);
    painter.rect_filled(rect, 0.0, ui.visuals().extreme_bg_color);
    if let Some(shown) = shown {
        let all = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        painter.image(shown.texture(ui), at.place(&shown.view).translate(rect.min.to_vec2()), all, Color32::WHITE);
    }
    if response.has_focus() {
        painter.rect_stroke(rect, 0.0, ui.visuals().selection.stroke, egui::StrokeKind::Inside);
    }
    let PlaneView { x, y, width, height, .. } = at.view(ui.pixels_per_point());
    let (name, rows, cols) = (&layer.name, y + height - 1, x + width - 1);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Signs of {name}: rows {y} to {rows}, columns {x} to {cols}")));
    *camera = Some(at);
    response
}

fn by_pointer(ui: &Ui, response: &Response, rect: Rect, mut at: Camera) -> Camera {
    if response.clicked() || response.drag_started() {
        response.request_focus();
    }
    at = at.moved(response.drag_delta());
    if let Some(pointer) = response.hover_pos().map(|pointer| pointer - rect.min) {
        // The wheel zooms while the pointer is over the image, instead of scrolling.
        let (wheel, pinch) = ui.input_mut(|input| (std::mem::take(&mut input.smooth_scroll_delta).y, input.zoom_delta()));
        let factor = (wheel / 200.0).exp() * pinch;
        if factor != 1.0 {
            at = at.zoomed(factor, pointer);
        }
        if response.double_clicked() {
            at = at.zoomed(STEP * STEP, pointer);
        }
    }
    at
}

fn by_keys(ui: &Ui, response: &Response, mut at: Camera) -> Camera {
    let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, arrows));
    let middle = at.middle();
    let pressed = |key| ui.input(|input| input.key_pressed(key) && input.modifiers.is_none());
    let shifted = |key| ui.input(|input| input.key_pressed(key) && !input.modifiers.command);
    for (key, by) in [(Key::ArrowLeft, vec2(1.0, 0.0)), (Key::ArrowRight, vec2(-1.0, 0.0)), (Key::ArrowUp, vec2(0.0, 1.0)), (Key::ArrowDown, vec2(0.0, -1.0))] {
        if pressed(key) {
            at = at.moved(MOVE * by);
        }
    }
    if shifted(Key::Plus) || shifted(Key::Equals) {
        at = at.zoomed(STEP, middle);
    }
    if shifted(Key::Minus) {
        at = at.zoomed(1.0 / STEP, middle);
    }
    if pressed(Key::Home) || pressed(Key::Num0) {
        at = at.zoomed(0.0, middle);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_described_by_its_pixel() {
        let view = PlaneView { x: 10, y: 20, width: 3, height: 2, pixels_wide: 3, pixels_high: 2 };
        let exact = LoadedPlane::new(view, Arc::new(vec![255, 0, 0, 0, 255, 255, 0, 255, 0, 0, 255, 0]));
        assert_eq!(exact.describe(20, 12, true).unwrap(), "row 20, column 12: +1, flipped");
        assert_eq!(exact.describe(21, 10, true).unwrap(), "row 21, column 10: −1, flipped");
        assert_eq!(exact.describe(21, 11, false).unwrap(), "row 21, column 11: −1");
        assert_eq!((exact.describe(19, 10, true), exact.describe(20, 13, true)), (None, None));
        // 7 columns in 3 pixels: 2, 2 and 3 of them.
        let view = PlaneView { x: 100, y: 0, width: 7, height: 5, pixels_wide: 3, pixels_high: 1 };
        let coarse = LoadedPlane::new(view, Arc::new(vec![0, 0, 51, 1, 102, 0]));
        let describe = |col| coarse.describe(4, col, true).unwrap();
        assert_eq!(describe(104), "row 4, column 104: rows 0 to 4, columns 104 to 106 are 40 % +1, at most 0 % flipped; zoom in to see each");
        for (col, span) in [(100, "100 to 101"), (101, "100 to 101"), (102, "102 to 103"), (103, "102 to 103"), (106, "104 to 106")] {
            assert!(describe(col).contains(&format!("columns {span} ")), "{}", describe(col));
        }
        assert!(describe(103).contains("20 % +1, at most 1 % flipped"), "{}", describe(103));
    }

    #[test]
    fn signs_and_flips_are_distinguishable_in_both_themes() {
        for dark in [true, false] {
            let colours = Colours::of(dark);
            let all = [(0, 0), (255, 0), (0, 255), (255, 255)].map(|(positive, flipped)| colours.pixel(positive, flipped));
            assert_eq!(all, [colours.signs[0], colours.signs[1], colours.flips[0], colours.flips[1]]);
            for (n, a) in all.iter().enumerate() {
                for b in &all[..n] {
                    let far: i32 = a.to_array().iter().zip(b.to_array()).map(|(&a, b)| (i32::from(a) - i32::from(b)).abs()).sum();
                    assert!(far > 90, "{a:?} and {b:?}");
                }
            }
        }
    }
}
