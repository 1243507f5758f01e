//! The table of the quantities of a run: name, title, unit, axis, averaging, and how each is read from a line
//! of metrics.jsonl. Columns of a CSV, curves, plots and comparisons follow from it, and docs/metrics.md is
//! checked against it. Pure.

use super::metrics::Metrics;
use crate::ops::{TERMS, Term};

/// The unit of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Dimensionless.
    One,
    /// Nats: natural logarithms of probability.
    Nats,
    /// A ratio from 0 to 1.
    Share,
    /// Optimizer steps.
    Steps,
    /// Tokens.
    Tokens,
    /// Seconds.
    Seconds,
    /// Tokens per second.
    TokensPerSecond,
}

impl Unit {
    /// Its name in docs/metrics.md.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "–",
            Self::Nats => "nats",
            Self::Share => "share",
            Self::Steps => "steps",
            Self::Tokens => "tokens",
            Self::Seconds => "s",
            Self::TokensPerSecond => "tokens/s",
        }
    }

    /// Formats a value for a table of runs: tokens in millions, seconds in minutes.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Nats | Self::One => format!("{value:.4}"),
            Self::Share => format!("{value:.2e}"),
            Self::Steps | Self::TokensPerSecond => format!("{value:.0}"),
            Self::Tokens => format!("{:.3} M", value / 1e6),
            Self::Seconds => format!("{:.1}", value / 60.0),
        }
    }
}

/// The scale of a quantity's axis, and of averages over runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    Linear,
    /// Linear for one run; logarithmic for several, whose objectives may have different magnitudes.
    Positive,
    /// Logarithmic.
    Logarithmic,
}

/// The summary of a run's values for a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// The value of the last step.
    Last,
    /// The value of the last step that was measured on held-out text.
    LastMeasured,
    /// The mean over the last tenth of the steps with a value.
    LastTenth,
}

/// A quantity in the comparison of runs.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// Its name in `--json` and `--csv`.
    pub name: &'static str,
    /// Its column header.
    pub head: &'static str,
    /// The summary of a run's values.
    pub summary: Summary,
}

/// The source of a quantity in a line of metrics.jsonl.
#[derive(Clone, Copy, Debug)]
enum Read {
    /// A field.
    Field(fn(&Metrics) -> Option<f64>),
    /// A term of the losses on held-out text.
    HeldOut(Term),
}

/// A quantity of a run.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// Its column in a CSV.
    pub name: &'static str,
    /// The field of [`Metrics`] that it is read from.
    pub field: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The scale of its axis and averages.
    pub scale: Scale,
    /// True if it has a curve.
    pub curve: bool,
    /// Its comparison among runs, if it is compared.
    pub compared: Option<Compared>,
    title: &'static str,
    read: Read,
    /// The drawn value, if it differs from the recorded one.
    drawn: Option<fn(&Metrics) -> Option<f64>>,
}

impl Quantity {
    const fn new(name: &'static str, title: &'static str, unit: Unit, read: fn(&Metrics) -> Option<f64>) -> Self {
        let read = Read::Field(read);
        Self { name, field: name, unit, scale: Scale::Linear, curve: false, compared: None, title, read, drawn: None }
    }

    /// A term on held-out text. Without a teacher, terms against it are recorded as 0, and not drawn.
    const fn held_out(term: Term) -> Self {
        let compared = match term {
            Term::Ad => None,
            Term::Ar => Some(Compared { name: term.name(), head: "next token", summary: Summary::LastMeasured }),
            Term::Of(divergence) => Some(Compared { name: term.name(), head: divergence.info().short, summary: Summary::LastMeasured }),
        };
        let scale = if matches!(term, Term::Of(_)) { Scale::Logarithmic } else { Scale::Linear };
        let (name, title, curve) = (term.held_out(), term.title(), compared.is_some());
        Self { name, field: "held_out", unit: Unit::Nats, scale, curve, compared, title, read: Read::HeldOut(term), drawn: None }
    }

    const fn curve(self, scale: Scale) -> Self {
        Self { scale, curve: true, ..self }
    }

    const fn drawn_as(self, drawn: fn(&Metrics) -> Option<f64>) -> Self {
        Self { drawn: Some(drawn), ..self }
    }

    const fn compared(self, name: &'static str, head: &'static str, summary: Summary) -> Self {
        Self { compared: Some(Compared { name, head, summary }), ..self }
    }

    /// Its title in a plot of several runs.
    pub fn title(&self) -> String {
        if let Read::HeldOut(_) = self.read { format!("{}, held-out", self.title) } else { self.title.into() }
    }

    /// Returns the recorded value of a step.
    pub fn recorded(&self, metrics: &Metrics) -> Option<f64> {
        match self.read {
            Read::Field(read) => read(metrics),
            Read::HeldOut(term) => metrics.held_out.and_then(|losses| losses.get(term)),
        }
    }

