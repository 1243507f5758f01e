//! Pictures of the curves of a run (`curves.svg`), or of several runs or groups of runs on the same axes, as SVG
//! or PNG.

use super::curve::{Column, Curve};
use super::curves::{Axis, COLUMNS, CurveGroup, Curves};
use super::picture::{DrawResult, Picture};
use super::quantities::{PLOTS, Plot, QUANTITIES, Scale, Unit, quantity};
use super::spread::Band;
use plotters::coord::Shift;
use plotters::prelude::*;

impl Curves {
    fn line(&self, name: &str, colour: RGBColor, quantity: usize) -> DrawnLine {
        DrawnLine { name: name.into(), colour, points: points(&self.values[quantity]), band: Vec::new() }
    }
}

/// Returns the points to draw.
fn points(curve: &Curve) -> Vec<(f64, f64)> {
    curve.whole(COLUMNS).iter().flat_map(|column| column.points().to_vec()).collect()
}

/// Returns the mean of each column up to step `end`, at the mean of its steps: runs with the same steps have the same columns.
fn means(curve: &Curve, end: u64) -> Vec<(f64, f64)> {
    curve.columns(0.0, end as f64, COLUMNS).iter().map(|Column { middle, mean, .. }| (*middle, *mean)).collect()
}

impl CurveGroup<'_> {
    /// Returns the line of its only run, or the mean of its runs with a band of one standard deviation.
    fn line(&self, colour: RGBColor, quantity: usize, logarithmic: bool) -> DrawnLine {
        if let [run] = self.runs[..] {
            return run.line(&self.name, colour, quantity);
        }
        let curves = || self.runs.iter().map(|run| &run.values[quantity]);
        let end = curves().map(Curve::end).max().unwrap_or(0);
        let lines: Vec<_> = curves().map(|curve| means(curve, end)).filter(|line| !line.is_empty()).collect();
        let Band { mean, below, above } = Band::of(&lines, logarithmic);
        DrawnLine { name: self.name.clone(), colour, points: mean, band: below.into_iter().chain(above.into_iter().rev()).collect() }
    }
}

/// One line of a plot.
struct DrawnLine {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
    /// The outline of the band around it.
    band: Vec<(f64, f64)>,
}

/// A plot: title, scale and lines.
struct Panel {
    title: String,
    logarithmic: bool,
    lines: Vec<DrawnLine>,
    /// True if it has a legend.
    legend: bool,
}

/// A picture: two panels per row, and above them a shared legend if all have the same lines.
struct Sheet {
    panels: Vec<Panel>,
    names: Vec<(String, RGBColor)>,
    note: Option<&'static str>,
    axis: Axis,
}

const WIDTH: u32 = 1000;
/// Height of a row of panels.
const HEIGHT: u32 = 360;
/// Pixels of a row of the shared legend.
const ROW: i32 = 24;
const BLUE: RGBColor = RGBColor(31, 119, 180);
const ORANGE: RGBColor = RGBColor(255, 127, 14);
const GREEN: RGBColor = RGBColor(44, 160, 44);
/// Colours of runs on the same axes.
const COLOURS: [RGBColor; 12] = [
    BLUE,
    ORANGE,
    GREEN,
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
    RGBColor(23, 190, 207),
    BLACK,
    RGBColor(0, 0, 160),
];

/// Draws the curves as an SVG document.
pub fn svg(groups: &[CurveGroup<'_>]) -> Result<String, String> {
    Sheet::of(groups).svg()
}

/// Draws the curves as a PNG file.
pub fn png(groups: &[CurveGroup<'_>]) -> Result<Vec<u8>, String> {
    Sheet::of(groups).png()
}

impl Picture for Sheet {
    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT * self.rows() as u32)
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: u32) -> DrawResult
    where
        B::ErrorType: 'static,
    {
        let below = if self.names.is_empty() { root.clone() } else { self.write_names(root, scale)? };
        below.split_evenly((self.rows(), 2)).iter().zip(&self.panels).try_for_each(|(area, panel)| draw_panel(area, panel, self.axis, scale))
    }
}

