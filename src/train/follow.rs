//! Incremental reading of `metrics.jsonl`, also while a run is writing it.

use super::metrics::Metrics;
use super::run_error::RunError;
use crate::formats::checksum;
use crate::platform;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The position of a reader of `metrics.jsonl`; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsPosition {
    /// Bytes read: whole lines.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
    /// Checksum of the last bytes read, to detect that the file was truncated, even if it has grown
    /// since.
    mark: u64,
}

/// Some lines of `metrics.jsonl`.
#[derive(Clone, Debug, Default)]
pub struct MetricsChunk {
    /// The steps.
    pub metrics: Vec<Metrics>,
    /// The position of the next piece.
    pub until: MetricsPosition,
    /// True if the file was truncated by a rollback or a resume: this is the first piece, and all pieces
    /// before are invalid.
    pub restarted: bool,
    /// Errors of lines that are not steps and were skipped, with their positions.
    pub broken: Vec<String>,
    /// True if there is more to read.
    pub more: bool,
}

/// Bytes of a piece: some thousands of lines.
const CHUNK_BYTES: u64 = 2 << 20;
/// Most bytes of a line.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// Bytes before a position that are part of its checksum. Lines end in a time, so that they differ.
const MARKED_BYTES: u64 = 64;

/// Reads the next piece. An incomplete last line is left for the next call; a missing file reads as an
/// empty one.
pub fn read_metrics_chunk(run: &Path, from: MetricsPosition) -> Result<MetricsChunk, RunError> {
    let path = run.join("metrics.jsonl");
    let failed = |error| RunError::Io { path: path.clone(), error };
    let before = from.bytes.min(MARKED_BYTES);
    let mut most = CHUNK_BYTES;
    loop {
        let (bytes, length) = match platform::read_part(&path, from.bytes - before, before + most) {
            Ok(part) => part,
            Err(error) if error.kind() == io::ErrorKind::NotFound && platform::is_dir(run) => {
                return Ok(MetricsChunk { restarted: from.bytes > 0, ..MetricsChunk::default() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RunError::Gone(run.to_path_buf())),
            Err(error) => return Err(failed(error)),
        };
        if bytes.get(..before as usize).is_none_or(|before| mark(before) != from.mark) {
            return Ok(MetricsChunk { restarted: true, ..read_metrics_chunk(run, MetricsPosition::default())? });
        }
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(before as usize, |at| at + 1).max(before as usize);
        let more = from.bytes - before + (bytes.len() as u64) < length;
        if end == before as usize && more {
            if most >= MAX_LINE_BYTES {
                let problem = format!("line {} is too long; the file is damaged from there on", from.lines + 1);
                return Err(RunError::Broken { path, problem });
            }
            most *= 8;
            continue;
        }
        let lines = &bytes[before as usize..end];
        let marked = &bytes[..end];
        let until =
            MetricsPosition { bytes: from.bytes + lines.len() as u64, mark: mark(&marked[marked.len().saturating_sub(MARKED_BYTES as usize)..]), ..from };
        return Ok(parse(&path, lines, MetricsChunk { until, more, ..MetricsChunk::default() }));
    }
}

/// Parses lines into `chunk` and counts them.
fn parse(path: &Path, lines: &[u8], mut chunk: MetricsChunk) -> MetricsChunk {
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        chunk.until.lines += 1;
        match serde_json::from_slice(line) {
            Ok(metrics) => chunk.metrics.push(metrics),
            Err(error) => chunk.broken.push(format!("{}: line {}: {error}", path.display(), chunk.until.lines)),
        }
    }
    chunk
}

fn mark(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { checksum(0, bytes) }
}

/// Returns the last step of a run and the last step with losses on held-out text, if they are among the
/// last bytes of the file.
pub fn read_last(run: &Path) -> Result<(Option<Metrics>, Option<Metrics>), RunError> {
    let path = run.join("metrics.jsonl");
    let failed = |error| RunError::Io { path: path.clone(), error };
    let length = match platform::read_part(&path, 0, 0) {
        Ok((_, length)) => length,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
        Err(error) => return Err(failed(error)),
    };
    let mut most = 1 << 16;
    loop {
        let (bytes, _) = platform::read_part(&path, length.saturating_sub(most), most).map_err(failed)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at);
        let lines = || bytes[..whole].rsplit(|&byte| byte == b'\n');
        let last = lines().find_map(|line| serde_json::from_slice(line).ok());
        let held_out = lines().filter(|line| contains(line, b"\"held_out\":")).find_map(|line| serde_json::from_slice(line).ok());
        if held_out.is_some() || most >= length || most >= 4 << 20 {
            return Ok((last, held_out));
        }
        most *= 4;
    }
}