    /// Returns the value of a step in curves and comparisons; none if it is meaningless.
    pub fn drawn(&self, metrics: &Metrics) -> Option<f64> {
        match (self.drawn, self.read) {
            (Some(drawn), _) => drawn(metrics),
            (None, Read::HeldOut(Term::Ad | Term::Of(_))) if metrics.ad.is_none() => None,
            _ => self.recorded(metrics),
        }
    }
}

const FIELDS: [Quantity; 14] = [
    Quantity::new("step", "steps", Unit::Steps, |m| Some(m.step as f64)).compared("steps", "steps", Summary::Last),
    Quantity::new("tokens", "tokens seen", Unit::Tokens, |m| Some(m.tokens as f64)).compared("tokens", "tokens", Summary::Last),
    Quantity::new("loss", "loss, trained (of each its own)", Unit::Nats, |m| Some(m.loss)).curve(Scale::Positive),
    Quantity::new("ad", "cross-entropy against the teacher, trained", Unit::Nats, |m| m.ad),
    Quantity::new("ar", "next-token cross-entropy, trained", Unit::Nats, |m| Some(m.ar)),
    Quantity::new("kl", "KL(teacher‖student), trained", Unit::Nats, |m| m.kl).curve(Scale::Logarithmic),
    Quantity::new("norm", "gradient norm before clipping", Unit::One, |m| m.norm).curve(Scale::Logarithmic),
    Quantity::new("lr", "learning rate", Unit::One, |m| Some(m.lr)).curve(Scale::Linear),
    Quantity::new("flip_ratio", "flip-flop ratio", Unit::Share, |m| Some(m.flip_ratio))
        .curve(Scale::Logarithmic)
        .drawn_as(|m| (!m.flips.is_empty()).then_some(m.flip_ratio))
        .compared("flips", "flips", Summary::LastTenth),
    Quantity::new("loss_scale", "loss scale", Unit::One, |m| Some(f64::from(m.loss_scale))),
    Quantity::new("threshold", "largest gradient norm that is taken", Unit::One, |m| m.threshold),
    Quantity::new("tokens_per_s", "tokens a second", Unit::TokensPerSecond, |m| Some(m.tokens_per_s)).curve(Scale::Positive),
    Quantity::new("seconds", "seconds of training", Unit::Seconds, |m| Some(m.seconds)).compared("seconds", "minutes", Summary::Last),
    Quantity::new("held_out_loss", "loss, held-out (of each its own)", Unit::Nats, |m| m.held_out_loss).curve(Scale::Positive).drawn_as(Metrics::held_out_loss),
];

/// All quantities, in the order of the columns of a CSV; loss terms on held-out text are last.
pub static QUANTITIES: [Quantity; QUANTITY_COUNT] = TABLE;
/// Number of quantities.
pub const QUANTITY_COUNT: usize = FIELDS.len() + TERMS;

const TABLE: [Quantity; QUANTITY_COUNT] = {
    let mut table = [FIELDS[0]; QUANTITY_COUNT];
    let mut n = 0;
    while n < table.len() {
        table[n] = if n < FIELDS.len() { FIELDS[n] } else { Quantity::held_out(Term::ALL[n - FIELDS.len()]) };
        n += 1;
    }
    table
};

/// Returns the index of a quantity in [`QUANTITIES`]; in a constant, an unknown name does not compile.
pub const fn quantity(name: &str) -> usize {
    let mut n = 0;
    while n < TABLE.len() {
        if same(TABLE[n].name.as_bytes(), name.as_bytes()) {
            return n;
        }
        n += 1;
    }
    panic!("no quantity of this name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut n = 0;
    while n < a.len() && n < b.len() && a[n] == b[n] {
        n += 1;
    }
    n == a.len() && n == b.len()
}

/// A plot of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    /// Its title.
    pub title: &'static str,
    /// Its title in a picture, where a single line has no legend.
    pub caption: &'static str,
    /// Its lines.
    pub lines: &'static [PlotLine],
    /// True if it is drawn for a single run, and not only to compare runs.
    pub alone: bool,
}

/// A line in a plot of a run.
#[derive(Clone, Copy, Debug)]
pub struct PlotLine {
    /// The index of its quantity in [`QUANTITIES`].
    pub quantity: usize,
    /// Its name in the legend.
    pub legend: &'static str,
    /// The title of a plot of this quantity alone.
    pub title: &'static str,
}

const fn line(quantity_name: &str, legend: &'static str, title: &'static str) -> PlotLine {
    PlotLine { quantity: quantity(quantity_name), legend, title }
}

