//! What Jinja templates of Hugging Face and of evaluation tasks expect of Python: the methods of its
//! strings, lists and mappings. Templates come with files, so nothing here takes much memory.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// Calls a method that Python's values have and Jinja's lack.
pub fn method(_: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::new(ErrorKind::UnknownMethod, format!("{} has no method {name}", value.kind()));
    match (value.as_str(), value.kind(), arguments) {
        (None, ValueKind::Seq, [wanted]) if name == "index" => position(value, wanted),
        (Some(text), _, [wanted]) if name == "index" => position_in_text(text, wanted),
        (Some(text), ..) => string_method(text, name, arguments).ok_or_else(unknown),
        _ => mapping_method(value, name, arguments).ok_or_else(unknown),
    }
}

/// Whitespace as Python's strings have it.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn position(list: &Value, wanted: &Value) -> Result<Value, Error> {
    let missing = || Error::new(ErrorKind::InvalidOperation, format!("{wanted:?} is not in {list}"));
    list.try_iter()?.position(|item| item == *wanted).map(Value::from).ok_or_else(missing)
}

fn position_in_text(text: &str, wanted: &Value) -> Result<Value, Error> {
    let missing = || Error::new(ErrorKind::InvalidOperation, format!("{wanted:?} is not in {text}"));
    let at = wanted.as_str().and_then(|wanted| text.find(wanted)).ok_or_else(missing)?;
    Ok(text[..at].chars().count().into())
}

fn string_method(text: &str, name: &str, arguments: &[Value]) -> Option<Value> {
    let first = arguments.first().and_then(Value::as_str);
    let set = |c: char| first.map_or(is_space(c), |set| set.contains(c));
    Some(match name {
        "strip" => text.trim_matches(set).into(),
        "lstrip" => text.trim_start_matches(set).into(),
        "rstrip" => text.trim_end_matches(set).into(),
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "title" | "capitalize" => capitalised(text, name == "title").into(),
        "startswith" => text.starts_with(first?).into(),
        "endswith" => text.ends_with(first?).into(),
        "find" => text.find(first?).map_or(-1, |at| text[..at].chars().count() as i64).into(),
        "count" => text.matches(first.filter(|part| !part.is_empty())?).count().into(),
        "replace" => bounded_replace(text, first?, arguments.get(1)?.as_str()?)?.into(),
        "split" => split(text, first, arguments.get(1).and_then(Value::as_i64)).into_iter().collect(),
        _ => return None,
    })
}

/// Replaces all; not if the result would be huge, which no template needs.
fn bounded_replace(text: &str, from: &str, to: &str) -> Option<String> {
    let size = (text.len() + 1).checked_mul(to.len().max(1))?;
    (size <= 64 << 20).then(|| text.replace(from, to))
}

fn capitalised(text: &str, every_word: bool) -> String {
    let mut begins = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if begins {
            // A letter that is two in capitals has one small: ß begins Ss.
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        } else {
            out.extend(c.to_lowercase());
        }
        begins = every_word && !c.is_alphabetic();
    }
    out
}

/// Python's `split`: at whitespace without a separator; `most` times, if that is not negative.
fn split(text: &str, separator: Option<&str>, most: Option<i64>) -> Vec<Value> {
    match (separator, most) {
        (None, _) => text.split(is_space).filter(|part| !part.is_empty()).map(Value::from).collect(),
        (Some(separator), Some(most)) if most >= 0 => text.splitn(most as usize + 1, separator).map(Value::from).collect(),
        (Some(separator), _) => text.split(separator).map(Value::from).collect(),
    }
}

fn mapping_method(value: &Value, name: &str, arguments: &[Value]) -> Option<Value> {
    let object = value.as_object()?;
    Some(match name {
        "get" => {
            let found = object.get_value(arguments.first()?).filter(|value| !value.is_undefined());
            found.unwrap_or_else(|| arguments.get(1).cloned().unwrap_or(Value::from(())))
        }
        "keys" => object.try_iter()?.collect(),
        "values" => object.try_iter_pairs()?.map(|(_, value)| value).collect(),
        "items" => object.try_iter_pairs()?.map(|(key, value)| Value::from(vec![key, value])).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::{Environment, context};

    #[test]
    fn values_have_the_methods_of_python() {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(method);
        let value = |source: &str| environment.compile_expression(source).unwrap().eval(context! { list => ["A", "B"], text => "  ÄB c\x1f" });
        for (source, want) in [
            ("list.index('B')", Value::from(1)),
            ("'ABCD'.index('C')", Value::from(2)),
            ("text.strip()", Value::from("ÄB c")),
            ("text.split()", Value::from(vec!["ÄB", "c"])),
            ("'hELLO World'.capitalize()", Value::from("Hello world")),
            ("'ßa'.capitalize()", Value::from("Ssa")),
            ("''.capitalize()", Value::from("")),
            ("'a_b_c'.split('_', 1)", Value::from(vec!["a", "b_c"])),
            ("{'a': 1}.get('b', 3)", Value::from(3)),
        ] {
            assert_eq!(value(source).unwrap(), want, "{source}");
        }
        for (source, problem) in [("list.index('C')", "'C' is not in ['A', 'B']"), ("'AB'.index('C')", "'C' is not in AB"), ("list.pop(1)", "no method pop")] {
            let error = value(source).unwrap_err().to_string();
            assert!(error.contains(problem), "{source}: {error}");
        }
    }
}
