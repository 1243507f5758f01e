//! Faults of `metrics.jsonl` up to a checkpoint, which should have one line for every step. Pure.

use super::metrics::Metrics;
use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

/// Faults of a run's metrics up to a step, after a power cut, a disk failure or an edit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Steps without a line.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Steps with several lines.
    pub repeated: Vec<RangeInclusive<u64>>,
    /// Numbers of lines, from 1, that are not metrics of a step.
    pub damaged: Vec<RangeInclusive<u64>>,
    /// True if steps are out of order.
    pub unordered: bool,
}

impl Gaps {
    /// Returns true if there are no faults.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Returns which lines a run keeps when it goes back to `step`, and their faults. Damaged lines before the last
/// kept step are kept; those after it are dropped.
pub(super) fn up_to(step: u64, lines: &[&[u8]]) -> (Vec<bool>, Gaps) {
    let step_of = |line: &&[u8]| serde_json::from_slice::<Metrics>(line).ok().map(|metrics| metrics.step).filter(|step| *step > 0);
    let steps: Vec<Option<u64>> = lines.iter().map(step_of).collect();
    let is_kept = |found: &Option<u64>| found.is_some_and(|found| found <= step);
    let end = steps.iter().rposition(is_kept).map_or(0, |last| last + 1);
    let keep = steps.iter().enumerate().map(|(at, found)| if found.is_none() { at < end } else { is_kept(found) }).collect();

    let mut kept: Vec<u64> = steps.iter().filter(|found| is_kept(found)).flatten().copied().collect();
    let unordered = !kept.is_sorted();
    kept.sort_unstable();
    let mut faults = Gaps { unordered, ..Gaps::default() };
    for line in (1..).zip(&steps[..end]).filter_map(|(line, found)| found.is_none().then_some(line)) {
        add(&mut faults.damaged, line..=line);
    }
    let mut last = 0;
    for found in kept {
        if found == last {
            add(&mut faults.repeated, found..=found);
        } else if found - last > 1 {
            add(&mut faults.missing, last + 1..=found - 1);
        }
        last = found;
    }
    if last < step {
        add(&mut faults.missing, last + 1..=step);
    }
    (keep, faults)
}

/// Adds a range, merged with the last one if it follows it or repeats its end.
fn add(ranges: &mut Vec<RangeInclusive<u64>>, more: RangeInclusive<u64>) {
    match ranges.last_mut() {
        Some(last) if *more.start() <= last.end().saturating_add(1) => *last = *last.start()..=*more.end().max(last.end()),
        _ => ranges.push(more),
    }
}

/// Most ranges in a message.
const NAMED: usize = 5;

fn named(ranges: &[RangeInclusive<u64>]) -> String {
    let name = |range: &RangeInclusive<u64>| match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start} to {end}"),
    };
    let more = ranges.len().saturating_sub(NAMED);
    let first: Vec<String> = ranges.iter().take(NAMED).map(name).collect();
    first.join(", ") + &if more > 0 { format!(" and {more} more ranges") } else { String::new() }
}

impl Display for Gaps {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut faults = Vec::new();
        if !self.missing.is_empty() {
            faults.push(format!("steps without a line: {}", named(&self.missing)));
        }
        if !self.repeated.is_empty() {
            faults.push(format!("steps with several lines: {}", named(&self.repeated)));
        }
        if !self.damaged.is_empty() {
            faults.push(format!("damaged lines: {}", named(&self.damaged)));
        }
        if self.unordered {
            faults.push("steps out of order".into());
        }
        out.write_str(&faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> String {
        serde_json::to_string(&Metrics { step, ..Metrics::default() }).unwrap() + "\n"
    }

    fn check(step: u64, text: &[String]) -> (Vec<bool>, String) {
        let lines: Vec<&[u8]> = text.iter().map(String::as_bytes).collect();
        let (keep, faults) = up_to(step, &lines);
        assert_eq!(faults.is_empty(), faults.to_string().is_empty());
        (keep, faults.to_string())
    }

    fn lines(steps: impl IntoIterator<Item = u64>) -> Vec<String> {
        steps.into_iter().map(line).collect()
    }

    #[test]
    fn a_whole_record_has_no_faults() {
        assert_eq!(check(0, &[]), (vec![], String::new()));
        assert_eq!(check(0, &lines(1..=2)), (vec![false; 2], String::new()));
        assert_eq!(check(3, &lines(1..=5)), (vec![true, true, true, false, false], String::new()));
    }

    #[test]
    fn every_fault_is_reported() {
        assert_eq!(check(3, &[]).1, "steps without a line: 1 to 3");
        assert_eq!(check(9, &lines([2, 3, 5, 6, 7])).1, "steps without a line: 1, 4, 8 to 9");
        assert_eq!(check(3, &lines([1, 2, 2, 2, 3, 3, 7])).1, "steps with several lines: 2 to 3");
        assert_eq!(check(3, &lines([1, 3, 2])).1, "steps out of order");
        assert_eq!(check(40, &lines((1..=40).step_by(2))).1, "steps without a line: 2, 4, 6, 8, 10 and 15 more ranges");
        assert_eq!(check(u64::MAX, &lines([1, u64::MAX])).1, format!("steps without a line: 2 to {}", u64::MAX - 1));
        assert_eq!(check(2, &lines([0, 1, 2])).1, "damaged lines: 1");
    }

    #[test]
    fn damaged_lines_are_kept_unless_they_follow_the_last_kept_step() {
        let broken = |text: &str| text.to_string() + "\n";
        let text = [line(1), broken("\0\0\0"), broken("{}"), line(4), broken("{"), line(5), broken("")];
        assert_eq!(check(4, &text), (vec![true, true, true, true, false, false, false], "steps without a line: 2 to 3; damaged lines: 2 to 3".into()));
    }
}