impl Sheet {
    fn of(groups: &[CurveGroup<'_>]) -> Self {
        let axis = groups.iter().flat_map(|group| &group.runs).next().map_or(Axis::Steps, |run| run.axis);
        if let [CurveGroup { runs, .. }] = groups
            && let [run] = runs[..]
        {
            return Self { panels: panels(run), names: Vec::new(), note: None, axis };
        }
        let names = groups.iter().enumerate().map(|(n, group)| (group.name.clone(), colour(n))).collect();
        let spread = groups.iter().any(|group| group.runs.len() > 1);
        let note = spread.then_some("in bands: mean ± one standard deviation over seeds (of logarithms, on logarithmic axes)");
        Self { panels: panels_of_several(groups), names, note, axis }
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(2)
    }

    /// Draws the shared legend; returns the area below.
    fn write_names<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: u32) -> Result<DrawingArea<B, Shift>, Box<dyn std::error::Error>>
    where
        B::ErrorType: 'static,
    {
        let px = |n: i32| n * scale as i32;
        let style = ("sans-serif", px(15)).into_text_style(root);
        let (right, (mut x, mut y)) = (root.dim_in_pixel().0 as i32 - px(10), (px(10), px(6)));
        for (name, colour) in &self.names {
            let width = px(24) + root.estimate_text_size(name, &style)?.0 as i32;
            if x > px(10) && x + width > right {
                (x, y) = (px(10), y + px(ROW));
            }
            let middle = y + px(8);
            root.draw(&PathElement::new([(x, middle), (x + px(18), middle)], colour.stroke_width(2 * scale)))?;
            root.draw_text(name, &style, (x + px(24), y))?;
            x += width + px(20);
        }
        if let Some(note) = self.note {
            y += px(ROW);
            root.draw_text(note, &("sans-serif", px(12), &BLACK.mix(0.6)).into_text_style(root), (px(10), y))?;
        }
        Ok(root.split_vertically(y + px(ROW)).1)
    }
}

fn colour(n: usize) -> RGBColor {
    COLOURS[n % COLOURS.len()]
}

/// Returns the panels of a single run.
fn panels(run: &Curves) -> Vec<Panel> {
    let blocks = run.blocks.iter().enumerate().map(|(block, line)| {
        let colour = HSLColor(block as f64 / run.blocks.len() as f64 * 0.8, 0.6, 0.5).to_backend_color();
        DrawnLine { name: format!("block {block}"), colour: RGBColor(colour.rgb.0, colour.rgb.1, colour.rgb.2), points: points(line), band: Vec::new() }
    });
    let panel = |title: &str, logarithmic, lines: Vec<DrawnLine>| {
        let values = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
        Panel { title: title.into(), logarithmic: logarithmic && is_wide(values), legend: (2..=16).contains(&lines.len()), lines }
    };
    let mut panels = Vec::new();
    for plot in PLOTS.iter().filter(|plot| plot.alone) {
        let logarithmic = QUANTITIES[plot.lines[0].quantity].scale == Scale::Logarithmic;
        panels.push(panel(plot.caption, logarithmic, lines_of(run, plot)));
    }
    let after = PLOTS.iter().position(|plot| plot.lines[0].quantity == FLIPS).map_or(0, |index| index + 1);
    panels.insert(after, panel("flip-flop ratio by block", true, blocks.collect()));
    panels
}

/// Returns the lines of a plot of a single run: the first is blue, or green if the quantity has no unit; the second is orange.
fn lines_of(run: &Curves, plot: &Plot) -> Vec<DrawnLine> {
    let [first, third] = if QUANTITIES[plot.lines[0].quantity].unit == Unit::One { [GREEN, BLUE] } else { [BLUE, GREEN] };
    let colours = [first, ORANGE, third].into_iter().chain(COLOURS[3..].iter().copied()).cycle();
    plot.lines.iter().zip(colours).map(|(line, colour)| run.line(line.legend, colour, line.quantity)).collect()
}

const FLIPS: usize = quantity("flip_ratio");

/// Returns the quantities that are drawn for several runs: of the losses those on held-out text, which are comparable.
fn of_several() -> impl Iterator<Item = usize> {
    let held_out = QUANTITIES.iter().enumerate().filter(|(_, row)| row.field == "held_out" && row.curve).map(|(index, _)| index);
    [const { quantity("loss") }].into_iter().chain(held_out).chain([FLIPS, const { quantity("norm") }, const { quantity("lr") }])
}

