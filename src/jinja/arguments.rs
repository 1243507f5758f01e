//! Call arguments, bound to parameters by Python's rules.

use super::ast::Name;
use super::jinja_error::{JinjaError, Result};
use super::value::{Text, Value};

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Name, Value)>,
}

impl Arguments {
    /// Positional arguments only.
    pub(super) fn of(positional: Vec<Value>) -> Self {
        Self { positional, named: Vec::new() }
    }

    /// Binds them to the parameters of `function`, of which the first `required` are mandatory. A parameter with an empty
    /// name is positional-only.
    pub(super) fn bind<const N: usize>(self, function: &str, names: [&str; N], required: usize) -> Result<[Option<Value>; N]> {
        let count = self.positional.len();
        if count > N {
            return Err(JinjaError::new(format!("{function}() takes at most {N} arguments, but {count} were given")));
        }
        let mut bound = [const { None }; N];
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let at = names.iter().position(|known| **known == *name && !known.is_empty());
            match at {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return Err(JinjaError::new(format!("{function}() got two values for the argument '{name}'"))),
                None => return Err(JinjaError::new(format!("{function}() has no argument '{name}'"))),
            }
        }
        match bound[..required].iter().position(Option::is_none) {
            Some(at) => {
                let name = if names[at].is_empty() { format!("number {}", at + 1) } else { format!("'{}'", names[at]) };
                Err(JinjaError::new(format!("{function}() is missing the argument {name}")))
            }
            None => Ok(bound),
        }
    }

    /// Fails if there are any.
    pub(super) fn none(self, function: &str) -> Result<()> {
        self.bind::<0>(function, [], 0).map(drop)
    }
}

/// Converts an argument that must be a string.
pub(super) fn expect_text(value: Option<Value>, function: &str) -> Result<Text> {
    match value {
        Some(Value::Str(text)) => Ok(text),
        Some(other) => Err(other.mismatch(format_args!("{function} expects text"))),
        None => Err(JinjaError::new(format!("{function} expects text"))),
    }
}

/// Converts an argument that must be an integer.
pub(super) fn expect_int(value: Option<Value>, default: i128, function: &str) -> Result<i128> {
    match value {
        None => Ok(default),
        Some(value) => value.as_int().ok_or_else(|| JinjaError::new(format!("{function} expects an integer, not '{}'", value.type_name()))),
    }
}

/// Converts a boolean argument, false by default.
pub(super) fn is_true(value: Option<Value>) -> bool {
    value.is_some_and(|value| value.truth())
}
