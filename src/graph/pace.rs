//! How many dispatches go into a submit, so that none keeps a GPU from its system for long. Pure.

/// Seconds that no submit should be expected to pass: watchdogs reset a GPU after two.
pub(super) const LONGEST: f64 = 0.25;
/// Dispatches in a submit at most: enough to hide what a submit costs.
pub(super) const MOST: usize = 32;

/// The ends of submits of at most [`MOST`] dispatches that are expected to take at most `longest`
/// seconds, or of one dispatch that takes longer alone.
pub(super) fn ends(seconds: &[f64], longest: f64) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut first, mut total) = (0, 0.0);
    for (n, &time) in seconds.iter().enumerate() {
        if n > first && (n - first == MOST || total + time > longest) {
            ends.push(n);
            (first, total) = (n, 0.0);
        }
        total += time;
    }
    ends.extend((!seconds.is_empty()).then_some(seconds.len()));
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submits_are_short_and_few() {
        assert_eq!(ends(&[], 1.0), Vec::<usize>::new());
        assert_eq!(ends(&[0.0; 70], 1.0), [32, 64, 70]);
        assert_eq!(ends(&[0.4, 0.4, 0.4, 2.0, 0.1, 0.1], 1.0), [2, 3, 4, 6]);
        assert_eq!(ends(&[0.1; 3], 0.0), [1, 2, 3]);
    }
}
