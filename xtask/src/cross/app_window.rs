//! The app's window under Wine: it opens, draws, and closes at Ctrl-C.

use super::wine::{Wine, interrupt};
use crate::display::{Display, SIZE};
use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Timeout of one condition.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// Colours of a screenshot that shows text. An empty window has a few; the form of a new run has some hundred.
const COLOURS: usize = 40;

/// Opens the app, waits until it draws, and closes it. Returns a line about it.
pub(super) fn check(wine: &Wine, display: &Display, folder: &Path, shot: Option<&Path>) -> Result<String, String> {
    let mut app = wine.signet(folder, &["app", "--runs", "runs"]).spawn().map_err(|error| format!("the app: {error}"))?;
    let result = drawn(display, shot).and_then(|colours| {
        interrupt(&app)?;
        match ended(&mut app)? {
            status if status.success() => Ok(format!("the app's window draws {colours} colours, and closes at Ctrl-C")),
            status => Err(format!("the app ended with {status} after Ctrl-C")),
        }
    });
    app.kill().ok();
    app.wait().ok();
    result
}

/// Waits until the window shows text. Returns the number of colours of the screenshot.
fn drawn(display: &Display, shot: Option<&Path>) -> Result<usize, String> {
    display.window(PATIENCE)?;
    let begun = Instant::now();
    loop {
        let found = colours(&display.picture()?);
        if found >= COLOURS {
            if let Some(shot) = shot {
                display.save(shot)?;
            }
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("the app's window of {} × {} shows {found} colours only", SIZE.0, SIZE.1));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The number of colours of an RGB picture.
fn colours(picture: &[u8]) -> usize {
    picture.as_chunks::<3>().0.iter().collect::<HashSet<_>>().len()
}

/// Waits until a program ends.
pub(super) fn ended(child: &mut Child) -> Result<ExitStatus, String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("the program did not end within {} s", PATIENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_counted_once() {
        assert_eq!(colours(&[1, 2, 3, 1, 2, 3, 3, 2, 1]), 2);
    }
}
