//! `signet report`: measures a machine part by part and writes a report that can be attached to an issue.

mod execute;
mod markdown;
mod parts;
mod progress;
mod record;
mod store;

use super::output::note;
use anyhow::{Context, Result, bail};
use clap::{Args, value_parser};
use execute::{Executor, PartEnd};
use parts::Part;
use progress::ReportProgress;
use record::{Record, Status};
use signet::runner::{self, Lock, Stop};
use std::path::{Path, PathBuf};

/// Measure this machine and write a report: devices, conformance, kernel tuning, speed, and training. A report that was interrupted is resumed.
#[derive(Args)]
#[cfg_attr(test, derive(Default))]
pub(super) struct Report {
    /// Device to measure: auto, cpu, or an adapter's name or index (see `signet devices`).
    #[arg(long, default_value = "auto")]
    device: String,
    /// Folder for report.md, report.json, and the runs. An existing report in it is resumed.
    #[arg(long, value_name = "DIR", default_value = "signet-report")]
    out: PathBuf,
    /// Minutes for a training of the 130M model with its curves; 0 skips it.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// Time limit of each other part in minutes, where its own is longer.
    #[arg(long, value_name = "MINUTES", value_parser = value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Run only these parts, separated by commas, such as devices,conform.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    parts: Vec<String>,
    /// Use the smallest models and few steps, to try out the report. Its figures mean nothing.
    #[arg(long)]
    quick: bool,
}

impl Report {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        let parts = parts::parts(&self);
        let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        if let Some(unknown) = self.parts.iter().find(|name| !names.contains(&name.as_str())) {
            bail!("--parts: there is no part {unknown:?}; the parts are {}", names.join(", "));
        }
        let folder = &self.out;
        runner::make_dir(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let lock = folder.join(".lock");
        let held = Lock::try_acquire(&lock).with_context(|| format!("cannot lock {}", lock.display()))?;
        if held.is_none() {
            bail!("cannot write the report in {}: another `signet report` is writing it. Wait for its end, or pass another --out", folder.display());
        }
        let mut record = store::resume(Record::new(&self.device, self.quick, self.minutes, &names), folder)?;
        let program = std::env::current_exe().context("cannot find the path of this program")?;
        let mut progress = ReportProgress::new(parts.len());
        let all = run_parts(&parts, &self.parts, &mut record, folder, &mut |part, record, at| {
            let left = parts[at + 1..].iter().zip(&record.parts[at + 1..]).filter(|(_, part)| part.status == Status::Waiting);
            progress.begin(at, part.name, part.limit, left.map(|(part, _)| part.limit).sum());
            let executor = Executor { program: program.clone(), folder, stop, progress: &progress };
            let end = executor.run(part, record, at)?;
            if let PartEnd::Ended(status, reason) = &end {
                progress.end(&format!("{}: {}{}", part.name, status.text(), if reason.is_empty() { String::new() } else { format!(", {reason}") }));
            }
            Ok(end)
        });
        progress.close();
        if !all? {
            bail!("interrupted; the same command resumes the report in {}", folder.display());
        }
        note(&format!("the report is complete. Attach {} and {}", folder.join(store::MARKDOWN).display(), folder.join(store::JSON).display()));
        Ok(())
    }
}

