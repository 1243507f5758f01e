//! The form of error texts: `cannot DO THING: REASON. What to do`. A text is short, in no person, and names what failed.

use super::Findings;
use super::source::{Source, Tree};

/// Macros and attributes whose first string is an error text.
const OPENERS: [&str; 3] = ["#[error(", "bail!(", "anyhow!("];
/// Calls and macros whose first string becomes a part of an error text: the caller adds the file, setting or tensor.
const PARTS: [&str; 4] = ["Err(", "Err(format!(", "problem(", "problem(format!("];
/// Maximum characters of a text, placeholders as they are written.
const MAX_LENGTH: usize = 200;
/// Persons, and words that say less than the field's own.
const WORDS: [&str; 12] = ["i", "me", "my", "we", "us", "our", "somebody", "nobody", "anybody", "anew", "told", "gone"];
/// A text without a value has one of these: it then names an action, an option or a setting.
const SUBJECTS: [&str; 5] = ["cannot ", "stopped", "--", " needs ", " is empty"];

/// Finds error texts of the library and the programs that do not have the form.
pub(super) fn errors(tree: &Tree, found: &mut Findings) {
    let files = tree.iter().filter(|(path, _)| path.ends_with(".rs") && (path.starts_with("src/") || path.starts_with("crates/")));
    for (path, text) in files {
        let source = Source::new(path, text);
        let whole = texts(&source, &OPENERS).map(|(offset, text)| (offset, text, form_fault(text).or_else(|| unnamed(text))));
        let parts = texts(&source, &PARTS).map(|(offset, text)| (offset, text, form_fault(text)));
        for (offset, text, fault) in whole.chain(parts) {
            if let Some(fault) = fault {
                found.add(path, source.line(offset), &format!("error text {text:?}"), &fault);
            }
        }
    }
}

/// Returns the strings of a file that directly follow one of `openers`, with their offsets.
fn texts<'a>(source: &'a Source, openers: &'a [&str]) -> impl Iterator<Item = (usize, &'a str)> {
    let follows = |offset: usize| openers.iter().any(|opener| source.code[..offset].trim_end().ends_with(opener));
    source.strings.iter().filter(move |(offset, _)| follows(*offset)).map(|(offset, text)| (*offset, &text[..]))
}

/// Returns what is wrong with the words or the length of an error text.
fn form_fault(text: &str) -> Option<String> {
    let length = text.chars().count();
    // Names of values are no words of the text.
    let prose = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, prose)| prose));
    let mut words = prose.flat_map(|prose| prose.split(|c: char| !c.is_alphanumeric())).map(str::to_lowercase);
    if let Some(word) = words.find(|word| WORDS.contains(&&word[..])) {
        return Some(format!("has the word {word:?}"));
    }
    (length > MAX_LENGTH).then(|| format!("has {length} characters; at most {MAX_LENGTH} are allowed"))
}

/// Returns a message if an error text names nothing.
fn unnamed(text: &str) -> Option<String> {
    let names = text.contains('{') || SUBJECTS.iter().any(|subject| text.contains(subject));
    (!names).then(|| "names no value, action or option".into())
}

#[test]
fn the_form_of_an_error_text_is_checked() {
    let fault = |text: &str| form_fault(text).or_else(|| unnamed(text)).unwrap_or_default();
    for text in ["cannot read {path}: {error}. Run `git lfs pull`", "stopped; nothing was written", "{0}", "{i} of {told}", "--resume needs --name NAME"] {
        assert_eq!(fault(text), "", "{text}");
    }
    for (text, expected) in [("we lost it", "\"we\""), ("it was wrong", "names no value"), ("{it} is gone", "\"gone\""), (&"{x} ".repeat(51), "characters")] {
        assert!(fault(text).contains(expected), "{text}");
    }
    let text = "#[error(\"one\")] struct A; fn f() { bail!(\n    \"two {}\", 3); info!(\"three\"); return Err(\"four\".into()) }\n#[cfg(test)]\nmod tests { fn f() { bail!(\"five\"); } }";
    let source = Source::new("src/a.rs", text);
    let found = |openers: &[&str]| texts(&source, openers).map(|(_, text)| text.to_string()).collect::<Vec<_>>();
    assert_eq!((found(&OPENERS), found(&PARTS)), (vec!["one".to_string(), "two {}".into()], vec!["four".to_string()]));
}
