//! Which part of a plane of weights is seen, and how large. Pure.

use eframe::egui::{Rect, Vec2, pos2, vec2};
use signet::runner::PlaneView;

/// Points a weight takes at most.
const CLOSEST: f32 = 48.0;

/// Where a picture stands over a plane: its corner and its scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Camera {
    /// Columns and rows of the plane.
    plane: Vec2,
    /// Size of the picture, in points.
    picture: Vec2,
    /// The weight at the picture's upper left corner.
    corner: Vec2,
    /// Points a weight takes.
    scale: f32,
}

impl Camera {
    /// All of a plane in a picture.
    pub(super) fn whole(rows: usize, cols: usize, picture: Vec2) -> Self {
        let plane = vec2(cols as f32, rows as f32);
        Self { plane, picture, corner: Vec2::ZERO, scale: fitting(plane, picture) }.kept()
    }

    /// The same part in a picture of another size; all of it, if all of it was seen.
    pub(super) fn resized(self, picture: Vec2) -> Self {
        if picture == self.picture {
            return self;
        }
        let scale = if self.is_whole() { fitting(self.plane, picture) } else { self.scale };
        Self { picture, scale, ..self }.kept()
    }

    /// Whether all of the plane is seen.
    pub(super) fn is_whole(&self) -> bool {
        self.scale <= fitting(self.plane, self.picture)
    }

    /// Whether no more can be made out.
    pub(super) fn is_closest(&self) -> bool {
        self.scale >= self.closest()
    }

    fn closest(&self) -> f32 {
        CLOSEST.max(fitting(self.plane, self.picture))
    }

    /// `factor` times as large; the weight at `around`, in points from the corner, stays where it is.
    pub(super) fn zoomed(self, factor: f32, around: Vec2) -> Self {
        let scale = (self.scale * factor).clamp(fitting(self.plane, self.picture), self.closest());
        Self { corner: self.corner + around / self.scale - around / scale, scale, ..self }.kept()
    }

    /// Moved with the plane: by so many points to the right and down.
    pub(super) fn moved(self, by: Vec2) -> Self {
        Self { corner: self.corner - by / self.scale, ..self }.kept()
    }

    /// Kept over the plane; what is smaller than the picture is in its middle.
    fn kept(self) -> Self {
        let seen = self.picture / self.scale;
        let along = |corner: f32, plane: f32, seen: f32| if seen >= plane { (plane - seen) / 2.0 } else { corner.clamp(0.0, plane - seen) };
        let corner = vec2(along(self.corner.x, self.plane.x, seen.x), along(self.corner.y, self.plane.y, seen.y));
        Self { corner, ..self }
    }

    /// The picture's middle, in points from its corner.
    pub(super) fn middle(&self) -> Vec2 {
        self.picture / 2.0
    }

    /// What to ask for, on a screen of so many pixels a point: whole weights, one pixel each where a
    /// pixel would not hold one.
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

    /// Where a view's weights are in the picture, in points from its corner.
    pub(super) fn place(&self, view: &PlaneView) -> Rect {
        let point = |x: usize, y: usize| ((vec2(x as f32, y as f32) - self.corner) * self.scale).to_pos2();
        Rect::from_min_max(point(view.x, view.y), point(view.x + view.width, view.y + view.height))
    }

    /// Row and column of the weight at a point from the picture's corner, if there is one.
    pub(super) fn weight(&self, at: Vec2) -> Option<(usize, usize)> {
        let weight = self.corner + at / self.scale;
        let inside = Rect::from_min_size(pos2(0.0, 0.0), self.plane).contains(weight.to_pos2()) && weight.x < self.plane.x && weight.y < self.plane.y;
        inside.then_some((weight.y as usize, weight.x as usize))
    }
}

/// Points a weight takes where a plane just fits a picture.
fn fitting(plane: Vec2, picture: Vec2) -> f32 {
    let scale = (picture / plane).min_elem();
    if scale > 0.0 { scale } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: Vec2 = vec2(400.0, 200.0);

    #[test]
    fn the_weight_under_the_pointer_stays_there() {
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
    fn the_plane_cannot_be_lost() {
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
