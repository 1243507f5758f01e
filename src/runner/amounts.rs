//! Formats byte sizes and counts with decimal prefixes.

/// Formats a number of bytes: `1.25 GB`, `12.5 MB`, `1.5 kB`, `13 B`.
pub fn format_bytes(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes if bytes >= 1e3 => format!("{:.1} kB", bytes / 1e3),
        bytes => format!("{bytes} B"),
    }
}

/// Formats a count: `1.30 G`, `135.00 M`, `52.0 k`, `9999`.
pub fn format_count(count: f64) -> String {
    match count {
        count if count >= 1e9 => format!("{:.2} G", count / 1e9),
        count if count >= 1e6 => format!("{:.2} M", count / 1e6),
        count if count >= 1e4 => format!("{:.1} k", count / 1e3),
        count => format!("{count:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_begins_where_its_number_is_one() {
        let bytes = [(0, "0 B"), (999, "999 B"), (52_000, "52.0 kB"), (999_999, "1000.0 kB"), (1_000_000, "1.0 MB"), (1_250_000_000, "1.25 GB")];
        bytes.iter().for_each(|&(bytes, text)| assert_eq!(format_bytes(bytes), text));
        let counts = [(0.0, "0"), (9999.0, "9999"), (52_000.0, "52.0 k"), (135e6, "135.00 M"), (1.3e9, "1.30 G")];
        counts.iter().for_each(|&(count, text)| assert_eq!(format_count(count), text));
    }
}
