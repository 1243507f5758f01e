//! Splitting of long dispatches into bands, and of dispatches into submits, so that no submit occupies a
//! GPU for long. Pure.

use super::op::Launch;
use super::params::FIRST_BAND;

/// Longest expected duration of a submit, in seconds: watchdogs reset a GPU after two.
pub const MAX_SUBMIT_SECONDS: f64 = 0.25;
/// Most dispatches in a submit: enough to hide the cost of submitting.
pub(super) const MAX_DISPATCHES: usize = 32;

/// Returns the ends of submits of at most [`MAX_DISPATCHES`] dispatches that are expected to take at most `max_seconds`
/// seconds; a dispatch that takes longer is a submit of its own.
pub(super) fn submit_ends(seconds: &[f64], max_seconds: f64) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut first, mut total) = (0, 0.0);
    for (n, &time) in seconds.iter().enumerate() {
        if n > first && (n - first == MAX_DISPATCHES || total + time > max_seconds) {
            ends.push(n);
            (first, total) = (n, 0.0);
        }
        total += time;
    }
    ends.extend((!seconds.is_empty()).then_some(seconds.len()));
    ends
}

/// Assumed operations per second of a GPU that has not been timed: low enough for a ten-year-old
/// integrated GPU. On a fast one a band of this size still takes a hundred times as long as the overhead
/// of its dispatch.
pub(super) const ASSUMED_RATE: f64 = 4e10;

/// Splits a launch into bands of workgroups along y, each expected to take at most `max_seconds` seconds at
/// `rate` operations per second; kernels without `first_band` cannot be split. Workgroups are independent,
/// so that the results are the same to the bit.
pub(super) fn bands(launch: Launch, can_split: bool, operations: f64, max_seconds: f64, rate: f64) -> Vec<(Launch, f64)> {
    let [x, y, z] = launch.groups;
    let count = (operations / (max_seconds * rate)).ceil().clamp(1.0, f64::from(y)) as u32;
    if !can_split || count < 2 {
        return vec![(launch, 1.0)];
    }
    let height = y.div_ceil(count);
    let band = |first: u32| {
        let mut band = Launch { groups: [x, height.min(y - first), z], ..launch.clone() };
        band.params.push((FIRST_BAND, first.into()));
        let share = f64::from(band.groups[1]) / f64::from(y);
        (band, share)
    };
    (0..y).step_by(height as usize).map(band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_cover_a_launch_once() {
        let launch = Launch { kernel: "matmul/tiled", operands: Vec::new(), params: Vec::new(), groups: [3, 10, 1] };
        assert_eq!(bands(launch.clone(), false, 1e12, 0.25, 1e9).len(), 1);
        assert_eq!(bands(launch.clone(), true, 1e8, 0.25, 1e9).len(), 1);
        let parts = bands(launch.clone(), true, 1e9, 0.25, 1e9);
        let positions: Vec<_> = parts.iter().map(|(band, _)| (band.params[0].1, band.groups[1])).collect();
        assert_eq!(positions, [(0, 3), (3, 3), (6, 3), (9, 1)].map(|(first, height): (u32, u32)| (first.into(), height)));
        assert!((parts.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(bands(launch, true, 1e15, 0.25, 1e9).len(), 10);
    }

    #[test]
    fn submits_are_short_and_few() {
        assert_eq!(submit_ends(&[], 1.0), Vec::<usize>::new());
        assert_eq!(submit_ends(&[0.0; 70], 1.0), [32, 64, 70]);
        assert_eq!(submit_ends(&[0.4, 0.4, 0.4, 2.0, 0.1, 0.1], 1.0), [2, 3, 4, 6]);
        assert_eq!(submit_ends(&[0.1; 3], 0.0), [1, 2, 3]);
    }
}
