//! Mean and sample standard deviation of numbers, and of lines, over several runs. Pure.

use serde::{Deserialize, Serialize};

/// Mean and deviation of a number over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (n − 1); none for a single run.
    pub deviation: Option<f64>,
    /// The number of runs.
    pub runs: usize,
}

impl Average {
    /// Computes them of `values`; none if there are no values, or one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let runs = values.len();
        let mean = values.iter().sum::<f64>() / runs as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        mean.is_finite().then(|| Self { mean, deviation: (runs > 1).then(|| (squares / (runs - 1) as f64).sqrt()), runs })
    }
}

/// The mean of some lines, and the lines one standard deviation below and above it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Band {
    pub(super) mean: Vec<(f64, f64)>,
    pub(super) below: Vec<(f64, f64)>,
    pub(super) above: Vec<(f64, f64)>,
}

impl Band {
    /// Computes it at every x of the line with the most points; others are interpolated, and end where
    /// their points end. With `logarithmic`, the logarithms of the values are averaged.
    pub(super) fn of(lines: &[Vec<(f64, f64)>], logarithmic: bool) -> Self {
        let mut band = Self::default();
        let Some(longest) = lines.iter().rev().max_by_key(|line| line.len()) else { return band };
        for &(x, _) in longest {
            let at = |line: &Vec<(f64, f64)>| at(line, x).map(|y| if logarithmic { y.ln() } else { y });
            let values: Vec<f64> = lines.iter().filter_map(at).collect();
            let Some(Average { mean, deviation, .. }) = Average::of(&values) else { continue };
            let deviation = deviation.unwrap_or(0.0);
            let point = |y: f64| (x, if logarithmic { y.exp() } else { y });
            band.mean.push(point(mean));
            band.below.push(point(mean - deviation));
            band.above.push(point(mean + deviation));
        }
        band
    }
}

/// Interpolates a line at x, if that is within its range.
fn at(line: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = line.partition_point(|point| point.0 < x);
    let (x1, y1) = *line.get(after)?;
    if x1 == x {
        return Some(y1);
    }
    let (x0, y0) = *line.get(after.checked_sub(1)?)?;
    Some(y0 + (y1 - y0) * (x - x0) / (x1 - x0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_deviation_is_that_of_one_less() {
        assert_eq!(Average::of(&[]), None);
        assert_eq!(Average::of(&[1.0, f64::NAN]), None);
        assert_eq!(Average::of(&[4.0]), Some(Average { mean: 4.0, deviation: None, runs: 1 }));
        // Squares of −1.5, 0.5, 1.5, −0.5 sum to 5.
        let average = Average::of(&[1.0, 3.0, 4.0, 2.0]).unwrap();
        assert!(average.mean == 2.5 && (average.deviation.unwrap() - (5f64 / 3.0).sqrt()).abs() < 1e-15, "{average:?}");
    }

    #[test]
    fn lines_of_different_lengths_and_points_are_averaged_where_they_exist() {
        let line = |end: u32, by: usize, y: f64| (0..=end).step_by(by).map(|x| (f64::from(x), y + f64::from(x))).collect::<Vec<_>>();
        let band = Band::of(&[line(10, 1, 0.0), line(6, 2, 2.0)], false);
        assert_eq!(band.mean.len(), 11);
        for (n, &(x, y)) in band.mean.iter().enumerate() {
            let both = x <= 6.0;
            assert_eq!((x, y), (n as f64, x + if both { 1.0 } else { 0.0 }));
            let spread = band.above[n].1 - band.below[n].1;
            assert!((spread - if both { 2.0 * 2f64.sqrt() } else { 0.0 }).abs() < 1e-12);
        }
        let band = Band::of(&[vec![(1.0, 1e-2)], vec![(1.0, 1e-4)]], true);
        assert!((band.mean[0].1 / 1e-3 - 1.0).abs() < 1e-12 && band.below[0].1 > 0.0);
    }
}
