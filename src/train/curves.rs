//! `curves.svg`: loss, KL, flip-flop ratios, gradient norm and learning rate of a run.

use super::metrics::Metrics;
use plotters::coord::Shift;
use plotters::prelude::*;

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
}

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 1080;
/// Points a line has at most: more than there are pixels would only make the file larger.
const POINTS: usize = 1000;
const BLUE: RGBColor = RGBColor(31, 119, 180);
const ORANGE: RGBColor = RGBColor(255, 127, 14);
const GREEN: RGBColor = RGBColor(44, 160, 44);

/// Draws a run. `sizes` are the weights in each binarized matrix.
pub(super) fn draw(metrics: &[Metrics], sizes: &[usize]) -> Result<String, String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE).map_err(|error| error.to_string())?;
        for (area, panel) in root.split_evenly((3, 2)).iter().zip(panels(metrics, sizes)) {
            draw_panel(area, &panel).map_err(|error| error.to_string())?;
        }
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

fn panels(metrics: &[Metrics], sizes: &[usize]) -> Vec<Panel> {
    let line = |name: &str, colour, value: &dyn Fn(&Metrics) -> Option<f64>| Line {
        name: name.into(),
        colour,
        points: metrics.iter().filter_map(|m| Some((m.step as f64, value(m)?))).collect(),
    };
    let distilled = metrics.iter().any(|m| m.ad.is_some());
    let held = |m: &Metrics| m.held_out.map(|losses| if distilled { losses.ad } else { losses.ar });
    let blocks = sizes.len().div_ceil(7);
    let by_block = (0..blocks).map(|block| {
        let colour = HSLColor(block as f64 / blocks.max(1) as f64 * 0.8, 0.6, 0.5).to_backend_color();
        let colour = RGBColor(colour.rgb.0, colour.rgb.1, colour.rgb.2);
        line(&format!("block {block}"), colour, &|m| m.flips_by_block(sizes).get(block).copied())
    });
    vec![
        Panel { title: "loss", logarithmic: false, lines: vec![line("trained", BLUE, &|m| Some(m.loss)), line("held-out", ORANGE, &held)] },
        Panel {
            title: "KL divergence from the teacher",
            logarithmic: true,
            lines: vec![line("trained", BLUE, &|m| m.kl), line("held-out", ORANGE, &|m| m.held_out.filter(|_| distilled).map(|losses| losses.kl))],
        },
        Panel {
            title: "flip-flop ratio",
            logarithmic: true,
            lines: vec![line("all binarized weights", BLUE, &|m| (!m.flips.is_empty()).then_some(m.flip_ratio))],
        },
        Panel { title: "flip-flop ratio by block", logarithmic: true, lines: by_block.collect() },
        Panel { title: "gradient norm before clipping", logarithmic: true, lines: vec![line("norm", GREEN, &|m| m.norm)] },
        Panel { title: "learning rate", logarithmic: false, lines: vec![line("rate", GREEN, &|m| Some(m.lr))] },
    ]
}

/// Every point, or the least and greatest of each of so many stretches.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS / 2);
    points
        .chunks(stretch)
        .flat_map(|chunk| {
            let least = chunk.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).expect("not empty");
            let most = chunk.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).expect("not empty");
            if least.0 <= most.0 { [least, most] } else { [most, least] }
        })
        .collect()
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel) -> Drawn {
    let usable = |value: f64| value.is_finite() && (!panel.logarithmic || value > 0.0);
    let lines: Vec<(&Line, Vec<(f64, f64)>)> =
        panel.lines.iter().map(|line| (line, thin(&line.points.iter().copied().filter(|&(_, y)| usable(y)).collect::<Vec<_>>()))).collect();
    let all = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let end = all().map(|(x, _)| x).fold(1.0, f64::max);
    let (least, most) = all().fold((f64::MAX, f64::MIN), |(least, most), (_, y)| (least.min(y), most.max(y)));
    if least > most {
        area.titled(&format!("{}: nothing to show", panel.title), ("sans-serif", 16))?;
        return Ok(());
    }
    let mut chart = ChartBuilder::on(area);
    chart.caption(panel.title, ("sans-serif", 16)).margin(10).x_label_area_size(28).y_label_area_size(64);
    if panel.logarithmic {
        let most = if most > least { most } else { least * 1.1 };
        let mut chart = chart.build_cartesian_2d(0.0..end, (least..most).log_scale())?;
        chart.configure_mesh().x_desc("step").light_line_style(TRANSPARENT).y_label_formatter(&|y| format!("{y:.2e}")).draw()?;
        for (line, points) in lines {
            let colour = line.colour;
            chart.draw_series(LineSeries::new(points, &colour))?.label(&line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        legend(&mut chart, panel.lines.len())
    } else {
        let margin = ((most - least) * 0.05).max(least.abs() * 1e-3).max(1e-12);
        let mut chart = chart.build_cartesian_2d(0.0..end, least - margin..most + margin)?;
        chart.configure_mesh().x_desc("step").light_line_style(TRANSPARENT).y_label_formatter(&|y| format!("{y:.3e}")).draw()?;
        for (line, points) in lines {
            let colour = line.colour;
            chart.draw_series(LineSeries::new(points, &colour))?.label(&line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        legend(&mut chart, panel.lines.len())
    }
}

/// Names the lines, where there is more than one and room to read them.
fn legend<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>, lines: usize) -> Drawn
where
    X: Ranged<ValueType = f64> + 'static,
    Y: Ranged<ValueType = f64> + 'static,
{
    if (2..=16).contains(&lines) {
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw()?;
    }
    Ok(())
}