/// The plots of a run, in a picture and in the app. The first line of each determines its axis.
pub static PLOTS: [Plot; 6] = [
    Plot {
        title: "loss",
        caption: "loss",
        lines: const { &[line("loss", "trained", "loss"), line("held_out_loss", "held-out", "held-out loss")] },
        alone: true,
    },
    Plot {
        title: "KL(teacher‖student)",
        caption: "KL(teacher‖student)",
        lines: const { &[line("kl", "trained", "KL(teacher‖student)"), line("held_out_kl", "held-out", "held-out KL")] },
        alone: true,
    },
    Plot {
        title: "flip-flop ratio",
        caption: "flip-flop ratio",
        lines: const { &[line("flip_ratio", "all binarized weights", "flip-flop ratio")] },
        alone: true,
    },
    Plot {
        title: "gradient norm",
        caption: "gradient norm before clipping",
        lines: const { &[line("norm", "before clipping", "gradient norm")] },
        alone: true,
    },
    Plot { title: "learning rate", caption: "learning rate", lines: const { &[line("lr", "rate", "learning rate")] }, alone: true },
    Plot { title: "speed", caption: "tokens a second", lines: const { &[line("tokens_per_s", "tokens/s", "tokens/s")] }, alone: false },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Losses;
    use std::collections::BTreeSet;

    /// Fields of [`Metrics`] that are not quantities: the flips of each matrix, and fields that are not numbers.
    const NO_QUANTITIES: [&str; 3] = ["flips", "taken", "changed"];

    /// Returns a step with all fields.
    fn full() -> Metrics {
        Metrics {
            ad: Some(1.0),
            kl: Some(2.0),
            norm: Some(3.0),
            flips: vec![0.5; 7],
            threshold: Some(4.0),
            changed: serde_json::from_str(r#"{"lr": 0.5, "sample_prompt": "hi"}"#).unwrap(),
            held_out: Some(Losses::new(Term::ALL.map(|term| (term, 5.0)))),
            held_out_loss: Some(5.5),
            ..Metrics::default()
        }
    }

    #[test]
    fn every_field_of_a_step_is_a_quantity_or_listed_as_none() {
        let fields: BTreeSet<String> = serde_json::to_value(full()).unwrap().as_object().unwrap().keys().cloned().collect();
        let named: BTreeSet<String> = QUANTITIES.iter().map(|row| row.field).chain(NO_QUANTITIES).map(String::from).collect();
        assert_eq!(fields, named);
        for row in &QUANTITIES {
            assert!(row.recorded(&full()).is_some() && row.drawn(&full()).is_some(), "{} is not read", row.name);
            assert_eq!(QUANTITIES.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
        }
    }

    #[test]
    fn every_quantity_is_in_the_docs_with_its_unit() {
        let root = env!("CARGO_MANIFEST_DIR");
        let docs = ["docs/metrics.md", "docs/losses.md"].map(|path| std::fs::read_to_string(format!("{root}/{path}")).unwrap());
        for row in &QUANTITIES {
            let line = docs[0].lines().find(|line| line.starts_with(&format!("| `{}` |", row.field)));
            let line = line.unwrap_or_else(|| panic!("docs/metrics.md has no row of {}", row.field));
            assert!(line.contains(&format!("| {} |", row.unit.name())), "docs/metrics.md has another unit of {}: {line}", row.field);
            if let Read::HeldOut(term) = row.read {
                assert!(docs[1].contains(&format!("`{}`", term.name())), "docs/losses.md has no term {}", term.name());
            }
        }
        for name in NO_QUANTITIES {
            assert!(docs[0].lines().any(|line| line.starts_with(&format!("| `{name}` |"))), "docs/metrics.md has no row of {name}");
        }
    }

    #[test]
    fn every_curve_is_in_a_plot_or_compared_on_held_out_text() {
        for (n, row) in QUANTITIES.iter().enumerate() {
            let plotted = PLOTS.iter().flat_map(|plot| plot.lines).any(|line| line.quantity == n);
            let compared = matches!(row.read, Read::HeldOut(_)) && row.compared.is_some();
            assert_eq!(row.curve, plotted || compared, "{}", row.name);
        }
    }

    #[test]
    fn without_a_teacher_or_signs_their_quantities_are_not_drawn() {
        let metrics = Metrics { ad: None, kl: None, flips: Vec::new(), ..full() };
        let drawn = |name: &str| QUANTITIES[quantity(name)].drawn(&metrics);
        assert!(["held_out_ad", "held_out_kl", "held_out_reverse", "held_out_js", "flip_ratio", "kl"].iter().all(|name| drawn(name).is_none()));
        assert_eq!((drawn("held_out_ar"), drawn("held_out_loss")), (Some(5.0), Some(5.5)));
    }
}
