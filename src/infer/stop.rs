//! Finding a stop string in text that arrives in pieces. Pure.

/// Passes text on until one of some strings has been seen, and never any part of that string.
#[derive(Clone, Debug)]
pub struct StopScan {
    stops: Vec<String>,
    /// Text that may turn out to begin a stop string.
    held: String,
}

impl StopScan {
    /// Looks for `stops`; empty ones are left out.
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Adds a piece of text; gives what is certain to be no part of a stop string, and whether one
    /// was found. After that there is nothing more to give.
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

    /// The text still held back: no stop string came of it.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that begins `stop`, but is not all of it.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(at, _)| at).rev();
    ends.into_iter().find(|&length| text.ends_with(&stop[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut scan = StopScan::new(&stops.iter().map(|stop| stop.to_string()).collect::<Vec<_>>());
        let mut given = Vec::new();
        for piece in pieces {
            let (text, found) = scan.push(piece);
            given.push(text);
            if found {
                return (given, true);
            }
        }
        given.push(scan.finish());
        (given, false)
    }

    #[test]
    fn no_part_of_a_stop_string_is_given() {
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
