//! Curves of a run, or of several on the same axes, as SVG (a run's `curves.svg`) or PNG.

use super::curves::{Curves, FLIPS, HELD_KL, KL, LOSS, NORM, RATE, VALUES};
use super::picture::{Drawn, Picture};
use plotters::coord::Shift;
use plotters::prelude::*;

impl Curves {
    fn line(&self, name: &str, colour: RGBColor, value: usize) -> Line {
        Line { name: name.into(), colour, points: self.values[value].points() }
    }
}

/// One line of a plot.
struct Line {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// A plot's title, whether its values are drawn by their logarithm, and its lines.
struct Panel {
    title: &'static str,
    logarithmic: bool,
    lines: Vec<Line>,
    /// Whether the lines are named in it.
    legend: bool,
}

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 1080;
/// Pixels of a row of names above the plots.
const ROW: i32 = 24;
const BLUE: RGBColor = RGBColor(31, 119, 180);
const ORANGE: RGBColor = RGBColor(255, 127, 14);
const GREEN: RGBColor = RGBColor(44, 160, 44);
/// Colours of runs on the same axes.
const COLOURS: [RGBColor; 10] = [
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
];

/// The curves as an SVG document.
pub fn svg(runs: &[Curves]) -> Result<String, String> {
    Runs(runs).svg()
}

/// The curves as a PNG file's bytes.
pub fn png(runs: &[Curves]) -> Result<Vec<u8>, String> {
    Runs(runs).png()
}

/// The curves of runs on the same axes.
struct Runs<'a>(&'a [Curves]);

impl Picture for Runs<'_> {
    const SIZE: (u32, u32) = (WIDTH, HEIGHT);

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: u32) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let (panels, below) = match self.0 {
            [run] => (panels(run), root.clone()),
            runs => (panels_of_several(runs), names(root, runs, scale)?),
        };
        below.split_evenly((3, 2)).iter().zip(panels).try_for_each(|(area, panel)| draw_panel(area, &panel, scale))
    }
}

/// The panels of a run alone.
fn panels(run: &Curves) -> Vec<Panel> {
    let blocks = run.blocks.iter().enumerate().map(|(block, line)| {
        let colour = HSLColor(block as f64 / run.blocks.len() as f64 * 0.8, 0.6, 0.5).to_backend_color();
        Line { name: format!("block {block}"), colour: RGBColor(colour.rgb.0, colour.rgb.1, colour.rgb.2), points: line.points() }
    });
    let panel = |title, logarithmic, lines: Vec<Line>| Panel { title, logarithmic, legend: (2..=16).contains(&lines.len()), lines };
    vec![
        panel("loss", false, vec![run.line("trained", BLUE, LOSS), run.line("held-out", ORANGE, run.held())]),
        panel("KL divergence from the teacher", true, vec![run.line("trained", BLUE, KL), run.line("held-out", ORANGE, HELD_KL)]),
        panel("flip-flop ratio", true, vec![run.line("all binarized weights", BLUE, FLIPS)]),
        panel("flip-flop ratio by block", true, blocks.collect()),
        panel("gradient norm before clipping", true, vec![run.line("norm", GREEN, NORM)]),
        panel("learning rate", false, vec![run.line("rate", GREEN, RATE)]),
    ]
}

/// The panels of several runs: one line a run, named above all panels.
fn panels_of_several(runs: &[Curves]) -> Vec<Panel> {
    let panel = |title, value: &dyn Fn(&Curves) -> usize| {
        let line = |(n, run): (usize, &Curves)| run.line(&run.name, COLOURS[n % COLOURS.len()], value(run));
        let lines = runs.iter().enumerate().map(line).collect();
        Panel { title, logarithmic: VALUES[value(&runs[0])].0, lines, legend: false }
    };
    vec![
        panel("loss, trained", &|_| LOSS),
        panel("loss, held-out", &Curves::held),
        panel("KL divergence from the teacher, held-out", &|_| HELD_KL),
        panel("flip-flop ratio", &|_| FLIPS),
        panel("gradient norm before clipping", &|_| NORM),
        panel("learning rate", &|_| RATE),
    ]
}

