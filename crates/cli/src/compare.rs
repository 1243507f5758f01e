//! `signet compare`.

use super::output::{self, put};
use anyhow::Result;
use clap::Args;
use signet::runner::{Average, Axis, Command, CompareColumn, CompareReport, CompareRequest, Event, Runner};
use std::path::PathBuf;

/// Compare runs on held-out text.
///
/// Runs that differ only in the seed are one group, reported as mean ± sample standard deviation. Held-out metrics are at temperature 1,
/// whatever the training objective: KL(teacher‖student), KL(student‖teacher), the Jensen–Shannon divergence, and the next-token
/// cross-entropy.
#[derive(Args)]
pub(super) struct Compare {
    /// Run directories, or folders with runs.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Also plot the curves of the runs to this file, .svg or .png.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Plot against tokens instead of steps.
    #[arg(long, requires = "out")]
    tokens: bool,
    /// Print the comparison as one JSON object.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the table as CSV instead of Markdown.
    #[arg(long)]
    csv: bool,
}

impl Compare {
    /// Returns true if it writes no file.
    pub(super) fn only_prints(&self) -> bool {
        self.out.is_none()
    }

    pub(super) fn run(self, runner: &mut Runner) -> Result<()> {
        let Self { runs, out, tokens, json, csv } = self;
        let axis = if tokens { Axis::Tokens } else { Axis::Steps };
        runner.run(Command::Compare(CompareRequest { runs, out, axis }), &mut |event| match &event {
            Event::Compared(_) if json => output::put_json(&event),
            Event::Compared(report) => {
                put(&if csv { csv_table(report) } else { table(report) });
                report.warnings.iter().for_each(|warning| output::note(&format!("note: {warning}")));
            }
            Event::Note { text } => output::note(text),
            Event::Exported { out, .. } => output::note(&format!("curves in {}", out.display())),
            _ => {}
        })
    }
}

/// Returns a Markdown table with aligned columns.
fn table(report: &CompareReport) -> String {
    let columns = report.columns();
    let heads = columns.iter().map(|column| column.head.clone());
    let mut rows = vec![["group", "runs"].map(String::from).into_iter().chain(heads).collect::<Vec<_>>()];
    for group in &report.groups {
        let cell = |column: &CompareColumn| match group.average(column.name) {
            None => "–".into(),
            // The values of a group are equal, unless a run is not finished.
            Some(Average { mean, deviation, .. }) if deviation.is_none_or(|deviation| deviation == 0.0) => column.unit.show(mean),
            Some(Average { mean, deviation, .. }) => format!("{} ± {}", column.unit.show(mean), column.unit.show(deviation.unwrap_or_default())),
        };
        rows.push([group.name.clone(), group.runs.len().to_string()].into_iter().chain(columns.iter().map(cell)).collect());
    }
    let widths: Vec<usize> = (0..rows[0].len()).map(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(n, (cell, &width))| if n == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        text += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        if n == 0 {
            let rules = widths.iter().enumerate().map(|(n, width)| if n == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" });
            text += &format!("| {} |\n", rules.collect::<Vec<_>>().join(" | "));
        }
    }
    text
}

/// Returns a CSV table, each value with its standard deviation in a separate column. Formatted by hand, since only the group is
/// quoted, which the crate `csv` does not support.
fn csv_table(report: &CompareReport) -> String {
    let columns = report.columns();
    let names = columns.iter().map(|column| format!("{0},{0}_sd", column.name)).collect::<Vec<_>>().join(",");
    let mut text = format!("group,runs,best_by,{names}\n");
    for group in &report.groups {
        let number = |number: Option<f64>| number.map_or(String::new(), |number| number.to_string());
        let cells = columns.iter().map(|column| group.average(column.name)).map(|average| match average {
            Some(Average { mean, deviation, .. }) => format!("{mean},{}", number(deviation)),
            None => ",".into(),
        });
        let cells = cells.collect::<Vec<_>>().join(",");
        text += &format!("\"{}\",{},{},{cells}\n", group.name.replace('"', "\"\""), group.runs.len(), report.best_by);
    }
    text
}
