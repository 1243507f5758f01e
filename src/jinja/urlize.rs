//! jinja2's `urlize`: makes links of URLs.

use super::arguments::{Arguments, expect_int, expect_text, is_true};
use super::jinja_error::{JinjaError, Result};
use super::runtime::Runtime;
use super::unicode::{is_space, is_word};
use super::value::Value;
use super::{markup, print};
use std::collections::BTreeSet;

/// Options of the links.
struct Links {
    limit: Option<usize>,
    attributes: String,
    schemes: Vec<String>,
}

/// The filter `urlize`.
pub(super) fn filter(value: Value, arguments: Arguments, runtime: &mut dyn Runtime) -> Result<Value> {
    let names = ["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"];
    let [limit, nofollow, target, rel, schemes] = arguments.bind("urlize", names, 0)?;
    let not_none = |value: Option<Value>| value.filter(|value| !matches!(value, Value::None));
    let limit = not_none(limit).map(|limit| expect_int(Some(limit), 0, "urlize")).transpose()?;
    let text = |value: Option<Value>| not_none(value).map(|value| expect_text(Some(value), "urlize").map(|text| text.text.to_string())).transpose();
    let rel = text(rel)?.unwrap_or_default();
    let follows = if is_true(nofollow) { "nofollow" } else { "" };
    let rel: BTreeSet<&str> = rel.split(is_space).chain([follows, "noopener"]).filter(|part| !part.is_empty()).collect();
    let rel = rel.into_iter().collect::<Vec<_>>().join(" ");
    let target = text(target)?.filter(|target| !target.is_empty()).map_or(String::new(), |target| format!(" target=\"{}\"", markup::escape(&target)));
    let mut links =
        Links { limit: limit.map(|limit| limit.max(0) as usize), attributes: format!(" rel=\"{}\"{target}", markup::escape(&rel)), schemes: Vec::new() };
    if let Some(schemes) = not_none(schemes) {
        for scheme in runtime.iterate(&schemes)? {
            links.schemes.push(scheme_prefix(&expect_text(Some(scheme), "urlize")?.text)?);
        }
    }
    let whole = print::text(&markup::escape_value(&value, runtime.meter())?, runtime.meter())?;
    let mut out = String::new();
    for word in whole.split_inclusive(is_space) {
        let bare = word.trim_end_matches(is_space);
        runtime.meter().memory(4 * bare.len() + links.attributes.len() + 32)?;
        runtime.meter().steps(links.schemes.len())?;
        out.push_str(&links.word(bare));
        out.push_str(&word[bare.len()..]);
    }
    Ok(Value::text(out, runtime.escapes_calls()))
}

fn scheme_prefix(scheme: &str) -> Result<String> {
    let name = scheme
        .split_once(':')
        .filter(|(name, rest)| name.chars().count() >= 2 && name.chars().all(|c| is_word(c) || ".+-".contains(c)) && ["", "/", "//"].contains(rest));
    name.map(|_| scheme.to_string()).ok_or_else(|| JinjaError::new(format!("'{scheme}' is not a URL scheme")))
}

impl Links {
    /// Escapes a word without white space, and makes it a link if it is a URL.
    fn word(&self, word: &str) -> String {
        let mut middle = word;
        while let Some(rest) = ["(", "<", "&lt;"].iter().find_map(|opening| middle.strip_prefix(opening)) {
            middle = rest;
        }
        let head = &word[..word.len() - middle.len()];
        while let Some(rest) = [")", ">", ".", ",", "&gt;"].iter().find_map(|closing| middle.strip_suffix(closing)) {
            middle = rest;
        }
        let mut end = head.len() + middle.len();
        // Brackets that the URL opens belong to it.
        for (opening, closing) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let opened = middle.matches(opening).count();
            if opened > middle.matches(closing).count() {
                for _ in 0..opened.min(word[end..].matches(closing).count()) {
                    end += word[end..].find(closing).map_or(0, |at| at + closing.len());
                }
            }
        }
        format!("{head}{}{}", self.link(&word[head.len()..end]), &word[end..])
    }

    fn link(&self, address: &str) -> String {
        let attributes = &self.attributes;
        if is_http(address) {
            let prefix = if address.starts_with("https://") || address.starts_with("http://") { "" } else { "https://" };
            return format!("<a href=\"{prefix}{address}\"{attributes}>{}</a>", self.trimmed(address));
        }
        if let Some(mail) = address.strip_prefix("mailto:").filter(|mail| is_email(mail)) {
            return format!("<a href=\"{address}\">{mail}</a>");
        }
        if !address.starts_with("www.") && !address.starts_with('@') && !address.contains(':') && is_email(address) {
            return format!("<a href=\"mailto:{address}\">{address}</a>");
        }
        match self.schemes.iter().any(|scheme| address != scheme && address.starts_with(scheme.as_str())) {
            true => format!("<a href=\"{address}\"{attributes}>{address}</a>"),
            false => address.into(),
        }
    }

    fn trimmed(&self, address: &str) -> String {
        match self.limit {
            Some(limit) if address.chars().count() > limit => address.chars().take(limit).collect::<String>() + "...",
            _ => address.into(),
        }
    }
}

/// Returns true if a word is a web address, with or without a scheme.
fn is_http(word: &str) -> bool {
    let lower = word.to_lowercase();
    let scheme = ["https://", "http://"].iter().find_map(|scheme| lower.strip_prefix(scheme));
    let rest = scheme.unwrap_or(&lower);
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let port = host.rsplit_once(':').filter(|(host, port)| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty());
    let host = port.map_or(host, |(host, _)| host);
    let domain = |c: char| is_word(c) || "%-".contains(c);
    let plain = |host: &str| {
        let (names, top) = host.rsplit_once('.').map_or((None, host), |(names, top)| (Some(names), top));
        let named = names.is_none_or(|names| names.split('.').all(|name| !name.is_empty() && name.chars().all(domain)));
        let tld = (2..=63).contains(&top.len()) && top.bytes().all(|byte| byte.is_ascii_lowercase());
        let international =
            top.strip_prefix("xn--").is_some_and(|rest| (2..=59).contains(&rest.chars().count()) && rest.chars().all(|c| is_word(c) || c == '%'));
        named && (tld || international)
    };
    let known = |host: &str| {
        let parts: Vec<&str> = host.split('.').collect();
        let (top, names) = parts.split_last().map_or(("", &[][..]), |(top, names)| (*top, names));
        let named = !names.is_empty() && names.iter().all(|name| (2..=63).contains(&name.chars().count()) && name.chars().all(domain));
        named && ["com", "net", "int", "edu", "gov", "org", "info", "mil"].contains(&top)
    };
    let numeric = |host: &str| {
        let parts: Vec<&str> = host.split('.').collect();
        parts.len() == 4 && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let six = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| {
            (2..=8).contains(&inner.matches(':').count()) && inner.split(':').all(|part| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
        })
    };
    match scheme {
        Some(_) => plain(host) || numeric(host) || six(host),
        None => host.strip_prefix("www.").is_some_and(plain) || known(host),
    }
}

fn is_email(word: &str) -> bool {
    let Some((name, domain)) = word.rsplit_once('@') else { return false };
    let Some((first, top)) = domain.rsplit_once('.') else { return false };
    let named = first.starts_with(is_word) && first.chars().all(|c| is_word(c) || ".-".contains(c));
    !name.is_empty() && named && !top.is_empty() && top.chars().all(is_word)
}
