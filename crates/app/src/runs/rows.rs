//! Rows of the table of runs: filter, order, and formatting of values. Pure.

use super::super::plots::number;
use signet::runner::{RunInfo, TrainConfig, format_count};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    State,
    Model,
    Step,
    Loss,
    Kl,
    Perplexity,
    Tokens,
    Time,
    Checkpoints,
    Changed,
}

impl Column {
    /// All columns, from left to right.
    pub(super) const ALL: [Column; 11] = [
        Column::Name,
        Column::State,
        Column::Model,
        Column::Step,
        Column::Loss,
        Column::Kl,
        Column::Perplexity,
        Column::Tokens,
        Column::Time,
        Column::Checkpoints,
        Column::Changed,
    ];

    /// Its heading, and its width in points.
    pub(super) fn heading(self) -> (&'static str, f32) {
        match self {
            Column::Name => ("Name", 180.0),
            Column::State => ("State", 110.0),
            Column::Model => ("Model", 80.0),
            Column::Step => ("Step", 110.0),
            Column::Loss => ("Loss", 70.0),
            Column::Kl => ("Held-out KL", 90.0),
            Column::Perplexity => ("Perplexity", 85.0),
            Column::Tokens => ("Tokens", 75.0),
            Column::Time => ("Time", 85.0),
            Column::Checkpoints => ("Checkpoints", 95.0),
            Column::Changed => ("Changed", 100.0),
        }
    }
}

/// A run of the folder.
pub(super) struct Row {
    /// The run's description.
    pub(super) info: RunInfo,
    /// Its settings by name, as text.
    pub(super) settings: Vec<(String, String)>,
    /// Lower-case text that the filter searches.
    text: String,
}

impl Row {
    /// Creates a row; reuses settings and filter text of `before` if they are unchanged.
    fn new(info: RunInfo, before: Option<Row>) -> Self {
        let (settings, text) = match before.filter(|before| before.info.config == info.config && before.info.name == info.name) {
            Some(before) => (before.settings, before.text),
            None => {
                let settings = info.config.as_deref().map_or(Vec::new(), settings);
                let words = settings.iter().map(|(name, value)| format!(" {name}={value}"));
                let text = format!("{}{}", info.name, words.collect::<String>()).to_lowercase();
                (settings, text)
            }
        };
        Self { info, settings, text }
    }

    /// The run's state, as text.
    pub(super) fn state(&self) -> &'static str {
        let done = self.info.config.as_ref().is_some_and(|config| self.info.step() >= config.steps);
        if self.info.training {
            "in training"
        } else if self.info.problem.is_some() {
            "damaged"
        } else if done {
            "finished"
        } else if self.info.step() == 0 {
            "not begun"
        } else {
            "stopped"
        }
    }

    /// The text of a column; `now` in seconds since 1970.
    pub(super) fn cell(&self, column: Column, now: f64) -> String {
        let (info, last) = (&self.info, self.info.last.as_deref());
        let maybe = |value: Option<f64>| value.map_or(String::new(), number);
        match column {
            Column::Name => info.name.clone(),
            Column::State => self.state().into(),
            Column::Model => info.config.as_ref().map_or(String::new(), |config| {
                let name = config.model.rsplit(['/', '\\']).next().unwrap_or_default();
                if config.binary { name.into() } else { format!("{name}, full") }
            }),
            Column::Step => match &info.config {
                Some(config) => format!("{} of {}", info.step(), config.steps),
                None => info.step().to_string(),
            },
            Column::Loss => maybe(last.map(|last| last.loss)),
            Column::Kl => maybe(info.held_out_kl()),
            Column::Perplexity => maybe(info.perplexity()),
            Column::Tokens => last.map_or(String::new(), |last| format_count(last.tokens as f64)),
            Column::Time => last.map_or(String::new(), |last| duration(last.seconds)),
            Column::Checkpoints => info.checkpoints.len().to_string(),
            Column::Changed => ago(now - info.modified),
        }
    }

    /// The sort key of a numeric column; NaN if there is none, which sorts last.
    fn key(&self, column: Column) -> f64 {
        let (info, last) = (&self.info, self.info.last.as_deref());
        let value = match column {
            Column::Step => Some(info.step() as f64),
            Column::Loss => last.map(|last| last.loss),
            Column::Kl => info.held_out_kl(),
            Column::Perplexity => info.perplexity(),
            Column::Tokens => last.map(|last| last.tokens as f64),
            Column::Time => last.map(|last| last.seconds),
            Column::Checkpoints => Some(info.checkpoints.len() as f64),
            Column::Changed => Some(-info.modified),
            Column::Name | Column::State | Column::Model => None,
        };
        value.unwrap_or(f64::NAN)
    }
}

