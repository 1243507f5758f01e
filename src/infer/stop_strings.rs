//! Detection of stop strings in streamed text. Pure.

/// Passes text through until a stop string, without any part of it.
#[derive(Clone, Debug)]
pub struct StopScan {
    stops: Vec<String>,
    /// Text that may be the start of a stop string.
    held: String,
}

impl StopScan {
    /// Makes a scanner for `stops`; empty strings are ignored.
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Adds a piece of text. Returns the text that cannot be part of a stop string, and true if one was found.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            let mut text = std::mem::take(&mut self.held);
            text.truncate(at);
            return (text, true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Returns the text that was held back, after the last piece.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest suffix of `text` that is a proper prefix of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(at, _)| at).rev();
    ends.into_iter().find(|&length| text.ends_with(&stop[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut scan = StopScan::new(&stops.iter().map(|stop| stop.to_string()).collect::<Vec<_>>());
        let mut emitted = Vec::new();
        for piece in pieces {
            let (text, found) = scan.push(piece);
            emitted.push(text);
            if found {
                return (emitted, true);
            }
        }
        emitted.push(scan.finish());
        (emitted, false)
    }

    #[test]
    fn no_part_of_a_stop_string_is_emitted() {
        assert_eq!(run(&["</end>"], &["one<", "/en", "d>two"]), (vec!["one".into(), "".into(), "".into()], true));
        assert_eq!(run(&["</end>"], &["one<", "/enx", "<"]), (vec!["one".into(), "</enx".into(), "".into(), "<".into()], false));
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), (vec!["".into(), "".into(), "a".into(), "".into()], true));
        assert_eq!(run(&["🦀🦀"], &["x🦀", "🦀y"]), (vec!["x".into(), "".into()], true));
    }

    #[test]
    fn the_earliest_of_several_ends_the_text() {
        assert_eq!(run(&["world", "lo w"], &["hello world"]), (vec!["hel".into()], true));
        assert_eq!(run(&["", "x"], &["abc"]), (vec!["abc".into(), "".into()], false));
        assert_eq!(run(&[], &["abc"]).0.concat(), "abc");
    }
}
