//! Compares matches with those of Hugging Face's tokenizers (tests/golden/oniguruma.py), and checks refused patterns.

use super::Regex;
use serde_json::Value;
use tokenizers::pattern::Pattern;

/// The pieces of a text: "=" before a match, "-" before the text between matches.
fn pieces(regex: &Regex, text: &str) -> Vec<String> {
    let found = regex.find_matches(text).unwrap();
    let written = |&((start, end), matched): &((usize, usize), bool)| format!("{}{}", if matched { '=' } else { '-' }, &text[start..end]);
    found.iter().filter(|((start, end), _)| start < end).map(written).collect()
}

/// The patterns of a table with other pieces, those refused, and how many there are.
fn compared(golden: &Value, table: &str) -> (Vec<String>, Vec<String>, usize) {
    let texts: Vec<&str> = golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let (mut differing, mut refused, mut same) = (Vec::new(), Vec::new(), 0);
    for row in golden[table].as_array().unwrap() {
        let pattern = row[0].as_str().unwrap();
        let regex = match Regex::new(pattern) {
            Ok(regex) => regex,
            Err(error) => {
                refused.push(format!("{pattern}: {error}"));
                continue;
            }
        };
        for (index, want) in row[1].as_object().unwrap() {
            let text = texts[index.parse::<usize>().unwrap()];
            let want: Vec<&str> = want.as_array().unwrap().iter().map(|piece| piece.as_str().unwrap()).collect();
            let got = pieces(&regex, text);
            match got == want {
                true => same += 1,
                false => differing.push(format!("{pattern} in {text:?}: {got:?}, must be {want:?}")),
            }
        }
    }
    (differing, refused, same)
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/oniguruma.json")).unwrap()
}

#[test]
fn patterns_match_as_in_oniguruma() {
    let golden = golden();
    let (differing, refused, same) = compared(&golden, "written");
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(refused.is_empty() && same > 2000, "{same}; refused: {refused:?}");
}

#[test]
fn random_patterns_match_as_in_oniguruma_or_are_refused() {
    let golden = golden();
    let (differing, refused, same) = compared(&golden, "random");
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    // Refused: look-behinds with alternatives of several lengths, and repeated anchors in a group.
    let known = |line: &String| ["Look-behind assertion without constant size", "follows an anchor"].iter().any(|reason| line.contains(reason));
    assert!(refused.iter().all(known) && refused.len() < 25 && same > 1000, "{same}; refused: {refused:?}");
}

#[test]
fn unsupported_constructs_are_refused_by_name() {
    for (pattern, says) in [
        ("(?~ab)", "absent"),
        ("(?{x})", "callout"),
        ("(*FAIL)", "callout"),
        (r"(?<a>x\g<a>?)", "calls itself"),
        (r"\g<0>", "a call of the whole"),
        (r"(?i)(a)\1", "ignores case"),
        (r"(?y{w})\X", "option 'y'"),
        ("(?L)a", "option 'L'"),
        (r"(?=a\K)", "\\K in a look-around"),
        (r"(a\1)", "within that group"),
        (r"\p{nosuch}", "\\p{nosuch} is not supported"),
        ("[[:nosuch:]]", "[:nosuch:] is not supported"),
        (r"\k<n>", "no group has the name"),
        (r"\1", "there is no group 1"),
        ("a)", "closing parenthesis"),
        ("(a", "not closed"),
        ("[a", "not closed"),
        ("*a", "nothing to repeat"),
        ("^*", "follows an anchor"),
        ("[b-a]", "ends before it begins"),
        (r"\x{110000}", "is not a character"),
        ("a{100001}", "more than 100000 times"),
        (r"\p{L}{5000}", "too large"),
        ("(".repeat(1000).as_str(), "levels deep"),
        (format!("a{}", "{2,3}".repeat(60)).as_str(), "levels deep"),
    ] {
        let error = Regex::new(pattern).unwrap_err();
        assert!(error.contains(says) && error.starts_with("cannot use the regular expression"), "{pattern}: {error}");
    }
}

#[test]
fn a_search_over_the_backtrack_limit_fails() {
    let regex = Regex::new("(?:(?=a)a|(?=a)aa)+b").unwrap();
    assert_eq!(pieces(&regex, "aaab"), ["=aaab"]);
    let error = (&regex).find_matches(&"a".repeat(200)).unwrap_err().to_string();
    assert!(error.contains("backtracking steps"), "{error}");
}

#[test]
fn long_texts_are_searched() {
    let text = format!("{}x{}", " ".repeat(1 << 19), "ab ".repeat(1 << 18));
    let regex = Regex::new(r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+").unwrap();
    assert_eq!((&regex).find_matches(&text).unwrap().len(), 2 + (1 << 18));
}