/// All runs, and the filtered and sorted selection.
pub(super) struct Rows {
    all: Vec<Row>,
    seen: Vec<usize>,
    /// Words that must all be in a run's name or settings.
    pub(super) filter: String,
    /// Sort column, and true for descending order.
    pub(super) sort: (Column, bool),
}

impl Default for Rows {
    fn default() -> Self {
        Self { all: Vec::new(), seen: Vec::new(), filter: String::new(), sort: (Column::Changed, false) }
    }
}

impl Rows {
    /// Replaces the runs.
    pub(super) fn set(&mut self, runs: Vec<RunInfo>) {
        let mut before: std::collections::HashMap<_, _> = self.all.drain(..).map(|row| (row.info.path.clone(), row)).collect();
        self.all = runs.into_iter().map(|info| (before.remove(&info.path), info)).map(|(before, info)| Row::new(info, before)).collect();
        self.arrange();
    }

    /// Applies filter and order.
    pub(super) fn arrange(&mut self) {
        let words: Vec<String> = self.filter.to_lowercase().split_whitespace().map(String::from).collect();
        self.seen = (0..self.all.len()).filter(|&n| words.iter().all(|word| self.all[n].text.contains(word))).collect();
        let (column, downwards) = self.sort;
        let text = |row: &Row| match column {
            Column::State => row.state().to_string(),
            Column::Model => row.cell(column, 0.0),
            _ => String::new(),
        };
        self.seen.sort_by(|&a, &b| {
            let (a, b) = (&self.all[a], &self.all[b]);
            let (x, y) = (a.key(column), b.key(column));
            let order = x.is_nan().cmp(&y.is_nan());
            let values = x.partial_cmp(&y).unwrap_or_else(|| text(a).cmp(&text(b)));
            let names = || natural(&a.info.name).cmp(&natural(&b.info.name));
            let values = if column == Column::Name { names() } else { values };
            order.then(if downwards { values.reverse() } else { values }).then_with(names)
        });
    }

    /// The visible runs in a range, in order.
    pub(super) fn seen(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = &Row> {
        self.seen[range].iter().map(|&n| &self.all[n])
    }

    /// Number of visible runs, and of all runs.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.seen.len(), self.all.len())
    }

    /// Finds the run of a directory.
    pub(super) fn find(&self, path: &std::path::Path) -> Option<&Row> {
        self.all.iter().find(|row| row.info.path == path)
    }

    /// Returns the first unused name of `name-2`, `name-3`, ….
    pub(super) fn free_name(&self, name: &str) -> String {
        let names = (2..).map(|n| format!("{name}-{n}"));
        names.into_iter().find(|name| self.all.iter().all(|row| row.info.name != *name)).unwrap_or_default()
    }
}

/// Key for natural sort order: `run-9` before `run-10`.
fn natural(name: &str) -> Vec<(u64, String)> {
    let mut parts: Vec<(u64, String)> = Vec::new();
    for c in name.to_lowercase().chars() {
        match (c.to_digit(10), parts.last_mut()) {
            (Some(digit), Some((number, text))) if text.is_empty() => *number = number.saturating_mul(10).saturating_add(digit.into()),
            (Some(digit), _) => parts.push((digit.into(), String::new())),
            (None, Some((_, text))) if !text.is_empty() => text.push(c),
            // Text sorts after numbers.
            (None, _) => parts.push((u64::MAX, c.into())),
        }
    }
    parts
}

