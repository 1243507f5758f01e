//! The entries of `samples.txt`: a header `--- step N`, then the text. Pure.

const HEADER: &str = "--- step ";

/// Formats the entry of a sample. Lines of the text that look like a header get a leading space.
pub(super) fn entry(step: u64, text: &str) -> String {
    let lines = text.split('\n').map(|line| if line.starts_with(HEADER) { format!(" {line}") } else { line.to_string() });
    format!("{HEADER}{step}\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// Removes the entries of steps after `step`, and an incomplete header at the end. The result ends in a
/// line feed, so that another entry can follow.
pub(super) fn cut(file: &[u8], step: u64) -> Vec<u8> {
    let (mut left, mut keep) = (Vec::with_capacity(file.len()), true);
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        if !line.ends_with(b"\n") && is_torn(line) {
            break;
        }
        keep = header(line).map_or(keep, |of| of <= step);
        if keep {
            left.extend_from_slice(line);
        }
    }
    if left.last().is_some_and(|&byte| byte != b'\n') {
        left.push(b'\n');
    }
    left
}

/// Parses the step of a header.
fn header(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line).ok()?.strip_prefix(HEADER)?.trim_end_matches(['\r', '\n']).parse().ok()
}

/// Returns true if an incomplete last line may be the beginning of a header.
fn is_torn(line: &[u8]) -> bool {
    line.starts_with(HEADER.as_bytes()) || HEADER.as_bytes().starts_with(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_after_a_step_are_cut_and_nothing_else() {
        let notes = "A note.\n--- stepping stones\n".to_string();
        let old = notes + &entry(10, "one\ntwo") + &entry(20, "three\n--- step 99\nfour");
        let file = old.clone() + &entry(30, "five") + &entry(40, "six");
        assert_eq!(cut(file.as_bytes(), 20), old.as_bytes());
        assert_eq!(cut(file.as_bytes(), 40), file.as_bytes());
        // An entry of a rolled back branch between two that stay, and bytes that are no UTF-8.
        let mixed = [entry(10, "a").as_bytes(), b"\xff\xfe\n", entry(30, "b").as_bytes(), entry(20, "c").as_bytes()].concat();
        assert_eq!(cut(&mixed, 20), [entry(10, "a").as_bytes(), b"\xff\xfe\n", entry(20, "c").as_bytes()].concat());
    }

    #[test]
    fn an_entry_that_was_not_written_to_its_end_does_not_join_the_next() {
        let whole = entry(10, "one") + &entry(20, "two");
        for end in 0..whole.len() {
            let left = cut(&whole.as_bytes()[..end], 20);
            assert!(left.is_empty() || left.ends_with(b"\n"), "{end}");
            let joined = [&left[..], entry(20, "two").as_bytes()].concat();
            let headers = joined.split(|&byte| byte == b'\n').filter_map(header).collect::<Vec<_>>();
            assert!(headers.iter().all(|step| [10, 20].contains(step)), "{end}: {headers:?}");
        }
    }
}
