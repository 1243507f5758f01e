//! The variant of each operation of a tape on a GPU. Pure.

use super::op::{AnyOp, Specs, Variant};
use super::shape::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The chosen variant of each operation and shape, by name. Others use the preferred variant if they
/// have it, otherwise the first that the adapter can run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variants {
    chosen: BTreeMap<String, String>,
    #[serde(skip)]
    preferred: Option<String>,
}

impl Variants {
    /// Prefers this variant of every operation that has it.
    pub fn preferring(variant: &str) -> Self {
        Self { preferred: Some(variant.to_owned()), ..Self::default() }
    }

    /// Returns the key of an operation: its attributes, and the shapes and storage of its operands. Runs and
    /// tuning files contain it: it is spelled out here, independent of `Debug`, and must never change.
    pub fn key(op: &dyn AnyOp, specs: Specs<'_>) -> String {
        let list = |specs: &[Spec]| specs.iter().map(key_spec).collect::<Vec<_>>().join(", ");
        format!("{} {}: {} → {}", op.name(), op.key(), list(specs.inputs), list(specs.updates))
    }

    /// Sets the variant of an operation and shape.
    pub fn choose(&mut self, key: String, variant: &str) {
        self.chosen.insert(key, variant.to_owned());
    }

    /// The name chosen for a key.
    pub fn chosen(&self, key: &str) -> Option<&str> {
        self.chosen.get(key).map(String::as_str)
    }

    /// Every choice: key and variant, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.chosen.iter().map(|(key, variant)| (key.as_str(), variant.as_str()))
    }

    /// Picks the variant of an operation among those that the adapter can run.
    pub(crate) fn pick(&self, key: &str, candidates: Vec<Variant>) -> Option<Variant> {
        let named = |name: Option<&str>| candidates.iter().position(|variant| Some(variant.name) == name);
        let index = named(self.chosen(key)).or_else(|| named(self.preferred.as_deref())).unwrap_or(0);
        candidates.into_iter().nth(index)
    }
}

/// Formats shape and storage as part of a key.
fn key_spec(spec: &Spec) -> String {
    format!("({}, {}) {}", spec.rows, spec.cols, spec.storage.key())
}

/// Formats a number as part of a key: with a decimal point, or with an exponent if very small or large.
pub(crate) fn key_float(x: f64) -> String {
    match x.abs() {
        size if size != 0.0 && !(1e-4..1e16).contains(&size) => format!("{x:e}"),
        _ if x.fract() == 0.0 => format!("{x:.1}"),
        _ => x.to_string(),
    }
}
