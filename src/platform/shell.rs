//! Quotes command lines for a shell. Pure.

use std::ffi::OsStr;

/// Joins arguments to a line for this system's shell, quoted where needed.
pub fn command_line<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> String {
    let quote = if cfg!(windows) { windows } else { posix };
    arguments.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Returns true if an argument needs no quotes.
fn is_plain(text: &str, special: &[char]) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_./:=@,+-".contains(c) || special.contains(&c))
}

/// Quotes with single quotes, which a POSIX shell takes literally; control characters need `$'…'` (POSIX 2024; bash,
/// zsh and ksh before).
fn posix(argument: &OsStr) -> String {
    match argument.to_str() {
        Some(text) if is_plain(text, &['%']) => text.into(),
        Some(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let escaped = argument.as_encoded_bytes().iter().map(|&byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\{byte:03o}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}

/// Quotes with double quotes, which cannot occur in Windows paths; trailing backslashes are doubled, as Windows parses
/// command lines.
fn windows(argument: &OsStr) -> String {
    let text = argument.to_string_lossy();
    if is_plain(&text, &['\\']) {
        return text.into_owned();
    }
    let trailing = text.len() - text.trim_end_matches('\\').len();
    format!("\"{text}{}\"", "\\".repeat(trailing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(quote: fn(&OsStr) -> String, texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| quote(OsStr::new(text))).collect()
    }

    #[test]
    fn posix_arguments_are_quoted() {
        let quoted = each(posix, &["run-1", "/a/b.c", "my runs", "it's", "$HOME", "`a`", "a;b", "*", "~", "", "#1", "Größe", "a\\b", "two\nlines", "!x"]);
        let expected = [
            "run-1",
            "/a/b.c",
            "'my runs'",
            r"'it'\''s'",
            "'$HOME'",
            "'`a`'",
            "'a;b'",
            "'*'",
            "'~'",
            "''",
            "'#1'",
            "Größe",
            r"'a\b'",
            r"$'two\012lines'",
            "'!x'",
        ];
        assert_eq!(quoted, expected);
    }

    #[test]
    fn windows_arguments_are_quoted() {
        let quoted = each(windows, &["run-1", r"C:\runs", r"C:\my runs\", "100%", "a&b", ""]);
        assert_eq!(quoted, ["run-1", r"C:\runs", "\"C:\\my runs\\\\\"", "\"100%\"", "\"a&b\"", "\"\""]);
    }

    /// The shell parses what was quoted for it.
    #[cfg(unix)]
    #[test]
    fn the_shell_parses_quoted_arguments() {
        use std::os::unix::ffi::OsStrExt;
        let arguments = ["a b", "it's", "$x `y` \\ \"z\"", "*?[a]{b}~#!", "-n", "é "].map(OsStr::new);
        let line = format!("printf '%s\\0' {}", command_line(arguments));
        let read = std::process::Command::new("sh").args(["-c", &line]).output().expect("a POSIX system has sh").stdout;
        let expected: Vec<u8> = arguments.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(read, expected);
    }
}
