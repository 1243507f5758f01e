//! The results of a run, as text, Markdown and JSON.

use crate::compiled::{Compiled, REGISTERS};
use crate::translate::Translation;
use serde::Serialize;
use std::fmt::Write;

/// All results.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Why no target could run.
    pub(crate) not_run: Option<String>,
    pub(crate) targets: Vec<TargetReport>,
    pub(crate) translations: Vec<Translation>,
}

/// The results of one GPU architecture.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TargetReport {
    pub(crate) architecture: &'static str,
    /// The family, as the driver is asked for it.
    pub(crate) family: String,
    /// Name of the device, name and version of the driver.
    pub(crate) device: String,
    /// The cooperative matrices that the driver lists.
    pub(crate) cooperative: String,
    /// Vector registers of an invocation that the compiler knows to use.
    pub(crate) registers: u64,
    /// Why it was not run.
    pub(crate) not_run: Option<String>,
    pub(crate) kernels: Vec<Row>,
}

/// A kernel on one architecture.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) kernel: &'static str,
    pub(crate) outcome: Outcome,
}

/// The outcome of a compilation.
#[derive(Debug, Serialize)]
pub(crate) enum Outcome {
    Compiled(Compiled),
    /// The device does not meet these requirements: no program uses the kernel there.
    NotOffered(String),
    Failed(String),
}

/// Titles of the columns.
const TITLES: [&str; 10] =
    ["kernel", "waves", "VGPRs", "SGPRs", "spills", "LDS bytes", "instructions", "FMAs in the hot loop", "latency", "inverse throughput"];

impl Report {
    /// Every failure, one line each. A spill is none where the compiler does not use all registers.
    pub(crate) fn failures(&self) -> Vec<String> {
        let compiled = self.targets.iter().flat_map(|target| {
            target.kernels.iter().filter_map(move |row| {
                let fault = match &row.outcome {
                    Outcome::Compiled(compiled) => compiled.fault().filter(|_| target.registers >= REGISTERS)?,
                    Outcome::Failed(error) => error.clone(),
                    Outcome::NotOffered(_) => return None,
                };
                Some(format!("{}, {}: {fault}", target.family, row.kernel))
            })
        });
        let translated = self
            .translations
            .iter()
            .flat_map(|translation| translation.failed.iter().map(|(kernel, error)| format!("{}, {kernel}: {error}", translation.name)));
        compiled.chain(translated).collect()
    }

    /// One line for each part that was run: targets, then translations.
    pub(crate) fn summary(&self) -> Vec<String> {
        let targets = self.targets.iter().map(TargetReport::summary);
        let translations = self.translations.iter().map(|translation| {
            let (name, done, not_offered) = (translation.name, translation.done, translation.not_offered.len());
            match &translation.not_run {
                Some(why) => format!("{name}: NOT RUN: {why}"),
                None if not_offered == 0 => format!("{name}: {done} translated"),
                None => format!("{name}: {done} translated, {not_offered} not offered"),
            }
        });
        self.not_run.iter().map(|why| format!("RADV: NOT RUN: {why}")).chain(targets).chain(translations).collect()
    }

    /// The tables as text.
    pub(crate) fn text(&self) -> String {
        let tables = self.targets.iter().filter(|target| !target.kernels.is_empty()).map(|target| {
            let rows = target.rows();
            let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
            let line = |row: &[String; 10]| {
                let cells = row.iter().zip(&widths).enumerate();
                cells.fold(String::new(), |mut line, (column, (cell, &width))| {
                    let written = if column == 0 { write!(line, "{cell:width$}") } else { write!(line, "  {cell:>width$}") };
                    written.expect("a string");
                    line
                })
            };
            let lines: Vec<String> = rows.iter().map(|row| line(row).trim_end().to_owned()).collect();
            format!("{}\n\n{}\n{}", target.title(), lines.join("\n"), target.notes("  ", "\n"))
        });
        tables.collect::<Vec<_>>().join("\n")
    }

