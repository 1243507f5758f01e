//! Pan and zoom over a plane of weights. Pure.

use eframe::egui::{Rect, Vec2, pos2, vec2};
use signet::runner::PlaneView;

/// Maximum size of a weight, in points.
const CLOSEST: f32 = 48.0;

/// The visible part of a plane: corner and scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Camera {
    /// Columns and rows of the plane.
    plane: Vec2,
    /// Size of the picture, in points.
    picture: Vec2,
    /// The weight at the picture's upper left corner.
    corner: Vec2,
    /// Size of a weight, in points.
    scale: f32,
}

impl Camera {
    /// A camera that shows the whole plane.
    pub(super) fn whole(rows: usize, cols: usize, picture: Vec2) -> Self {
        let plane = vec2(cols as f32, rows as f32);
        Self { plane, picture, corner: Vec2::ZERO, scale: fitting(plane, picture) }.clamped()
    }

    /// The same part in a picture of another size; the whole plane, if it was visible as a whole.
    pub(super) fn resized(self, picture: Vec2) -> Self {
        if picture == self.picture {
            return self;
        }
        let scale = if self.is_whole() { fitting(self.plane, picture) } else { self.scale };
        Self { picture, scale, ..self }.clamped()
    }

    /// True if the whole plane is visible.
    pub(super) fn is_whole(&self) -> bool {
        self.scale <= fitting(self.plane, self.picture)
    }

    /// True at the maximum zoom.
    pub(super) fn is_closest(&self) -> bool {
        self.scale >= self.closest()
    }

    fn closest(&self) -> f32 {
        CLOSEST.max(fitting(self.plane, self.picture))
    }

    /// Zooms by `factor` around a point, in points from the picture's corner, which stays over the same weight.
    pub(super) fn zoomed(self, factor: f32, around: Vec2) -> Self {
        let scale = (self.scale * factor).clamp(fitting(self.plane, self.picture), self.closest());
        Self { corner: self.corner + around / self.scale - around / scale, scale, ..self }.clamped()
    }

    /// Moves the plane right and down by `by` points.
    pub(super) fn moved(self, by: Vec2) -> Self {
        Self { corner: self.corner - by / self.scale, ..self }.clamped()
    }

    /// Clamps the corner to the plane; centres a plane smaller than the picture.
    fn clamped(self) -> Self {
        let seen = self.picture / self.scale;
        let along = |corner: f32, plane: f32, seen: f32| if seen >= plane { (plane - seen) / 2.0 } else { corner.clamp(0.0, plane - seen) };
        let corner = vec2(along(self.corner.x, self.plane.x, seen.x), along(self.corner.y, self.plane.y, seen.y));
        Self { corner, ..self }
    }

    /// The picture's centre, in points from its corner.
    pub(super) fn middle(&self) -> Vec2 {
        self.picture / 2.0
    }

    /// The view to request, for a screen of `pixels_per_point`: whole weights, at most one pixel each.
    pub(super) fn view(&self, pixels_per_point: f32) -> PlaneView {
        let last = self.corner + self.picture / self.scale;
        let range = |first: f32, last: f32, plane: f32| {
            let first = first.floor().clamp(0.0, plane - 1.0) as usize;
            (first, (last.ceil().min(plane) as usize).max(first + 1) - first)
        };
        let ((x, width), (y, height)) = (range(self.corner.x, last.x, self.plane.x), range(self.corner.y, last.y, self.plane.y));
        let pixels = |weights: usize| ((weights as f32 * self.scale * pixels_per_point).ceil() as usize).clamp(1, weights);
        PlaneView { x, y, width, height, pixels_wide: pixels(width), pixels_high: pixels(height) }
    }

    /// The rectangle of a view in the picture, in points from its corner.
    pub(super) fn place(&self, view: &PlaneView) -> Rect {
        let point = |x: usize, y: usize| ((vec2(x as f32, y as f32) - self.corner) * self.scale).to_pos2();
        Rect::from_min_max(point(view.x, view.y), point(view.x + view.width, view.y + view.height))
    }

    /// Row and column of the weight at a point, in points from the picture's corner.
    pub(super) fn weight(&self, at: Vec2) -> Option<(usize, usize)> {
        let weight = self.corner + at / self.scale;
        let inside = Rect::from_min_size(pos2(0.0, 0.0), self.plane).contains(weight.to_pos2()) && weight.x < self.plane.x && weight.y < self.plane.y;
        inside.then_some((weight.y as usize, weight.x as usize))
    }
}

/// The scale at which a plane just fits a picture, in points a weight.
fn fitting(plane: Vec2, picture: Vec2) -> f32 {
    let scale = (picture / plane).min_elem();
    if scale > 0.0 { scale } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: Vec2 = vec2(400.0, 200.0);

    #[test]
    fn zoom_keeps_the_weight_under_the_pointer() {
        let camera = Camera::whole(600, 1200, PICTURE);
        assert!(camera.is_whole() && camera.view(1.0) == PlaneView { x: 0, y: 0, width: 1200, height: 600, pixels_wide: 400, pixels_high: 200 });
        let at = vec2(210.0, 90.0);
        let weight = camera.weight(at).unwrap();
        let mut near = camera;
        for _ in 0..30 {
            near = near.zoomed(1.3, at);
            assert_eq!(near.weight(at), Some(weight), "{near:?}");
        }
        assert!(near.is_closest() && !near.is_whole());
        let view = near.view(2.0);
        assert!((view.pixels_wide, view.pixels_high) == (view.width, view.height) && view.width <= 10, "{view:?}");
        assert!(near.place(&view).contains(at.to_pos2()));
        for _ in 0..40 {
            near = near.zoomed(0.8, at);
        }
        assert_eq!(near, camera);
    }

    #[test]
    fn the_plane_stays_in_view() {
        let mut camera = Camera::whole(600, 900, PICTURE).zoomed(6.0, PICTURE / 2.0);
        camera = camera.moved(vec2(1e6, -1e6));
        let view = camera.view(1.0);
        assert_eq!((view.x, view.y + view.height), (0, 600));
        let whole = camera.resized(vec2(50.0, 900.0)).zoomed(1e-9, Vec2::ZERO);
        assert!(whole.is_whole() && whole.view(1.0).width == 900);
        assert_eq!(whole.weight(vec2(25.0, 1.0)), None);
        for (rows, cols, picture) in [(1, 1, PICTURE), (1, 1_000_000, PICTURE), (3, 5, Vec2::ZERO)] {
            let view = Camera::whole(rows, cols, picture).view(1.5);
            assert!(view.x + view.width <= cols && view.y + view.height <= rows && view.pixels_wide > 0 && view.pixels_high > 0, "{view:?}");
        }
    }
}
