//! The report as data: its options and the result of each part.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Format version of `report.json`.
const VERSION: u32 = 1;
/// Starts of a part after which it is not tried again: it has twice ended the report, and perhaps the machine.
const MAX_STARTS: u32 = 2;

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Format version.
    pub(super) version: u32,
    /// Version of Signet.
    pub(super) signet: String,
    /// Hash of the library's sources.
    pub(super) sources: String,
    /// Operating system and architecture.
    pub(super) system: String,
    /// The value of `--device`.
    pub(super) device: String,
    /// True if the parts are as small as possible, so that figures mean nothing.
    pub(super) quick: bool,
    /// Minutes for the run with curves.
    pub(super) minutes: u64,
    /// All parts, in order.
    pub(super) parts: Vec<PartRecord>,
}

/// A part of the report and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PartRecord {
    /// Its name, for `--parts`.
    pub(super) name: String,
    /// The command that was run.
    pub(super) command: String,
    /// Its time limit in seconds.
    pub(super) limit: f64,
    /// Its state.
    pub(super) status: Status,
    /// The reason why it has no result, or only a part of it.
    pub(super) reason: String,
    /// Seconds that it took.
    pub(super) seconds: f64,
    /// Times that it was started without an end.
    pub(super) starts: u32,
    /// Results: JSON objects that the command printed.
    pub(super) results: Vec<Value>,
    /// The last lines of its standard error.
    pub(super) errors: Vec<String>,
}

/// The state of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// Not yet started.
    Waiting,
    /// Started. In a file that is resumed: the report was killed during it.
    Running,
    /// Finished.
    Done,
    /// Ended with an error or a crash.
    Failed,
    /// Ended at its time limit.
    TimedOut,
    /// Not run, for the reason given.
    Skipped,
}

impl Status {
    /// Its name in reports.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Waiting => "not yet run",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Skipped => "not run",
        }
    }
}

impl PartRecord {
    /// A part that has not been started.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            command: String::new(),
            limit: 0.0,
            status: Status::Waiting,
            reason: String::new(),
            seconds: 0.0,
            starts: 0,
            results: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Ends the part.
    pub(super) fn end(&mut self, status: Status, reason: impl Into<String>) {
        (self.status, self.reason, self.starts) = (status, reason.into(), 0);
    }
}

impl Record {
    /// A report without results.
    pub(super) fn new(device: &str, quick: bool, minutes: u64, parts: &[&str]) -> Self {
        Self {
            version: VERSION,
            signet: env!("CARGO_PKG_VERSION").into(),
            sources: env!("SIGNET_SOURCES").into(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            device: device.into(),
            quick,
            minutes,
            parts: parts.iter().map(|name| PartRecord::new(name)).collect(),
        }
    }

    /// Takes over the results of an earlier record. A part that was killed or skipped is waiting again; one that was
    /// killed twice has failed.
    pub(super) fn with_results_of(mut self, earlier: Self) -> Self {
        let more_time = self.minutes > earlier.minutes;
        for part in earlier.parts {
            // A part that was skipped may be possible now, and takes no time if it is not.
            let Some(own) = self.parts.iter_mut().find(|own| own.name == part.name && part.status != Status::Skipped) else { continue };
            *own = part;
            match own.status {
                Status::Running if own.starts >= MAX_STARTS => {
                    own.end(Status::Failed, format!("the report was killed {MAX_STARTS} times during this part, or the machine stopped"));
                }
                Status::Running => own.status = Status::Waiting,
                _ if more_time && own.name == super::parts::CURVE => own.status = Status::Waiting,
                _ => {}
            }
        }
        self
    }

    /// The results of a part; none if there is no part of this name.
    pub(super) fn results(&self, name: &str) -> &[Value] {
        self.parts.iter().find(|part| part.name == name).map_or(&[], |part| &part.results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(statuses: &[(&str, Status, u32)]) -> Record {
        let mut record = Record::new("cpu", true, 0, &[]);
        let part = |(name, status, starts): &(&str, Status, u32)| PartRecord { status: *status, starts: *starts, ..PartRecord::new(name) };
        record.parts = statuses.iter().map(part).collect();
        record
    }

    #[test]
    fn a_killed_part_is_repeated_once_and_ended_parts_are_kept() {
        let names = ["a", "b", "c", "new"];
        let earlier = record(&[("a", Status::Done, 0), ("b", Status::Running, 1), ("c", Status::Running, 2), ("gone", Status::Done, 0)]);
        let resumed = Record::new("cpu", true, 0, &names).with_results_of(earlier);
        let statuses: Vec<Status> = resumed.parts.iter().map(|part| part.status).collect();
        assert_eq!(statuses, [Status::Done, Status::Waiting, Status::Failed, Status::Waiting]);
        assert_eq!(resumed.parts[1].starts, 1, "it counts when it is started again");
        assert!(resumed.parts[2].reason.contains("killed 2 times"), "{}", resumed.parts[2].reason);
    }

    #[test]
    fn more_minutes_continue_the_run_with_curves() {
        let earlier = record(&[(super::super::parts::CURVE, Status::Done, 0)]);
        let names = [super::super::parts::CURVE];
        for (minutes, status) in [(0, Status::Done), (10, Status::Waiting)] {
            assert_eq!(Record::new("cpu", true, minutes, &names).with_results_of(earlier.clone()).parts[0].status, status);
        }
    }
}