/// Returns the panels of several groups, with a line for each and a shared legend. Panels without values are left out.
fn panels_of_several(groups: &[CurveGroup<'_>]) -> Vec<Panel> {
    let panel = |quantity: usize| {
        let row = &QUANTITIES[quantity];
        let values = groups.iter().flat_map(|group| &group.runs).flat_map(|run| points(&run.values[quantity])).map(|point| point.1);
        let logarithmic = row.scale != Scale::Linear && is_wide(values);
        let lines: Vec<DrawnLine> = groups.iter().enumerate().map(|(n, group)| group.line(colour(n), quantity, logarithmic)).collect();
        Panel { title: row.title(), logarithmic, lines, legend: false }
    };
    let mut panels: Vec<Panel> = of_several().map(panel).collect();
    let mut first = true;
    panels.retain(|panel| std::mem::take(&mut first) || panel.lines.iter().any(|line| !line.points.is_empty()));
    panels
}

/// Returns true if values span a decade: otherwise a logarithmic axis might have no label.
fn is_wide(values: impl Iterator<Item = f64>) -> bool {
    let (lowest, highest) = values.fold((f64::MAX, f64::MIN), |(lowest, highest), y| (lowest.min(y), highest.max(y)));
    lowest > 0.0 && highest >= 10.0 * lowest
}

/// Formats the label of an axis.
fn label(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if (1e6..1e12).contains(&size) => format!("{}M", (value / 1e4).round() / 1e2),
        size if (1e4..1e6).contains(&size) => format!("{}k", (value / 1e1).round() / 1e2),
        size if (1e-4..1e4).contains(&size) => format!("{}", (value * 1e6).round() / 1e6),
        _ => format!("{value:.1e}"),
    }
}

/// Replaces characters that the embedded font lacks.
fn drawable(text: &str) -> String {
    text.replace('‖', "||")
}

fn draw_panel<B: DrawingBackend>(area: &DrawingArea<B, Shift>, panel: &Panel, axis: Axis, scale: u32) -> DrawResult
where
    B::ErrorType: 'static,
{
    let all = || panel.lines.iter().flat_map(|line| line.points.iter().chain(&line.band).copied());
    let end = all().map(|(x, _)| x).fold(1.0, f64::max);
    let (lowest, highest) = all().fold((f64::MAX, f64::MIN), |(lowest, highest), (_, y)| (lowest.min(y), highest.max(y)));
    let caption = ("sans-serif", 16 * scale);
    let title = drawable(&panel.title);
    if lowest > highest {
        area.titled(&format!("{title}: nothing to show"), caption)?;
        return Ok(());
    }
    let mut chart = ChartBuilder::on(area);
    chart.caption(&title, caption).margin(10 * scale).margin_right(24 * scale).x_label_area_size(28 * scale).y_label_area_size(64 * scale);
    if panel.logarithmic {
        let highest = if highest > lowest { highest } else { lowest * 1.1 };
        lines(chart.build_cartesian_2d(0.0..end, (lowest..highest).log_scale())?, panel, axis, scale)
    } else {
        let margin = ((highest - lowest) * 0.05).max(lowest.abs() * 1e-3).max(1e-12);
        lines(chart.build_cartesian_2d(0.0..end, lowest - margin..highest + margin)?, panel, axis, scale)
    }
}