    /// The tables as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let tables = self.targets.iter().filter(|target| !target.kernels.is_empty()).map(|target| {
            let mut rows = target.rows().into_iter().map(|row| format!("| {} |", row.join(" | ")));
            let head = rows.next().unwrap_or_default();
            let rule = format!("|---|{}", "---:|".repeat(TITLES.len() - 1));
            format!("{}.\n\n{head}\n{rule}\n{}\n{}", target.title(), rows.collect::<Vec<_>>().join("\n"), target.notes("\n- ", ""))
        });
        tables.collect::<Vec<_>>().join("\n\n") + "\n"
    }
}

impl TargetReport {
    /// Architecture, device and driver.
    fn title(&self) -> String {
        format!("{} ({}): {}; cooperative matrices: {}", self.architecture, self.family, self.device, self.cooperative)
    }

    fn summary(&self) -> String {
        let Self { architecture, family, .. } = self;
        if let Some(why) = &self.not_run {
            return format!("{architecture} ({family}): NOT RUN: {why}");
        }
        let compiled: Vec<&Compiled> = self.compiled().map(|(_, compiled)| compiled).collect();
        let not_offered = self.kernels.iter().filter(|row| matches!(row.outcome, Outcome::NotOffered(_))).count();
        let mut spilling = format!("{} with spills", compiled.iter().filter(|compiled| compiled.spills > 0).count());
        if self.registers < REGISTERS {
            spilling += &format!(" (no failure: this compiler uses {} of {REGISTERS} vector registers)", self.registers);
        }
        let longest = compiled.iter().map(|compiled| compiled.seconds).fold(0.0, f64::max);
        format!(
            "{architecture} ({family}): {} compiled, {spilling}, {not_offered} not offered; the longest took {longest:.1} s; {}",
            compiled.len(),
            self.device
        )
    }

    fn compiled(&self) -> impl Iterator<Item = (&'static str, &Compiled)> {
        self.kernels.iter().filter_map(|row| if let Outcome::Compiled(compiled) = &row.outcome { Some((row.kernel, compiled)) } else { None })
    }

    /// The cells of the table, titles first.
    fn rows(&self) -> Vec<[String; 10]> {
        let row = |(kernel, compiled): (&str, &Compiled)| {
            let hot = compiled.hot_loop.map_or_else(
                || "no loop".into(),
                |hot| {
                    let products = hot.counts.multiply_adds + hot.counts.matrix;
                    let unit = if hot.counts.matrix > 0 { " WMMA" } else { "" };
                    format!("{products}{unit} of {} ({:.0}%)", hot.counts.total(), 100.0 * hot.counts.share())
                },
            );
            let numbers =
                [compiled.waves, compiled.vgprs, compiled.sgprs, compiled.spills, compiled.workgroup_bytes, compiled.instructions].map(|n| n.to_string());
            let [waves, vgprs, sgprs, spills, workgroup_bytes, instructions] = numbers;
            let cycles = [compiled.latency, compiled.inverse_throughput].map(|n| n.to_string());
            let [latency, throughput] = cycles;
            [kernel.to_owned(), waves, vgprs, sgprs, spills, workgroup_bytes, instructions, hot, latency, throughput]
        };
        std::iter::once(TITLES.map(String::from)).chain(self.compiled().map(row)).collect()
    }