/// Names the runs in their colours; gives the room below.
fn names<B: DrawingBackend>(root: &DrawingArea<B, Shift>, runs: &[Curves], scale: u32) -> Result<DrawingArea<B, Shift>, Box<dyn std::error::Error>>
where
    B::ErrorType: 'static,
{
    let px = |n: i32| n * scale as i32;
    let style = ("sans-serif", px(15)).into_text_style(root);
    let (right, (mut x, mut y)) = (root.dim_in_pixel().0 as i32 - px(10), (px(10), px(6)));
    for (n, run) in runs.iter().enumerate() {
        let width = px(24) + root.estimate_text_size(&run.name, &style)?.0 as i32;
        if x > px(10) && x + width > right {
            (x, y) = (px(10), y + px(ROW));
        }
        let middle = y + px(8);
        root.draw(&PathElement::new([(x, middle), (x + px(18), middle)], COLOURS[n % COLOURS.len()].stroke_width(2 * scale)))?;
        root.draw_text(&run.name, &style, (x + px(24), y))?;
        x += width + px(20);
    }
    Ok(root.split_vertically(y + px(ROW)).1)
}

fn draw_panel<B: DrawingBackend>(area: &DrawingArea<B, Shift>, panel: &Panel, scale: u32) -> Drawn
where
    B::ErrorType: 'static,
{
    let all = || panel.lines.iter().flat_map(|line| line.points.iter().copied());
    let end = all().map(|(x, _)| x).fold(1.0, f64::max);
    let (least, most) = all().fold((f64::MAX, f64::MIN), |(least, most), (_, y)| (least.min(y), most.max(y)));
    let caption = ("sans-serif", 16 * scale);
    if least > most {
        area.titled(&format!("{}: nothing to show", panel.title), caption)?;
        return Ok(());
    }
    let mut chart = ChartBuilder::on(area);
    chart.caption(panel.title, caption).margin(10 * scale).margin_right(24 * scale).x_label_area_size(28 * scale).y_label_area_size(64 * scale);
    if panel.logarithmic {
        let most = if most > least { most } else { least * 1.1 };
        lines(chart.build_cartesian_2d(0.0..end, (least..most).log_scale())?, panel, scale, &|y| format!("{y:.2e}"))
    } else {
        let margin = ((most - least) * 0.05).max(least.abs() * 1e-3).max(1e-12);
        lines(chart.build_cartesian_2d(0.0..end, least - margin..most + margin)?, panel, scale, &|y| format!("{y:.3e}"))
    }
}

/// Draws a panel's axes and lines, and names these where there is more than one and room to read them.
fn lines<'a, B: DrawingBackend + 'a, Y>(
    mut chart: ChartContext<'a, B, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>, panel: &Panel, scale: u32, label: &dyn Fn(&f64) -> String,
) -> Drawn
where
    B::ErrorType: 'static,
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64> + 'static,
{
    let font = ("sans-serif", 12 * scale);
    chart.configure_mesh().x_desc("step").light_line_style(TRANSPARENT).label_style(font).axis_desc_style(font).y_label_formatter(&label).draw()?;
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
    use crate::train::{Losses, Metrics};

    fn curves(name: &str, lift: f64) -> Curves {
        let mut curves = Curves::new(name, &[]);
        for step in 1..=50 {
            let loss = lift + 10.0 / step as f64;
            let held_out = (step % 10 == 0).then_some(Losses { ad: loss, ar: loss, kl: loss });
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

    #[test]
    fn one_run_is_drawn_by_block_and_several_by_name() {
        let one = svg(&[curves("alone", 1.0)]).unwrap();
        for word in ["block 1", "held-out", "learning rate", "gradient norm"] {
            assert!(one.contains(word), "{word}");
        }
        assert!(!one.contains("nothing to show"));
        let two = svg(&[curves("first", 1.0), curves("second", 2.0)]).unwrap();
        for word in ["first", "second", "loss, held-out"] {
            assert!(two.contains(word), "{word}");
        }
        assert!(!two.contains("block 1") && !two.contains("nothing to show"));
        assert!(svg(&[Curves::new("empty", &[])]).unwrap().contains("nothing to show"));
    }

    #[test]
    fn a_bitmap_shows_every_run_in_its_colour() {
        let file = png(&[curves("first", 1.0), curves("second", 2.0)]).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (WIDTH * SCALE, HEIGHT * SCALE));
        let has = |colour: RGBColor| pixels.chunks(3).filter(|pixel| **pixel == [colour.0, colour.1, colour.2]).count();
        assert!(has(BLUE) > 500 && has(ORANGE) > 500 && has(GREEN) == 0, "{} {} {}", has(BLUE), has(ORANGE), has(GREEN));
        // Axes and letters: the font is there.
        assert!(pixels.chunks(3).filter(|pixel| pixel.iter().all(|&byte| byte < 90)).count() > 2000);
    }
}
