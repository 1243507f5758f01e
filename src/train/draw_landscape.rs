//! Pictures of a loss landscape: colours for the loss, contour lines, and a cross at the checkpoint.

use super::landscape::Landscape;
use super::picture::{DrawResult, Picture};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Draws the landscape as an SVG document.
pub fn landscape_svg(landscape: &Landscape, title: &str) -> Result<String, String> {
    Drawing { landscape, title }.svg()
}

/// Draws the landscape as a PNG file.
pub fn landscape_png(landscape: &Landscape, title: &str) -> Result<Vec<u8>, String> {
    Drawing { landscape, title }.png()
}

struct Drawing<'a> {
    landscape: &'a Landscape,
    title: &'a str,
}

impl Picture for Drawing<'_> {
    fn size(&self) -> (u32, u32) {
        (760, 700)
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: u32) -> DrawResult
    where
        B::ErrorType: 'static,
    {
        draw(root, self.landscape, self.title, scale)
    }
}

/// Number of contour levels.
const LEVELS: usize = 12;

fn draw<B: DrawingBackend>(root: &DrawingArea<B, Shift>, landscape: &Landscape, title: &str, scale: u32) -> DrawResult
where
    B::ErrorType: 'static,
{
    let (lowest, highest) = landscape.loss.iter().fold((f64::MAX, f64::MIN), |(lowest, highest), &loss| (lowest.min(loss), highest.max(loss)));
    let share = |loss: f64| if highest > lowest { (loss - lowest) / (highest - lowest) } else { 0.0 };
    let (left, bar) = root.split_horizontally(root.dim_in_pixel().0 - 110 * scale);
    let (grid, range) = (&landscape.grid, landscape.grid.range);
    let font = ("sans-serif", 13 * scale);
    let mut chart = ChartBuilder::on(&left)
        .caption(title, ("sans-serif", 16 * scale))
        .margin(12 * scale)
        .x_label_area_size(34 * scale)
        .y_label_area_size(48 * scale)
        .build_cartesian_2d(-range..range, -range..range)?;
    chart.configure_mesh().disable_mesh().x_desc("first direction").y_desc("second direction").label_style(font).axis_desc_style(font).draw()?;
    let half = range / (grid.points - 1) as f64;
    let cell = |n: usize| {
        let (x, y) = (grid.at(n % grid.points), grid.at(n / grid.points));
        let clip = |at: f64| at.clamp(-range, range);
        Rectangle::new([(clip(x - half), clip(y - half)), (clip(x + half), clip(y + half))], colour(share(landscape.loss[n])).filled())
    };
    chart.draw_series((0..landscape.loss.len()).map(cell))?;
    for level in 1..LEVELS {
        let loss = lowest + (highest - lowest) * level as f64 / LEVELS as f64;
        chart.draw_series(contour(landscape, loss).into_iter().map(|line| PathElement::new(line, WHITE.mix(0.7).stroke_width(scale))))?;
    }
    let arm = range * 0.03;
    let cross = [[(-arm, 0.0), (arm, 0.0)], [(0.0, -arm), (0.0, arm)]];
    chart.draw_series(cross.map(|line| PathElement::new(line, RED.stroke_width(2 * scale))))?;
    let mut legend = ChartBuilder::on(&bar)
        .caption("loss, nats", font)
        .margin(12 * scale)
        .x_label_area_size(34 * scale)
        .y_label_area_size(50 * scale)
        .build_cartesian_2d(0.0..1.0, lowest..highest.max(lowest + 1e-9))?;
    legend.configure_mesh().disable_mesh().x_labels(0).label_style(font).y_label_formatter(&|loss| format!("{loss:.2}")).draw()?;
    let step = (highest - lowest) / 64.0;
    legend.draw_series((0..64).map(|n| {
        let low = lowest + step * n as f64;
        Rectangle::new([(0.0, low), (1.0, low + step)], colour((n as f64 + 0.5) / 64.0).filled())
    }))?;
    Ok(())
}

/// A colour map from dark blue over green to yellow (viridis), with increasing brightness, also readable in grey.
fn colour(share: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 5] = [(68.0, 1.0, 84.0), (59.0, 82.0, 139.0), (33.0, 145.0, 140.0), (94.0, 201.0, 98.0), (253.0, 231.0, 37.0)];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let (low, part) = ((at as usize).min(STOPS.len() - 2), at - (at as usize).min(STOPS.len() - 2) as f64);
    let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
    let (a, b) = (STOPS[low], STOPS[low + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

type Segment = [(f64, f64); 2];

/// Returns the segments of the contour line at `level`, by marching squares.
fn contour(landscape: &Landscape, level: f64) -> Vec<Segment> {
    let (grid, n) = (&landscape.grid, landscape.grid.points);
    let value = |x: usize, y: usize| landscape.loss[y * n + x];
    // The intersection of the contour with the edge between two corners, if there is one.
    let crossing = |(x0, y0): (usize, usize), (x1, y1): (usize, usize)| {
        let (a, b) = (value(x0, y0), value(x1, y1));
        ((a < level) != (b < level)).then(|| {
            let part = (level - a) / (b - a);
            let mix = |from: usize, to: usize| grid.at(from) + (grid.at(to) - grid.at(from)) * part;
            (mix(x0, x1), mix(y0, y1))
        })
    };
    let mut lines = Vec::new();
    for (x, y) in (0..n - 1).flat_map(|y| (0..n - 1).map(move |x| (x, y))) {
        let corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)];
        let found: Vec<(f64, f64)> = (0..4).filter_map(|edge| crossing(corners[edge], corners[(edge + 1) % 4])).collect();
        lines.extend(found.as_chunks::<2>().0);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::LandscapeGrid;

    fn bowl() -> Landscape {
        let grid = LandscapeGrid { points: 21, range: 1.0, seed: 0 };
        let loss = (0..441).map(|n| grid.at(n % 21).powi(2) + grid.at(n / 21).powi(2)).collect();
        Landscape { grid, loss }
    }

    #[test]
    fn a_contour_line_of_a_bowl_is_a_circle() {
        let lines = contour(&bowl(), 0.5);
        assert!(lines.len() > 40);
        assert!(lines.iter().flatten().all(|(x, y)| ((x * x + y * y).sqrt() - 0.5f64.sqrt()).abs() < 5e-3));
        assert!(contour(&bowl(), 3.0).is_empty());
    }

    #[test]
    fn it_is_drawn_with_its_scale() {
        let svg = landscape_svg(&bowl(), "around a bowl").unwrap();
        assert!(["around a bowl", "loss, nats", "first direction"].iter().all(|word| svg.contains(word)));
        assert_eq!(&landscape_png(&bowl(), "x").unwrap()[1..4], b"PNG");
        assert_eq!((colour(0.0), colour(1.0)), (RGBColor(68, 1, 84), RGBColor(253, 231, 37)));
    }
}
