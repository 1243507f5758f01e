//! Logarithmic axes, and number formatting. Pure.

use egui_plot::{GridInput, GridMark};

/// Formats a number for an axis or a legend: at most 4 significant digits, scientific where needed.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".into()
    } else if (1e-2..1e5).contains(&size) {
        let digits = (3 - size.log10().floor() as i32).clamp(0, 5) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
    } else {
        format!("{value:.1e}")
    }
}

/// Grid lines of a log10 axis: powers of ten, and lines between them if few powers are visible.
pub(super) fn log_marks(input: &GridInput) -> Vec<GridMark> {
    let (from, to) = input.bounds;
    if !(from.is_finite() && to.is_finite()) || to - from > 600.0 {
        return Vec::new();
    }
    let span = to - from;
    let between: &[f64] = if span <= 1.2 { &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0] } else { &[1.0, 2.0, 5.0] };
    let every = (span / 12.0).ceil().max(1.0) as i64;
    let powers = (from.floor() as i64..=to.ceil() as i64).filter(|power| power.rem_euclid(every) == 0);
    let marks = powers.flat_map(|power| {
        let factors = if span <= 3.0 { between } else { &between[..1] };
        factors.iter().map(move |factor| GridMark { value: power as f64 + factor.log10(), step_size: if *factor == 1.0 { 1.0 } else { 0.1 } })
    });
    // Labels of marks outside the bounds would be drawn beside the plot.
    marks.filter(|mark| (from..=to).contains(&mark.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_distinct() {
        let shown: Vec<String> = [0.0, 1.0, 0.25, 12.3456, 1234.5, 99_999.0, 123_456.0, 3.2e-5, -0.5].map(number).into();
        assert_eq!(shown, ["0", "1", "0.25", "12.35", "1234", "99999", "1.2e5", "3.2e-5", "-0.5"]);
    }

    #[test]
    fn a_log_grid_has_powers_of_ten_and_few_lines() {
        let values = |from, to| log_marks(&GridInput { bounds: (from, to), base_step_size: 1.0 }).into_iter().map(|mark| mark.value).collect::<Vec<_>>();
        assert!([-2.0, -1.0, 0.0].iter().all(|power| values(-2.0, 0.0).contains(power)));
        assert!(values(-0.3, 0.3).len() > 5);
        assert!((3..=30).contains(&values(-30.0, 5.0).len()));
        assert!(values(f64::NEG_INFINITY, 0.0).is_empty());
    }
}
