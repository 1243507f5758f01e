//! Shows the progress of a report: the part, its time, and the time left at most.

use crate::output::{self, time};
use indicatif::{ProgressBar, ProgressStyle};

/// The progress bar of a report; without a terminal, a line for each part.
pub(super) struct ReportProgress {
    bar: ProgressBar,
    /// Limits of the parts that are still to be run, in seconds, without the current one.
    left: f64,
    /// Name and limit of the current part.
    current: (String, f64),
}

impl ReportProgress {
    /// A bar for `parts` parts.
    pub(super) fn new(parts: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}").expect("a fixed template");
        Self { bar: ProgressBar::new(parts as u64).with_style(style), left: 0.0, current: (String::new(), 0.0) }
    }

    /// Begins a part; `left` is the sum of the limits of those after it.
    pub(super) fn begin(&mut self, done: usize, name: &str, limit: f64, left: f64) {
        (self.left, self.current) = (left, (name.into(), limit));
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() {
            output::note(&format!("{name}: at most {}, at most {} left in all", time(limit), time(limit + left)));
        }
        self.update(0.0, "");
    }

    /// Shows the seconds that the current part has taken, and its latest result.
    pub(super) fn update(&self, seconds: f64, result: &str) {
        let (name, limit) = &self.current;
        let separator = if result.is_empty() { "" } else { ": " };
        let left = time((limit - seconds).max(0.0) + self.left);
        self.bar.set_message(format!("{name} {} of at most {}{separator}{result}, at most {left} left", time(seconds), time(*limit)));
    }

    /// Reports the end of a part.
    pub(super) fn end(&self, line: &str) {
        if self.bar.is_hidden() { output::note(line) } else { self.bar.println(line) }
    }

    /// Removes the bar.
    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}