/// Returns true if `what` is among the last bytes of a line, which has the optional fields there.
fn contains(line: &[u8], what: &[u8]) -> bool {
    let end = &line[line.len().saturating_sub(512)..];
    end.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{append, make_dir, remove_dir, write_atomic};
    use std::path::PathBuf;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("signet-follow-{name}-{}", std::process::id()));
        remove_dir(&dir).unwrap();
        make_dir(&dir).unwrap();
        dir
    }

    fn line(step: u64, seconds: f64) -> String {
        serde_json::to_string(&Metrics { step, seconds, taken: true, flips: vec![1e-3; 28], ..Metrics::default() }).unwrap() + "\n"
    }

    fn steps(chunk: &MetricsChunk) -> Vec<u64> {
        chunk.metrics.iter().map(|metrics| metrics.step).collect()
    }

    #[test]
    fn new_lines_are_read_and_a_truncated_file_from_its_beginning() {
        let run = scratch("new");
        let file = run.join("metrics.jsonl");
        assert!(steps(&read_metrics_chunk(&run, MetricsPosition::default()).unwrap()).is_empty());
        write_atomic(&file, (line(1, 0.5) + &line(2, 1.0) + "{\"step\":3").as_bytes()).unwrap();
        let first = read_metrics_chunk(&run, MetricsPosition::default()).unwrap();
        assert_eq!((steps(&first), first.until.lines, first.more, first.restarted), (vec![1, 2], 2, false, false));
        let nothing = read_metrics_chunk(&run, first.until).unwrap();
        assert_eq!((steps(&nothing), nothing.until), (vec![], first.until));
        // The half line is completed, and another follows.
        append(&file, &line(3, 1.5).as_bytes()["{\"step\":3".len()..]).unwrap();
        append(&file, line(4, 2.0).as_bytes()).unwrap();
        let second = read_metrics_chunk(&run, first.until).unwrap();
        assert_eq!((steps(&second), second.restarted), (vec![3, 4], false));
        // Truncated to step 2 and grown to the same length: the length does not reveal it.
        write_atomic(&file, (line(1, 0.5) + &line(2, 1.0) + &line(3, 3.5) + &line(4, 4.0) + &line(5, 4.5)).as_bytes()).unwrap();
        let third = read_metrics_chunk(&run, second.until).unwrap();
        assert_eq!((steps(&third), third.restarted), (vec![1, 2, 3, 4, 5], true));
        write_atomic(&file, line(1, 0.5).as_bytes()).unwrap();
        let shorter = read_metrics_chunk(&run, third.until).unwrap();
        assert_eq!((steps(&shorter), shorter.restarted), (vec![1], true));
        remove_dir(&run).unwrap();
        assert!(matches!(read_metrics_chunk(&run, shorter.until), Err(RunError::Gone(_))));
    }

    #[test]
    fn a_broken_line_is_reported_and_skipped() {
        let run = scratch("broken");
        write_atomic(&run.join("metrics.jsonl"), (line(1, 0.5) + "\0\0\0\n" + &line(2, 1.0)).as_bytes()).unwrap();
        let chunk = read_metrics_chunk(&run, MetricsPosition::default()).unwrap();
        assert_eq!((steps(&chunk), chunk.broken.len()), (vec![1, 2], 1));
        assert!(chunk.broken[0].contains("metrics.jsonl: line 2: "), "{:?}", chunk.broken);
        remove_dir(&run).unwrap();
    }

    #[test]
    fn a_long_file_is_read_in_pieces_and_its_end_is_found_directly() {
        let run = scratch("long");
        let held = Metrics { held_out: Some(Default::default()), ..serde_json::from_str(&line(4000, 2000.0)).unwrap() };
        let text: String = (1..4000).map(|step| line(step, step as f64 / 2.0)).collect();
        let rest: String = (4001..=9000).map(|step| line(step, step as f64 / 2.0)).collect();
        write_atomic(&run.join("metrics.jsonl"), (text + &serde_json::to_string(&held).unwrap() + "\n" + &rest + "{\"st").as_bytes()).unwrap();
        let (mut position, mut seen, mut pieces) = (MetricsPosition::default(), Vec::new(), 0);
        loop {
            let chunk = read_metrics_chunk(&run, position).unwrap();
            assert!(!chunk.restarted && chunk.broken.is_empty());
            seen.extend(steps(&chunk));
            (position, pieces) = (chunk.until, pieces + 1);
            if !chunk.more {
                break;
            }
        }
        assert_eq!(seen, (1..=9000).collect::<Vec<_>>());
        assert!(pieces > 1, "all in one piece");
        let (last, held_out) = read_last(&run).unwrap();
        assert_eq!((last.unwrap().step, held_out.unwrap().step), (9000, 4000));
        remove_dir(&run).unwrap();
    }

    #[test]
    fn a_loss_that_is_nan_is_read_back() {
        let metrics = Metrics {
            step: 1,
            loss: f64::NAN,
            ar: f64::INFINITY,
            held_out: Some(crate::train::Losses::new([(crate::ops::Term::Ad, f64::NAN), (crate::ops::Term::Ar, 1.0), (crate::ops::Term::KL, 0.5)])),
            ..Default::default()
        };
        let back: Metrics = serde_json::from_str(&serde_json::to_string(&metrics).unwrap()).unwrap();
        assert!(back.loss.is_nan() && back.ar.is_nan());
        assert!(back.held_out.is_some_and(|losses| losses.ad().is_nan() && losses.ar() == 1.0));
    }
}
