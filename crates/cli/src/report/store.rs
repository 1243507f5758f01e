//! The report on disk. It is written after every change, so that an interrupted report is resumed from it.

use super::markdown;
use super::record::Record;
use anyhow::{Context, Result, bail};
use signet::runner;
use std::path::Path;

/// Name of the report as data.
pub(super) const JSON: &str = "report.json";
/// Name of the report as text.
pub(super) const MARKDOWN: &str = "report.md";

/// Writes the report atomically, as JSON and as Markdown.
pub(super) fn save(record: &Record, folder: &Path) -> Result<()> {
    let json = serde_json::to_vec_pretty(record).expect("a report is plain data");
    for (name, bytes) in [(JSON, json), (MARKDOWN, markdown::render(record).into_bytes())] {
        let path = folder.join(name);
        runner::write_atomic(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Continues the report in a folder, or returns the new one if there is none. Ended parts keep their results.
pub(super) fn resume(new: Record, folder: &Path) -> Result<Record> {
    let path = folder.join(JSON);
    if !runner::is_file(&path) {
        return Ok(new);
    }
    let advice = || format!("cannot resume the report {}. Pass another --out, or delete that folder", path.display());
    let bytes = runner::read(&path).with_context(advice)?;
    let found: Record = serde_json::from_slice(&bytes).with_context(advice)?;
    let same = |report: &Record| (report.version, report.signet.clone(), report.sources.clone(), report.device.clone(), report.quick);
    if same(&found) != same(&new) {
        bail!(
            "cannot resume the report {}: it was begun by Signet {} (sources {}) with --device {}{}, not by this program with these options. Pass another --out, or \
             delete that folder",
            path.display(),
            found.signet,
            found.sources,
            found.device,
            if found.quick { " --quick" } else { "" }
        );
    }
    Ok(new.with_results_of(found))
}

#[cfg(test)]
mod tests {
    use super::super::record::Status;
    use super::*;

    #[test]
    fn a_saved_report_is_resumed_and_one_with_other_options_is_refused() {
        let folder = std::env::temp_dir().join(format!("signet-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let new = |device: &str| Record::new(device, true, 0, &["devices", "conform"]);
        let mut report = new("cpu");
        report.parts[0].end(Status::Failed, "no driver");
        save(&report, &folder).unwrap();
        assert_eq!(resume(new("cpu"), &folder).unwrap(), report);
        let refused = resume(new("auto"), &folder).unwrap_err().to_string();
        assert!(refused.contains("--device cpu --quick") && refused.contains("Pass another --out"), "{refused}");
        std::fs::write(folder.join(JSON), "{").unwrap();
        let refused = resume(new("cpu"), &folder).unwrap_err().to_string();
        assert!(refused.contains("cannot resume the report"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