/// Runs the waiting parts that are selected, all if none is named. The record is written before and after each. Returns false if
/// the user stopped it.
fn run_parts(
    parts: &[Part], selected: &[String], record: &mut Record, folder: &Path, execute: &mut dyn FnMut(&Part, &mut Record, usize) -> Result<PartEnd>,
) -> Result<bool> {
    for (part, own) in parts.iter().zip(&mut record.parts) {
        if own.status == Status::Waiting && !selected.is_empty() && !selected.iter().any(|name| name == part.name) {
            own.end(Status::Skipped, "not selected (--parts)");
        }
    }
    for (at, part) in parts.iter().enumerate() {
        let own = &mut record.parts[at];
        if own.status != Status::Waiting {
            continue;
        }
        (own.status, own.limit, own.reason) = (Status::Running, part.limit, String::new());
        own.starts += 1;
        own.errors.clear();
        if part.name != parts::CURVE {
            (own.results, own.seconds) = (Vec::new(), 0.0);
        }
        store::save(record, folder)?;
        let ended = execute(part, record, at)?;
        let own = &mut record.parts[at];
        match ended {
            PartEnd::Ended(status, reason) => own.end(status, reason),
            PartEnd::Interrupted => {
                own.status = Status::Waiting;
                own.starts -= 1;
                store::save(record, folder)?;
                return Ok(false);
            }
        }
        store::save(record, folder)?;
    }
    store::save(record, folder)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder and an empty record of all parts.
    fn begun(name: &str) -> (PathBuf, Vec<Part>, Record) {
        let folder = std::env::temp_dir().join(format!("signet-report-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let parts = parts::parts(&Report { quick: true, device: "cpu".into(), ..Report::default() });
        let record = Record::new("cpu", true, 0, &parts.iter().map(|part| part.name).collect::<Vec<_>>());
        (folder, parts, record)
    }

    fn read(folder: &Path) -> Record {
        serde_json::from_slice(&std::fs::read(folder.join(store::JSON)).unwrap()).unwrap()
    }

    #[test]
    fn a_failed_part_costs_only_itself() {
        let (folder, parts, mut record) = begun("failed");
        let finished = run_parts(&parts, &[], &mut record, &folder, &mut |part, _, at| {
            // It is on disk before it is started.
            assert_eq!(read(&folder).parts[at].status, Status::Running);
            let failed = part.name == "conform";
            Ok(if failed { PartEnd::Ended(Status::Failed, "lost the device".into()) } else { PartEnd::Ended(Status::Done, String::new()) })
        });
        assert!(finished.unwrap());
        let failed: Vec<_> = read(&folder).parts.into_iter().filter(|part| part.status != Status::Done).collect();
        assert_eq!(failed.iter().map(|part| (&*part.name, &*part.reason)).collect::<Vec<_>>(), [("conform", "lost the device")]);
        let text = std::fs::read_to_string(folder.join(store::MARKDOWN)).unwrap();
        assert!(text.contains("| conform | failed |") && text.contains("lost the device"), "{text}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_interrupted_report_is_resumed_where_it_stopped() {
        let (folder, parts, mut record) = begun("interrupted");
        let stopped = run_parts(&parts, &[], &mut record, &folder, &mut |_, _, at| {
            Ok(if at == 3 { PartEnd::Interrupted } else { PartEnd::Ended(Status::Done, String::new()) })
        });
        assert!(!stopped.unwrap());
        let mut record = store::resume(begun("interrupted").2, &folder).unwrap();
        let mut run = Vec::new();
        let finished = run_parts(&parts, &[], &mut record, &folder, &mut |_, _, at| {
            run.push(at);
            Ok(PartEnd::Ended(Status::Done, String::new()))
        });
        assert!(finished.unwrap());
        assert_eq!(run, (3..parts.len()).collect::<Vec<_>>());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn parts_that_are_not_selected_are_skipped_and_run_by_a_later_report() {
        let (folder, parts, mut record) = begun("selected");
        let done = &mut |_: &Part, _: &mut Record, _| Ok(PartEnd::Ended(Status::Done, String::new()));
        assert!(run_parts(&parts, &["matmul".into()], &mut record, &folder, done).unwrap());
        let count = |record: &Record, status| record.parts.iter().filter(|part| part.status == status).count();
        assert_eq!((count(&record, Status::Done), count(&record, Status::Skipped)), (1, parts.len() - 1));
        let mut record = store::resume(begun("selected").2, &folder).unwrap();
        assert!(run_parts(&parts, &[], &mut record, &folder, done).unwrap());
        assert_eq!(count(&record, Status::Done), parts.len());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