/// Flattens settings to pairs of name and value; the guard's are named `guard.…`.
pub(super) fn settings(config: &TrainConfig) -> Vec<(String, String)> {
    let mut list = Vec::new();
    let mut add = |name: String, value: &serde_json::Value| {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => "none".into(),
            other => other.to_string(),
        };
        list.push((name, text));
    };
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(config) {
        for (name, value) in &fields {
            match value {
                serde_json::Value::Object(parts) => parts.iter().for_each(|(part, value)| add(format!("{name}.{part}"), value)),
                value => add(name.clone(), value),
            }
        }
    }
    list
}

/// Formats a count with the singular or plural noun.
pub(super) fn plural(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Formats a duration in seconds.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 172_800.0 => format!("{:.1} days", seconds / 86_400.0),
        seconds if seconds >= 3600.0 => format!("{} h {:02} min", (seconds / 3600.0) as u64, (seconds % 3600.0 / 60.0) as u64),
        seconds if seconds >= 60.0 => format!("{} min {:02} s", (seconds / 60.0) as u64, (seconds % 60.0) as u64),
        seconds => format!("{seconds:.0} s"),
    }
}

fn ago(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 172_800.0 => format!("{:.0} days ago", seconds / 86_400.0),
        seconds if seconds >= 3600.0 => format!("{:.0} h ago", seconds / 3600.0),
        seconds if seconds >= 60.0 => format!("{:.0} min ago", seconds / 60.0),
        seconds if seconds >= 5.0 => format!("{seconds:.0} s ago"),
        _ => "now".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet::runner::Metrics;

    fn run(name: &str, loss: Option<f64>, lr: f64) -> RunInfo {
        RunInfo {
            name: name.into(),
            path: name.into(),
            modified: 1000.0,
            training: false,
            config: Some(Box::new(TrainConfig { lr, ..TrainConfig::default() })),
            last: loss.map(|loss| Box::new(Metrics { step: 7, loss, ..Metrics::default() })),
            held_out: None,
            checkpoints: vec![],
            problem: None,
        }
    }

    fn names(rows: &Rows) -> Vec<&str> {
        rows.seen(0..rows.counts().0).map(|row| row.info.name.as_str()).collect()
    }

    #[test]
    fn rows_sort_both_ways_with_missing_values_last() {
        let mut rows = Rows::default();
        rows.set(vec![run("run-10", Some(2.0), 0.1), run("run-9", Some(3.0), 0.2), run("new", None, 0.1), run("run-2", Some(1.0), 0.2)]);
        for (sort, expected) in [
            ((Column::Name, false), ["new", "run-2", "run-9", "run-10"]),
            ((Column::Loss, false), ["run-2", "run-10", "run-9", "new"]),
            ((Column::Loss, true), ["run-9", "run-10", "run-2", "new"]),
            ((Column::State, false), ["new", "run-2", "run-9", "run-10"]),
        ] {
            rows.sort = sort;
            rows.arrange();
            assert_eq!(names(&rows), expected, "{sort:?}");
        }
        assert_eq!((rows.free_name("run"), rows.free_name("new")), ("run-3".into(), "new-2".into()));
    }

    #[test]
    fn the_filter_matches_all_words_in_names_and_settings() {
        let mut rows = Rows::default();
        rows.set(vec![run("first", None, 0.1), run("second", None, 0.25)]);
        for (filter, expected) in [("", 2), ("SEC", 1), ("lr=0.25", 1), ("first lr=0.25", 0), ("guard.window=64", 2)] {
            rows.filter = filter.into();
            rows.arrange();
            assert_eq!(rows.counts(), (expected, 2), "{filter}");
        }
    }

    #[test]
    fn times_and_counts_are_short() {
        assert_eq!([5.0, 65.0, 3725.0, 2e5].map(duration), ["5 s", "1 min 05 s", "1 h 02 min", "2.3 days"]);
        assert_eq!([999.0, 12_345.0, 2.5e6].map(format_count), ["999", "12.3 k", "2.50 M"]);
        assert_eq!((ago(1.0), ago(600.0), ago(7200.0)), ("now".into(), "10 min ago".into(), "2 h ago".into()));
    }
}
