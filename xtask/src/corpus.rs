//! Generates the embedded corpus from the BYU Chit-Chat dataset (`dataset.json`): dialogues of a minimum length
//! in plain ASCII, one turn after another, marked with the tokenizer's special tokens.

use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

/// Minimum number of turns of a dialogue.
const TURNS: usize = 4;
/// Mean number of words a turn.
const WORDS: std::ops::Range<f64> = 3.5..24.0;
/// Maximum words of a turn; a dialogue is cut before a longer one.
const LONGEST: usize = 80;
/// Words before which a dialogue is cut, to keep the demo suitable for all users.
const UNWANTED: &[&str] = &[
    "fuck",
    "shit",
    "bitch",
    "nigg",
    "fag",
    "rape",
    "porn",
    "sex",
    "nazi",
    "hitler",
    "suicide",
    "trump",
    "hillary",
    "maga",
    "abortion",
    "illegals",
    "terrorist",
];

/// Reads the dataset and writes the corpus.
pub(crate) fn make(dataset: &Path, out: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(dataset).map_err(|error| format!("{}: {error}", dataset.display()))?;
    let dialogues: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", dataset.display()))?;
    let dialogues = dialogues.as_object().ok_or("the dataset is no JSON object")?;
    let mut seen = HashSet::new();
    let mut corpus = String::new();
    let mut kept = 0;
    for dialogue in dialogues.values() {
        let mut turns = turns(dialogue);
        // Cut the dialogue before an unsuitable or overlong turn.
        turns.truncate(turns.iter().position(|turn| !is_suitable(turn)).unwrap_or(turns.len()));
        let words: Vec<usize> = turns.iter().map(|turn| turn.split_whitespace().count()).collect();
        let mean = words.iter().sum::<usize>() as f64 / words.len().max(1) as f64;
        let plain = WORDS.contains(&mean);
        if turns.len() < TURNS || !plain || !seen.insert(turns.join("\n")) {
            continue;
        }
        for (n, turn) in turns.iter().enumerate() {
            corpus.push_str(if n % 2 == 0 { "<|user|>" } else { "<|assistant|>" });
            corpus.push_str(turn);
        }
        corpus.push_str("<|end|>\n");
        kept += 1;
    }
    std::fs::write(out, &corpus).map_err(|error| format!("{}: {error}", out.display()))?;
    println!("{}: {kept} dialogues, {} bytes", out.display(), corpus.len());
    Ok(())
}

/// Returns the turns of a dialogue; successive messages of one person are one turn.
fn turns(dialogue: &Value) -> Vec<String> {
    let mut turns: Vec<(String, String)> = Vec::new();
    let groups = dialogue["messages"].as_array().into_iter().flatten();
    for message in groups.filter_map(Value::as_array).flatten() {
        let (Some(text), Some(sender)) = (message["text"].as_str(), message["sender"].as_str()) else { continue };
        let text = clean(text);
        if text.is_empty() {
            continue;
        }
        match turns.last_mut() {
            Some((last, turn)) if last == sender => {
                if !turn.ends_with(['.', '!', '?', ',']) {
                    turn.push('.');
                }
                turn.push(' ');
                turn.push_str(&text);
            }
            _ => turns.push((sender.to_string(), text)),
        }
    }
    turns.into_iter().map(|(_, turn)| turn).collect()
}

/// Reduces a text to ASCII words, without links, e-mail addresses and telephone numbers.
fn clean(text: &str) -> String {
    let plain = text.replace(['\u{2018}', '\u{2019}'], "'").replace(['\u{201c}', '\u{201d}'], "\"").replace('\u{2026}', "...");
    let words = plain.split_whitespace().filter(|word| !word.contains("://") && !word.contains("<|") && !is_contact(word));
    words.map(|word| word.chars().filter(char::is_ascii_graphic).collect::<String>()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns true for a turn that is short enough and without unwanted words.
fn is_suitable(turn: &str) -> bool {
    let lower = turn.to_lowercase();
    turn.split_whitespace().count() <= LONGEST && !UNWANTED.iter().any(|word| lower.contains(word))
}

/// Returns true for a word that looks like an e-mail address or a telephone number.
fn is_contact(word: &str) -> bool {
    word.contains('@') || word.chars().filter(char::is_ascii_digit).count() >= 7
}