    /// The kernels that were not compiled, those of one reason in a line, between `before` and `after`.
    fn notes(&self, before: &str, after: &str) -> String {
        let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
        for row in &self.kernels {
            let reason = match &row.outcome {
                Outcome::Compiled(_) => continue,
                Outcome::NotOffered(lacks) => format!("not offered, for want of {lacks}"),
                Outcome::Failed(error) => format!("FAILED: {error}"),
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, kernels)) => kernels.push(row.kernel),
                None => reasons.push((reason, vec![row.kernel])),
            }
        }
        reasons.iter().map(|(reason, kernels)| format!("{before}{}: {reason}{after}", kernels.join(", "))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::{Counts, Loop};

    fn compiled(spills: u64) -> Compiled {
        let counts = Counts { multiply_adds: 64, vector: 8, workgroup_memory: 4, ..Counts::default() };
        Compiled {
            vgprs: 104,
            sgprs: 44,
            spills,
            scratch_bytes: 4 * spills,
            workgroup_bytes: 16_384,
            waves: 9,
            subgroup: 64,
            instructions: 2190,
            code_bytes: 16_000,
            latency: 12_345,
            inverse_throughput: 6789,
            hot_loop: Some(Loop { depth: 2, counts }),
            seconds: 0.25,
        }
    }

    fn report(outcomes: Vec<Outcome>) -> Report {
        let kernels = ["matmul/tiled", "matmul/few", "matmul.coop/tiled.small", "add/forward"].into_iter().zip(outcomes);
        let kernels = kernels.map(|(kernel, outcome)| Row { kernel, outcome }).collect();
        let (family, device, cooperative) = ("navi31".into(), "a GPU".into(), "none".into());
        let target = TargetReport { architecture: "RDNA 3", family, device, cooperative, registers: REGISTERS, not_run: None, kernels };
        Report { targets: vec![target], ..Report::default() }
    }

    #[test]
    fn a_spill_and_a_failure_fail_and_a_kernel_that_is_not_offered_does_not() {
        let report = report(vec![
            Outcome::Compiled(compiled(0)),
            Outcome::Compiled(compiled(3)),
            Outcome::NotOffered("cooperative matrices of 8×8 in f16".into()),
            Outcome::Failed("did not end within 60 s, and was stopped".into()),
        ]);
        let failures = ["matmul/few: spills 3 registers (12 bytes of scratch memory)", "add/forward: did not end within 60 s, and was stopped"];
        assert_eq!(report.failures(), failures.map(|failure| format!("navi31, {failure}")));
        assert_eq!(report.summary(), ["RDNA 3 (navi31): 2 compiled, 1 with spills, 1 not offered; the longest took 0.2 s; a GPU"]);
        let text = report.text();
        assert!(text.contains("matmul.coop/tiled.small: not offered, for want of cooperative matrices of 8×8 in f16\n"), "{text}");
        assert!(text.contains("add/forward: FAILED: did not end within 60 s"), "{text}");
    }

    #[test]
    fn a_spill_is_no_failure_where_the_compiler_does_not_use_all_registers() {
        let mut report = report(vec![Outcome::Compiled(compiled(3))]);
        report.targets[0].registers = 132;
        assert_eq!(report.failures(), Vec::<String>::new());
        let summary = "1 compiled, 1 with spills (no failure: this compiler uses 132 of 256 vector registers), 0 not offered";
        assert!(report.summary()[0].contains(summary), "{:?}", report.summary());
    }

    #[test]
    fn the_tables_have_a_row_for_each_compiled_kernel() {
        let report = report(vec![Outcome::Compiled(compiled(0))]);
        let markdown = report.markdown();
        let row = "| matmul/tiled | 9 | 104 | 44 | 0 | 16384 | 2190 | 64 of 76 (84%) | 12345 | 6789 |";
        assert!(markdown.contains(&format!("|---:|\n{row}\n")), "{markdown}");
        let words: Vec<&str> = row.split_whitespace().filter(|word| *word != "|").collect();
        assert!(report.text().lines().any(|line| line.split_whitespace().eq(words.iter().copied())), "{}", report.text());
    }

    #[test]
    fn a_target_that_was_not_run_is_no_failure_and_says_so() {
        let target = TargetReport { architecture: "RDNA 4", family: "gfx1201".into(), not_run: Some("unknown family".into()), ..Default::default() };
        let translation = Translation { name: "tint", not_run: Some("tint is not on the PATH".into()), ..Default::default() };
        let report = Report { targets: vec![target], translations: vec![translation], not_run: None };
        assert_eq!(report.failures(), Vec::<String>::new());
        assert_eq!(report.summary(), ["RDNA 4 (gfx1201): NOT RUN: unknown family", "tint: NOT RUN: tint is not on the PATH"]);
    }
}
