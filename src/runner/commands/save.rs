//! Saves text and reports. Existing files are not replaced: the new file gets a number.

use crate::conform::Report;
use crate::platform;
use crate::runner::Event;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Saves a text, under the first free name.
pub(super) fn text(path: &Path, text: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    let stem = free_path(&path.with_extension(""), &[&ending])?;
    let file = with_ending(&stem, &ending);
    write(&file, text)?;
    emit(Event::Note { text: format!("saved as {}", file.display()) });
    Ok(())
}

/// Saves a report to `PATH.md` and `PATH.json`, under the first free name.
pub(super) fn report(path: &Path, report: &Report, emit: &mut dyn FnMut(Event)) -> Result<()> {
    let stem = free_path(path, &["md", "json"])?;
    report_as(&stem, report)?;
    emit(Event::Note { text: format!("saved as {0}.md and {0}.json", stem.display()) });
    Ok(())
}

/// Writes a report as Markdown and JSON, each atomically, replacing existing files.
pub(super) fn report_as(stem: &Path, report: &Report) -> Result<()> {
    write(&with_ending(stem, "md"), &report.markdown())?;
    write(&with_ending(stem, "json"), &(serde_json::to_string_pretty(report)? + "\n"))
}

fn write(file: &Path, text: &str) -> Result<()> {
    platform::write_atomic(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// Appends `.ending` to a path's name, which may contain dots.
fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    stem.with_file_name(if ending.is_empty() { name.into_owned() } else { format!("{name}.{ending}") })
}

/// Returns `path`, or the first of `path-2`, `path-3`, … that is free, if a file with one of the endings exists. Creates its
/// folder.
fn free_path(path: &Path, endings: &[&str]) -> Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("cannot write {}: not a file name", path.display()))?.to_string_lossy().into_owned();
    if let Some(folder) = path.parent() {
        platform::make_dir(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let numbered = |n: u32| if n == 1 { path.to_path_buf() } else { path.with_file_name(format!("{name}-{n}")) };
    let taken = |stem: &Path| endings.iter().any(|ending| platform::exists(&with_ending(stem, ending)));
    Ok((1..).map(numbered).find(|stem| !taken(stem)).expect("there are more numbers than files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_files_are_never_replaced() {
        let scratch = std::env::temp_dir().join(format!("signet-save-{}", std::process::id()));
        platform::remove_dir(&scratch).unwrap();
        let path = scratch.join("new folder/bench 1.5.txt");
        for n in 1..4 {
            let mut note = String::new();
            text(&path, &format!("text {n}"), &mut |event| note = format!("{event:?}")).unwrap();
            let name = if n == 1 { "bench 1.5.txt".into() } else { format!("bench 1.5-{n}.txt") };
            assert!(note.contains(&name), "{note}");
            assert_eq!(platform::read_text(&path.with_file_name(name)).unwrap(), format!("text {n}"));
        }
        let error = format!("{:#}", text(Path::new("/"), "x", &mut |_| {}).unwrap_err());
        assert!(error.contains("not a file name"), "{error}");
        let error = format!("{:#}", text(&path.join("below a file/x.txt"), "x", &mut |_| {}).unwrap_err());
        assert!(error.contains("cannot create the folder"), "{error}");
        platform::remove_dir(&scratch).unwrap();
    }
}
