//! The loss terms that the kernels report for each row of logits, by name.

use super::divergence::Divergence;

/// A loss term of a row, with the teacher's p and the student's q at the objective's temperature τ.
/// [`Term::index`] is its position in a report; the shader has it as a constant of the term's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// τ²·CE(p, q): cross-entropy against the teacher's distribution. 0 without a teacher.
    Ad,
    /// Cross-entropy against the next token, at temperature 1.
    Ar,
    /// τ² times a divergence. 0 without a teacher; but for [`super::divergence::DivergenceInfo::always`], also where there is a
    /// gradient and another is trained.
    Of(Divergence),
}

/// Number of terms reported for a row of logits.
pub const TERMS: usize = 2 + Divergence::ALL.len();

impl Term {
    /// All terms, in the order of a report.
    pub const ALL: [Self; TERMS] = {
        let mut all = [Self::Ad; TERMS];
        all[Self::Ar.index()] = Self::Ar;
        let mut n = 0;
        while n < Divergence::ALL.len() {
            let term = Self::Of(Divergence::ALL[n]);
            all[term.index()] = term;
            n += 1;
        }
        all
    };
    /// KL(p‖q).
    pub const KL: Self = Self::Of(Divergence::Forward);

    /// Its position in a report.
    pub const fn index(self) -> usize {
        match self {
            Self::Ad => 0,
            Self::Ar => 1,
            Self::Of(divergence) => 2 + divergence as usize,
        }
    }

    /// Its name in metrics.jsonl and in `--json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ad => "ad",
            Self::Ar => "ar",
            Self::Of(divergence) => divergence.info().term,
        }
    }

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ad => "cross-entropy against the teacher",
            Self::Ar => "next-token cross-entropy",
            Self::Of(divergence) => divergence.info().title,
        }
    }

    /// Its CSV column on held-out text.
    pub const fn held_out(self) -> &'static str {
        match self {
            Self::Ad => "held_out_ad",
            Self::Ar => "held_out_ar",
            Self::Of(divergence) => divergence.info().held_out,
        }
    }

    /// True if it is reported for every objective.
    pub const fn always(self) -> bool {
        match self {
            Self::Ad | Self::Ar => true,
            Self::Of(divergence) => divergence.info().always,
        }
    }
}

impl Divergence {
    /// The term that is minimised: its own, or one with the same gradient.
    pub const fn minimised_term(self) -> Term {
        if self.info().always { Term::Ad } else { Term::Of(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shader_has_terms_and_divergences_by_the_same_numbers() {
        let shader = include_str!("../../../shaders/distill.wgsl");
        let has = |name: String, value: usize| {
            let line = format!("const {name}: u32 = {value}u;");
            assert!(shader.lines().any(|known| known == line), "shaders/distill.wgsl has no {line:?}");
        };
        has("TERMS".into(), TERMS);
        for (n, term) in Term::ALL.into_iter().enumerate() {
            assert_eq!(term.index(), n);
            has(format!("TERM_{}", term.name().to_uppercase()), n);
        }
        for divergence in Divergence::ALL {
            has(divergence.info().name.to_uppercase(), divergence as usize);
        }
    }

    #[test]
    fn names_are_those_of_files() {
        for divergence in Divergence::ALL {
            let info = divergence.info();
            assert_eq!(serde_json::to_value(divergence).unwrap(), info.name);
            assert_eq!(info.held_out, format!("held_out_{}", info.term));
        }
    }
}
