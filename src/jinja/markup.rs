//! Escaping for HTML, and safe text.

use super::jinja_error::Result;
use super::meter::Meter;
use super::print;
use super::unicode::is_space;
use super::value::{Text, Value};
use std::borrow::Cow;

/// Escapes text for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Escapes text unless it is safe.
pub(super) fn escaped(text: &Text) -> Cow<'_, str> {
    if text.safe { Cow::Borrowed(&text.text) } else { escape(&text.text).into() }
}

/// Converts a value to safe text.
pub(super) fn escape_value(value: &Value, meter: &Meter) -> Result<Value> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = print::text(value, meter)?;
    meter.memory(6 * text.len())?;
    Ok(Value::text(escape(&text), true))
}

/// Removes tags and comments, decodes entities and collapses whitespace.
pub(super) fn strip_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let end = match rest[start..].starts_with("<!--") {
            true => rest[start + 4..].find("-->").map(|at| start + 4 + at + 3),
            false => rest[start..].find('>').map(|at| start + at + 1),
        };
        let Some(end) = end else { break };
        out.push_str(&rest[..start]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    unescape(&out.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Named entities: those of HTML 4.
const ENTITIES: &str = "amp& lt< gt> quot\" apos' nbsp\u{a0} iexcl¡ cent¢ pound£ curren¤ yen¥ brvbar¦ sect§ uml¨ copy© ordfª laquo« not¬ shy\u{ad} reg® macr¯ \
    deg° plusmn± sup2² sup3³ acute´ microµ para¶ middot· cedil¸ sup1¹ ordmº raquo» frac14¼ frac12½ frac34¾ iquest¿ AgraveÀ AacuteÁ AcircÂ AtildeÃ AumlÄ AringÅ \
    AEligÆ CcedilÇ EgraveÈ EacuteÉ EcircÊ EumlË IgraveÌ IacuteÍ IcircÎ IumlÏ ETHÐ NtildeÑ OgraveÒ OacuteÓ OcircÔ OtildeÕ OumlÖ times× OslashØ UgraveÙ UacuteÚ UcircÛ \
    UumlÜ YacuteÝ THORNÞ szligß agraveà aacuteá acircâ atildeã aumlä aringå aeligæ ccedilç egraveè eacuteé ecircê eumlë igraveì iacuteí icircî iumlï ethð ntildeñ ograveò \
    oacuteó ocircô otildeõ oumlö divide÷ oslashø ugraveù uacuteú ucircû uumlü yacuteý thornþ yumlÿ OEligŒ oeligœ ScaronŠ scaronš YumlŸ fnofƒ circˆ tilde˜ \
    AlphaΑ BetaΒ GammaΓ DeltaΔ ThetaΘ LambdaΛ PiΠ SigmaΣ PhiΦ PsiΨ OmegaΩ alphaα betaβ gammaγ deltaδ epsilonε thetaθ lambdaλ muμ piπ sigmaσ tauτ phiφ chiχ psiψ omegaω \
    ndash– mdash— lsquo‘ rsquo’ sbquo‚ ldquo“ rdquo” bdquo„ dagger† Dagger‡ bull• hellip… permil‰ prime′ Prime″ lsaquo‹ rsaquo› euro€ trade™ larr← uarr↑ rarr→ darr↓ harr↔ \
    forall∀ part∂ exist∃ empty∅ nabla∇ isin∈ sum∑ minus− radic√ infin∞ cap∩ cup∪ int∫ asymp≈ ne≠ equiv≡ le≤ ge≥ sub⊂ sup⊃";

/// Entities that HTML 4 allows without a semicolon.
const BARE: &str = "amp lt gt quot nbsp copy reg deg para sect cent pound yen not times divide eacute egrave agrave ccedil uuml ouml auml szlig";

fn entity(name: &str) -> Option<char> {
    ENTITIES.split(' ').filter(|entry| !entry.is_empty()).find_map(|entry| {
        let value = entry.chars().next_back()?;
        (entry.strip_suffix(value)? == name).then_some(value)
    })
}

/// Decodes entities.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(&rest[1..]) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[1 + length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Parses a reference after its `&`; returns its character and length.
fn reference(text: &str) -> Option<(char, usize)> {
    if let Some(number) = text.strip_prefix('#') {
        let hexadecimal = number.starts_with(['x', 'X']);
        let digits = &number[usize::from(hexadecimal)..];
        let length = digits.find(|c: char| !c.is_digit(if hexadecimal { 16 } else { 10 })).unwrap_or(digits.len());
        let code = u32::from_str_radix(&digits[..length], if hexadecimal { 16 } else { 10 }).ok()?;
        let c = char::from_u32(code).filter(|&c| c != '\0').unwrap_or('\u{fffd}');
        let semicolon = usize::from(digits[length..].starts_with(';'));
        return Some((c, 1 + usize::from(hexadecimal) + length + semicolon));
    }
    let length = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len()).min(10);
    if text[length..].starts_with(';') {
        return entity(&text[..length]).map(|c| (c, length + 1));
    }
    let bare = BARE.split(' ').filter(|name| text.starts_with(name)).max_by_key(|name| name.len())?;
    Some((entity(bare)?, bare.len()))
}