/// Draws a panel's axes and lines, with a legend if there are several lines and it is not shared.
fn lines<'a, B: DrawingBackend + 'a, Y>(
    mut chart: ChartContext<'a, B, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>, panel: &Panel, axis: Axis, scale: u32,
) -> DrawResult
where
    B::ErrorType: 'static,
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64> + 'static,
{
    let font = ("sans-serif", 12 * scale);
    let x = match axis {
        Axis::Steps => "step",
        Axis::Tokens => "tokens",
    };
    chart
        .configure_mesh()
        .x_desc(x)
        .light_line_style(TRANSPARENT)
        .label_style(font)
        .axis_desc_style(font)
        .x_label_formatter(&|x| label(*x))
        .y_label_formatter(&|y| label(*y))
        .draw()?;
    for line in panel.lines.iter().filter(|line| !line.band.is_empty()) {
        chart.draw_series([Polygon::new(line.band.clone(), line.colour.mix(0.15).filled())])?;
    }
    for line in &panel.lines {
        let (colour, long) = (line.colour.stroke_width(scale), 16 * scale as i32);
        let series = chart.draw_series(LineSeries::new(line.points.iter().copied(), colour))?;
        if panel.legend {
            series.label(&line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + long, y)], colour));
        }
    }
    if panel.legend {
        chart.configure_series_labels().label_font(font).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::picture::SCALE;
    use crate::train::{Divergence, Losses, Metrics, Term};

    fn curves(name: &str, lift: f64) -> Curves {
        let mut curves = Curves::new(name, &[], Axis::Steps);
        for step in 1..=50 {
            let loss = lift + 10.0 / step as f64;
            let held_out = (step % 10 == 0).then_some(Losses::new([Term::Ad, Term::Ar, Term::KL, Term::Of(Divergence::Reverse)].map(|term| (term, loss))));
            let flips = vec![1e-3 * lift; 14];
            curves.push(&Metrics {
                step,
                loss,
                ad: Some(loss),
                ar: loss,
                kl: Some(loss),
                norm: Some(1.0),
                lr: 1e-3,
                flip_ratio: 1e-3,
                flips,
                held_out,
                ..Metrics::default()
            });
        }
        curves
    }

    /// Returns runs that record every term.
    fn alone_with_everything(runs: usize) -> Vec<CurveGroup<'static>> {
        let mut curves = Curves::new("run", &[], Axis::Steps);
        for step in 1..=2 {
            let held_out = Some(Losses::new(Term::ALL.map(|term| (term, 1.0))));
            curves.push(&Metrics {
                step,
                loss: 1.0,
                ad: Some(1.0),
                kl: Some(1.0),
                norm: Some(1.0),
                flip_ratio: 0.5,
                flips: vec![0.5; 7],
                held_out,
                ..Metrics::default()
            });
        }
        let curves: &'static Curves = Box::leak(Box::new(curves));
        (0..runs).map(|n| CurveGroup { name: format!("run {n}"), runs: vec![curves] }).collect()
    }

    /// Returns each run as a group of its own.
    fn alone(runs: &[Curves]) -> Vec<CurveGroup<'_>> {
        runs.iter().map(CurveGroup::from).collect()
    }

    #[test]
    fn one_run_is_drawn_by_block_and_several_by_name() {
        let one = svg(&alone(&[curves("alone", 1.0)])).unwrap();
        for word in ["block 1", "held-out", "learning rate", "gradient norm"] {
            assert!(one.contains(word), "{word}");
        }
        assert!(!one.contains("nothing to show"));
        let two = svg(&alone(&[curves("first", 1.0), curves("second", 2.0)])).unwrap();
        for word in ["first", "second", "cross-entropy, held-out", "KL(student||teacher)"] {
            assert!(two.contains(word), "{word}");
        }
        for word in ["block 1", "nothing to show", "Jensen", "deviation"] {
            assert!(!two.contains(word), "{word}");
        }
        assert!(svg(&alone(&[Curves::new("empty", &[], Axis::Steps)])).unwrap().contains("nothing to show"));
    }

    /// Returns a run of `steps` steps whose loss is noise around a level.
    fn noisy(steps: u64, level: f64, seed: u64) -> Curves {
        let mut curves = Curves::new("noisy", &[], Axis::Steps);
        let noise = |step: u64| ((step ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24);
        (1..=steps).for_each(|step| curves.values[LOSS].push(step, level + noise(step)));
        curves
    }

    const LOSS: usize = quantity("loss");

    #[test]
    fn long_runs_are_averaged_at_the_same_steps() {
        let runs = [noisy(100_000, 1.0, 7), noisy(100_000, 3.0, 8)];
        let [first, second] = runs.each_ref().map(|run| means(&run.values[LOSS], 100_000).iter().map(|point| point.0).collect::<Vec<_>>());
        assert!(first.len() > COLUMNS / 2 && first == second, "{} and {} columns", first.len(), second.len());
        // A shorter run contributes up to its end, and not beyond.
        let runs = [noisy(100_000, 1.0, 7), noisy(30_000, 3.0, 8)];
        let DrawnLine { points, band, .. } = CurveGroup { name: "both".into(), runs: runs.iter().collect() }.line(BLUE, LOSS, false);
        for (below, above) in band.iter().zip(band.iter().rev()).take(points.len()) {
            let (x, width) = (below.0, above.1 - below.1);
            assert!(if x < 29_500.0 { width > 2.0 } else { x < 30_000.0 || width == 0.0 }, "at step {x} the band is {width} wide");
        }
    }

    #[test]
    fn every_line_of_a_plot_is_drawn_in_a_colour_of_its_own() {
        let lines = vec![PLOTS[0].lines[0]; 5].leak();
        let drawn = lines_of(&curves("run", 1.0), &Plot { lines, ..PLOTS[0] });
        assert_eq!(drawn.iter().map(|line| line.colour).collect::<Vec<_>>(), [BLUE, ORANGE, GREEN, COLOURS[3], COLOURS[4]]);
    }

    #[test]
    fn every_curve_that_is_kept_is_drawn() {
        let alone: Vec<usize> = PLOTS.iter().filter(|plot| plot.alone).flat_map(|plot| plot.lines).map(|line| line.quantity).collect();
        let one = svg(&alone_with_everything(1)).unwrap();
        assert!(!one.contains("nothing to show"));
        let two = svg(&alone_with_everything(2)).unwrap();
        for plot in PLOTS.iter().filter(|plot| plot.alone) {
            assert!(one.contains(&drawable(plot.caption)), "{} is not drawn of a run", plot.caption);
            assert!(plot.lines.len() == 1 || plot.lines.iter().all(|line| one.contains(line.legend)), "a line of {} is not drawn", plot.caption);
        }
        for (index, row) in QUANTITIES.iter().enumerate().filter(|(_, row)| row.curve && row.name != "tokens_per_s") {
            let among = two.contains(&drawable(&row.title()));
            assert!(among || alone.contains(&index), "{} is not drawn", row.name);
            assert!(among || row.field != "held_out", "{} is not drawn of several runs", row.name);
        }
    }

    #[test]
    fn a_group_is_its_mean_in_a_band() {
        let runs = [curves("a", 1.0), curves("b", 2.0), curves("c", 9.0)];
        let group = CurveGroup { name: "both".into(), runs: vec![&runs[0], &runs[1]] };
        let line = group.line(BLUE, quantity("held_out_ar"), false);
        // Held-out losses after 10, 20 … steps: 1.5 + 10/step on the mean, √½ the deviation.
        assert_eq!((line.points.len(), line.points[1], line.band.len()), (5, (20.0, 2.0), 10));
        assert!((line.band[1].1 - (2.0 - 0.5f64.sqrt())).abs() < 1e-6 && (line.band[8].1 - (2.0 + 0.5f64.sqrt())).abs() < 1e-6, "{:?}", line.band);
        let drawn = svg(&[group, (&runs[2]).into()]).unwrap();
        for word in ["both", "standard deviation", "<polygon"] {
            assert!(drawn.contains(word), "{word}");
        }
        let twelve: Vec<Curves> = (0..12).map(|n| curves(&format!("run {n}"), f64::from(n))).collect();
        let drawn = svg(&alone(&twelve)).unwrap();
        assert!((0..12).all(|n| drawn.contains(&format!("run {n}"))));
        assert!((1..12).all(|n| (0..n).all(|m| colour(n) != colour(m))), "two in the same colour");
    }

    #[test]
    fn axes_can_be_read() {
        assert!(is_wide([0.2, 2.0].into_iter()) && !is_wide([0.3, 2.0].into_iter()));
        let labels = [0.0, -1.5, 0.002, 20.0, 1_500_000.0, 25_000.0, 3e-6].map(label);
        assert_eq!(labels, ["0", "-1.5", "0.002", "20", "1.5M", "25k", "3.0e-6"]);
    }

    #[test]
    fn a_bitmap_shows_every_run_in_its_colour() {
        let file = png(&alone(&[curves("first", 1.0), curves("second", 2.0)])).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        // Seven panels: no run has a Jensen–Shannon divergence.
        assert_eq!((info.width, info.height), (WIDTH * SCALE, 4 * HEIGHT * SCALE));
        let has = |colour: RGBColor| pixels.chunks(3).filter(|pixel| **pixel == [colour.0, colour.1, colour.2]).count();
        assert!(has(BLUE) > 500 && has(ORANGE) > 500 && has(GREEN) == 0, "{} {} {}", has(BLUE), has(ORANGE), has(GREEN));
        // Dark pixels of axes and letters: the font was found.
        assert!(pixels.chunks(3).filter(|pixel| pixel.iter().all(|&byte| byte < 90)).count() > 2000);
    }
}
