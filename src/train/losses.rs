//! The loss terms of a step or an evaluation. Pure.

use crate::ops::{Divergence, Objective, TERMS, Term};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::collections::BTreeMap;

/// Loss terms, each a mean over positions; in JSON by [`Term::name`], without unknown ones. In training, terms
/// against the teacher are at the run's temperature, times its square. On held-out text they are at temperature 1
/// for every objective, so that runs can be compared; with only a cache, at the cache's temperature and of its
/// distributions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses([Option<f64>; TERMS]);

impl Default for Losses {
    fn default() -> Self {
        Self(Term::ALL.map(|term| term.always().then_some(0.0)))
    }
}

impl Losses {
    /// Creates losses of these terms; others that are always reported are 0.
    pub fn new(terms: impl IntoIterator<Item = (Term, f64)>) -> Self {
        let mut losses = Self::default();
        terms.into_iter().for_each(|(term, value)| losses.0[term.index()] = Some(value));
        losses
    }

    /// Reads the sums of the kernels; `known` returns true for the divergences that were computed.
    pub(crate) fn read(words: &[u32], known: impl Fn(Divergence) -> bool) -> Self {
        let known = |term| matches!(term, Term::Of(divergence) if known(divergence));
        Self(Term::ALL.map(|term| (term.always() || known(term)).then(|| f64::from(f32::from_bits(words[term.index()])))))
    }

    /// Returns a term, if it is known.
    pub fn get(&self, term: Term) -> Option<f64> {
        self.0[term.index()]
    }

    /// Cross-entropy against the teacher's distribution.
    pub fn ad(&self) -> f64 {
        self.or_nan(Term::Ad)
    }

    /// Cross-entropy against the next token.
    pub fn ar(&self) -> f64 {
        self.or_nan(Term::Ar)
    }

    /// KL(teacher‖student).
    pub fn kl(&self) -> f64 {
        self.or_nan(Term::KL)
    }

    fn or_nan(&self, term: Term) -> f64 {
        self.get(term).unwrap_or(f64::NAN)
    }

    /// Returns the loss that `objective` minimises.
    pub fn minimised(&self, objective: Objective) -> f64 {
        objective.loss(&Term::ALL.map(|term| self.or_nan(term)))
    }
}

impl Serialize for Losses {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (term, value) in Term::ALL.into_iter().filter_map(|term| Some((term, self.get(term)?))) {
            map.serialize_entry(term.name(), &value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Losses {
    /// JSON has no NaN and no infinity, which are written as `null`: terms that are always reported read `null` as NaN.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, Option<f64>>::deserialize(from)?;
        let mut losses = Self::default();
        for term in Term::ALL {
            losses.0[term.index()] = match (values.get(term.name()), term.always()) {
                (None, true) => return Err(D::Error::missing_field(term.name())),
                (value, true) => Some(value.copied().flatten().unwrap_or(f64::NAN)),
                (value, false) => value.copied().flatten(),
            };
        }
        Ok(losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_written_by_name_and_read_back() {
        let losses = Losses::new([(Term::Ad, 5.0), (Term::Ar, 6.0), (Term::KL, 0.5), (Term::Of(Divergence::Js), 0.25)]);
        let text = serde_json::to_string(&losses).unwrap();
        assert_eq!(text, r#"{"ad":5.0,"ar":6.0,"kl":0.5,"js":0.25}"#);
        assert_eq!(serde_json::from_str::<Losses>(&text).unwrap(), losses);
        let read = |text: &str| serde_json::from_str::<Losses>(text);
        let nan = read(r#"{"ad":1,"ar":null,"kl":0,"reverse":null,"later":3}"#).unwrap();
        assert!(nan.ar().is_nan() && nan.get(Term::Of(Divergence::Reverse)).is_none());
        assert!(read(r#"{"ad":1,"ar":2}"#).unwrap_err().to_string().contains("kl"));
    }

    #[test]
    fn each_divergence_is_minimised_by_its_term() {
        for divergence in Divergence::ALL {
            let trained = divergence.minimised_term();
            let objective = Objective { next_token: 0.5, divergence, temperature: 1.0 };
            let losses = Losses::new([(Term::Ar, 3.0), (trained, 1.0)]);
            assert_eq!(losses.minimised(objective), 2.0, "{divergence:?}");
        }
    }
}
