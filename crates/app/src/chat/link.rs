//! Links that carry chat settings: model, sampling parameters, system prompt. Their content is untrusted: every
//! value is bounded, and opening a link starts nothing. Pure.

use super::sampling::{MAX_TOKENS, MIN_P, REPETITION_PENALTY, SEED, TEMPERATURE, TOP_K, TOP_P};
use crate::percent::{decode, encode};
use crate::settings::ChatSettings;
use signet::runner::Request;
use std::fmt::Write;

/// Maximum length of a link's fragment, in bytes.
const MAX_FRAGMENT: usize = 16_384;
/// Maximum characters of the system prompt.
const MAX_SYSTEM: usize = 4_000;
/// Maximum characters of a model's URL.
const MAX_URL: usize = 2_000;
/// Name of the model embedded in the program.
pub(super) const EMBEDDED: &str = "embedded";

/// The settings in a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Link {
    /// Sampling parameters, if the link changes any.
    pub request: Option<Request>,
    pub system: Option<String>,
    /// A model: `embedded`, or a URL that is fetched only after the user agrees.
    pub model: Option<String>,
    /// Parts that were ignored, with the reasons.
    pub problems: Vec<String>,
}

/// Formats a link to `page` with these settings. Local file paths are left out.
pub(super) fn format(page: &str, chat: &ChatSettings) -> String {
    let Request { max_tokens, sampling, .. } = &chat.request;
    let mut text = format!("{page}#temperature={}&top_k={}&top_p={}&min_p={}", sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p);
    let _ = write!(text, "&repetition_penalty={}&seed={}&max_tokens={max_tokens}", sampling.repetition_penalty, sampling.seed);
    if chat.model == EMBEDDED || address(&chat.model).is_ok() {
        let _ = write!(text, "&model={}", encode(&chat.model));
    }
    if !chat.system.trim().is_empty() {
        let _ = write!(text, "&system={}", encode(&chat.system));
    }
    text
}

/// Parses the fragment of the page's URL (the part after `#`); none if it has no `name=value` pair.
pub(super) fn parse(fragment: &str, now: &ChatSettings) -> Option<Link> {
    let fragment = fragment.trim_start_matches('#');
    if fragment.is_empty() || !fragment.contains('=') {
        return None;
    }
    let mut link = Link::default();
    if fragment.len() > MAX_FRAGMENT {
        link.problems.push(format!("cannot use the link: it has {} characters, and at most {MAX_FRAGMENT} are allowed", fragment.len()));
        return Some(link);
    }
    let mut request = now.request.clone();
    let before = request.clone();
    for (name, value) in fragment.split('&').filter_map(|pair| pair.split_once('=')).take(64) {
        let taken = match decode(value) {
            Ok(value) => apply(name, &value, &mut request, &mut link),
            Err(why) => Err(why),
        };
        if let Err(why) = taken {
            link.problems.push(format!("cannot use {}: {why}", quoted(name)));
        }
    }
    link.request = (request != before).then_some(request);
    Some(link)
}

fn apply(name: &str, value: &str, request: &mut Request, link: &mut Link) -> Result<(), String> {
    let sampling = &mut request.sampling;
    match name {
        "temperature" => sampling.temperature = number(value, TEMPERATURE)?,
        "top_k" => sampling.top_k = number(value, TOP_K)?,
        "top_p" => sampling.top_p = number(value, TOP_P)?,
        "min_p" => sampling.min_p = number(value, MIN_P)?,
        "repetition_penalty" => sampling.repetition_penalty = number(value, REPETITION_PENALTY)?,
        "seed" => sampling.seed = number(value, SEED)?,
        "max_tokens" => request.max_tokens = number(value, MAX_TOKENS)?,
        "system" if value.chars().count() > MAX_SYSTEM => return Err(format!("at most {MAX_SYSTEM} characters are allowed")),
        "system" => link.system = Some(value.into()),
        "model" if value == EMBEDDED => link.model = Some(value.into()),
        "model" => {
            address(value)?;
            link.model = Some(value.into());
        }
        _ => return Err("unknown setting".into()),
    }
    Ok(())
}

fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(text: &str, bounds: std::ops::RangeInclusive<T>) -> Result<T, String> {
    let expected = format!("{} is not a number from {} to {}", quoted(text), bounds.start(), bounds.end());
    text.parse().ok().filter(|number| bounds.contains(number)).ok_or(expected)
}

/// Checks that a text is an https URL that a model may be fetched from.
fn address(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").ok_or("a model's URL must begin with https://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if text.chars().count() > MAX_URL {
        return Err(format!("at most {MAX_URL} characters are allowed"));
    }
    if host.is_empty() || host.contains('@') || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("{} is not a valid URL", quoted(text)));
    }
    Ok(())
}

/// Quotes and shortens an untrusted text for a message.
fn quoted(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("“{short}”")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_round_trip() {
        let mut chat =
            ChatSettings { model: "https://example.org/a b.st".replace(' ', "%20"), system: "Be kind & say “äh”\n+1%".into(), ..ChatSettings::default() };
        chat.request.sampling.temperature = 0.35;
        chat.request.sampling.seed = 77;
        chat.request.max_tokens = 12;
        let text = format("https://here.example/signet/", &chat);
        let (page, fragment) = text.split_once('#').unwrap();
        assert_eq!(page, "https://here.example/signet/");
        let read = parse(fragment, &ChatSettings::default()).unwrap();
        assert_eq!(read, Link { request: Some(chat.request), system: Some(chat.system), model: Some(chat.model), problems: Vec::new() });
        let own = ChatSettings { model: "/files/mine.st".into(), ..ChatSettings::default() };
        assert!(!format("p", &own).contains("mine"), "local paths are left out");
        // The format must not change: users have saved such links.
        let kept = "p#temperature=0.7&top_k=40&top_p=0.95&min_p=0&repetition_penalty=1.1&seed=0&max_tokens=256";
        assert_eq!(format("p", &own), kept);
    }

    #[test]
    fn invalid_parts_of_a_link_are_refused_by_name() {
        let now = ChatSettings::default();
        let parse = |text: &str| parse(text, &now);
        for (text, name) in [
            ("temperature=1e9", "temperature"),
            ("temperature=NaN", "temperature"),
            ("top_k=-1", "top_k"),
            ("max_tokens=999999999", "max_tokens"),
            ("model=javascript:alert(1)", "model"),
            ("model=http://plain.example/x", "model"),
            ("model=https://user:word@host/x", "model"),
            ("model=../../etc/passwd", "model"),
            ("system=%zz", "system"),
            ("system=%ff", "system"),
            ("what=1", "what"),
        ] {
            let link = parse(text).unwrap();
            assert_eq!((link.request, link.system, link.model), (None, None, None), "{text}");
            assert!(link.problems.len() == 1 && link.problems[0].contains(name), "{text}: {:?}", link.problems);
        }
        let mixed = parse("temperature=9999&top_k=5").unwrap();
        assert_eq!((mixed.request.unwrap().sampling.top_k, mixed.problems.len()), (5, 1), "the valid part is applied");
        assert!(parse(&format!("system={}", "x".repeat(MAX_SYSTEM + 1))).unwrap().system.is_none());
        let long = parse(&format!("system={}", "x".repeat(MAX_FRAGMENT))).unwrap();
        assert!(long.system.is_none() && long.problems.len() == 1);
        assert_eq!((parse(""), parse("#"), parse("#conversation")), (None, None, None));
    }
}
