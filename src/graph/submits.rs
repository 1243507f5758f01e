//! Splitting of long dispatches into bands, and of dispatches into submits, so that no submit occupies a
//! GPU for long. Pure.

use super::op::Launch;
use super::params::FIRST_BAND;
use super::work::Work;

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
const ASSUMED_RATE: f64 = 4e10;
/// Assumed bytes per second of its memory: less than one channel of DDR3 has.
const ASSUMED_BANDWIDTH: f64 = 1e10;

/// Returns the expected duration of a dispatch on a GPU that has not been timed.
pub(super) fn assumed_seconds(work: &Work) -> f64 {
    (work.operations / ASSUMED_RATE).max(work.bytes as f64 / ASSUMED_BANDWIDTH)
}

/// The ways in which the workgroups of a launch can be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// They cannot: the kernel has no `first_band`.
    None,
    /// Into rows along y.
    Rows,
    /// Into ranges of indices: the workgroups are folded again, so that there is a row for each band.
    Folded,
}

/// The largest number of bands of a launch. A dispatch has a fixed cost, so that more bands need not be shorter.
const MAX_BANDS: f64 = 256.0;

/// Splits a launch that is expected to take `seconds` into bands of workgroups along y, each expected to take at most
/// `max_seconds`, and returns each with its share of the workgroups. Workgroups are independent, so that the results are
/// the same to the bit.
pub(super) fn bands(launch: Launch, split: Split, seconds: f64, max_seconds: f64) -> Vec<(Launch, f64)> {
    let [x, y, z] = launch.groups;
    let all = u64::from(x) * u64::from(y);
    let folded = split == Split::Folded;
    let most = f64::min(MAX_BANDS, if folded { all as f64 } else { f64::from(y) });
    let count = (seconds / max_seconds).ceil().clamp(1.0, most) as u32;
    if split == Split::None || count < 2 {
        return vec![(launch, 1.0)];
    }
    let x = if folded { all.div_ceil(u64::from(count.max(y))) as u32 } else { x };
    let y = if folded { all.div_ceil(u64::from(x)) as u32 } else { y };
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

    fn launch(groups: [u32; 3]) -> Launch {
        Launch { kernel: "", operands: Vec::new(), params: Vec::new(), groups, operations: None }
    }

    #[test]
    fn bands_cover_a_launch_once() {
        let tiles = launch([3, 10, 1]);
        assert_eq!(bands(tiles.clone(), Split::None, 1e3, 0.25).len(), 1);
        assert_eq!(bands(tiles.clone(), Split::Rows, 0.1, 0.25).len(), 1);
        let parts = bands(tiles.clone(), Split::Rows, 1.0, 0.25);
        let positions: Vec<_> = parts.iter().map(|(band, _)| (band.params[0].1, band.groups[1])).collect();
        assert_eq!(positions, [(0, 3), (3, 3), (6, 3), (9, 1)].map(|(first, height): (u32, u32)| (first.into(), height)));
        assert!((parts.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(bands(tiles, Split::Rows, 1e6, 0.25).len(), 10);
        assert_eq!(bands(launch([40_000, 9, 1]), Split::Folded, 1e6, 0.25).len(), 256);
    }

    #[test]
    fn bands_of_a_folded_grid_hold_every_index_once() {
        for (groups, seconds) in [([10, 1, 1], 1.0), ([10, 1, 1], 1e6), ([65_535, 3, 1], 2.6), ([40_000, 2, 1], 0.5), ([7, 1, 1], 0.6)] {
            let parts = bands(launch(groups), Split::Folded, seconds, 0.25);
            let all = u64::from(groups[0]) * u64::from(groups[1]);
            let mut next = 0;
            for (band, share) in &parts {
                let [x, y, _] = band.groups;
                assert_eq!(band.params, vec![(FIRST_BAND, (next as u32 / x).into())], "{groups:?}");
                assert!(u64::from(x * y) <= (all as f64 * share * 1.2).ceil() as u64 && x <= 65_535 && next < all, "{groups:?}: {band:?}");
                next += u64::from(x) * u64::from(y);
            }
            let most = (seconds / 0.25).min(all as f64).ceil() as usize;
            assert!(next >= all && next < all + u64::from(parts[0].0.groups[0]) && (2..=most).contains(&parts.len()), "{groups:?}: {next}, {}", parts.len());
        }
    }

    #[test]
    fn submits_are_short_and_few() {
        assert_eq!(submit_ends(&[], 1.0), Vec::<usize>::new());
        assert_eq!(submit_ends(&[0.0; 70], 1.0), [32, 64, 70]);
        assert_eq!(submit_ends(&[0.4, 0.4, 0.4, 2.0, 0.1, 0.1], 1.0), [2, 3, 4, 6]);
        assert_eq!(submit_ends(&[0.1; 3], 0.0), [1, 2, 3]);
    }
}
