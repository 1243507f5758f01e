//! Distillation losses compared with another framework in float64 (`tests/golden/losses/make.py`), on the CPU device and
//! on every adapter.

use crate::shared::root;
use pollster::block_on;
use serde::Deserialize;
use signet::device::{Checks, Gpu, adapters};
use signet::graph::{BufferKind, Machine, Spec, Tape, TensorLocation};
use signet::ops::{Distill, DistillTop, Divergence, FUSIONS, Objective, TERMS, Term};
use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

#[derive(Deserialize)]
struct Golden {
    rows: usize,
    vocabulary: usize,
    student: Vec<f32>,
    teacher: Vec<f32>,
    tokens: Vec<u32>,
    weights: Vec<f32>,
    /// The terms of each row by name, at temperature 1.
    measures: Vec<BTreeMap<String, f64>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    temperature: f64,
    divergence: Divergence,
    next_token: f64,
    /// τ² times the divergence of each row; with `ids`, of the distributions over these tokens and a bucket of all others.
    rows: Vec<f64>,
    gradient: Vec<f64>,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    shares: Vec<f32>,
}

impl Golden {
    fn open() -> Self {
        let path = root().join("tests/golden/losses/losses.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// A term of each row.
    fn term(&self, term: Term) -> Vec<f64> {
        let of = |row: &BTreeMap<String, f64>| *row.get(term.name()).unwrap_or_else(|| panic!("losses.json measures no {}", term.name()));
        self.measures.iter().map(of).collect()
    }

    /// Refuses figures that no term is compared with, and cells of the loss that none is compared in.
    fn covers(&self) {
        let columns: BTreeSet<usize> = Term::ALL.into_iter().map(Term::index).collect();
        assert!(columns.into_iter().eq(0..TERMS), "a column of the loss has no term, or two");
        let names: BTreeSet<&str> = Term::ALL.into_iter().map(Term::name).collect();
        assert_eq!(self.measures.len(), self.rows);
        for row in &self.measures {
            assert_eq!(row.keys().map(String::as_str).collect::<BTreeSet<_>>(), names, "losses.json measures other terms");
        }
        for case in &self.cases {
            assert_eq!((case.rows.len(), case.gradient.len()), (self.rows, self.student.len()), "losses.json lacks cells");
        }
    }

    /// Terms and logits after the loss; `kept` are ids and shares of a cached teacher.
    fn run(&self, machine: &mut Machine, objective: Objective, gradient: bool, kept: Option<(&[u32], &[f32])>) -> (Vec<f32>, Vec<f32>) {
        let mut tape = Tape::new();
        let mut give = |spec: Spec, words: &[u32]| {
            let location = TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words()).unwrap(), offset: 0, spec };
            machine.write(&location, words).unwrap();
            (tape.persistent(location), location)
        };
        let words = |values: &[f32]| bytemuck::cast_slice::<f32, u32>(values).to_vec();
        let (rows, logits) = (self.rows, Spec::f32(self.rows, self.vocabulary));
        let mut inputs = vec![give(Spec::u32(rows, 1), &self.tokens).0, give(Spec::f32(rows, 1), &words(&self.weights)).0];
        inputs.push(give(Spec::f32(1, 1), &words(&[1.0])).0);
        let (student, location) = give(logits, &words(&self.student));
        match kept {
            Some((ids, shares)) => {
                inputs.push(give(Spec::u32(rows, ids.len() / rows), ids).0);
                inputs.push(give(Spec::f32(rows, shares.len() / rows), &words(shares)).0);
            }
            None => inputs.push(give(logits, &words(&self.teacher)).0),
        }
        let terms = match kept {
            Some(_) => tape.push_one(DistillTop { objective, gradient }, &inputs, &[student]),
            None => tape.push_one(Distill { objective, gradient }, &inputs, &[student]),
        };
        let terms = terms.unwrap();
        tape.keep(terms);
        let mut program = machine.compile(tape).unwrap();
        machine.run(&mut program).unwrap();
        let terms = bytemuck::cast_vec(block_on(machine.read_tensor(&program, terms)).unwrap());
        (terms, block_on(machine.read_f32(&location)).unwrap())
    }

    fn check(&self, machine: &mut Machine) {
        self.covers();
        let (terms, after) = self.run(machine, Objective::AD, false, None);
        assert_eq!(after, self.student, "logits change without a gradient");
        assert_eq!(terms.len(), self.rows * TERMS, "a cell for each term of each row");
        for term in Term::ALL {
            let got: Vec<f32> = terms.chunks(TERMS).map(|terms| terms[term.index()]).collect();
            near(term.title(), &got, &self.term(term));
        }
        for case in &self.cases {
            let Case { temperature, divergence, next_token, .. } = *case;
            let objective = Objective { next_token, divergence, temperature };
            let kept = (!case.ids.is_empty()).then_some((&case.ids[..], &case.shares[..]));
            let (terms, gradient) = self.run(machine, objective, true, kept);
            let what = format!("{objective:?}{}", if kept.is_some() { " of a cached teacher" } else { "" });
            let trained = divergence.minimised_term().index();
            let rows: Vec<f32> = terms.chunks(TERMS).map(|terms| terms[trained]).collect();
            near(&what, &rows, &case.rows);
            near(&format!("gradient of {what}"), &gradient, &case.gradient);
        }
    }
}

/// Compares with a tolerance of some roundings, relative to the largest value.
fn near(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let most = want.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    for (n, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(error <= 2e-6 * most, "{what}, {n}: {got}, not {want}");
    }
}

#[test]
fn divergences_equal_those_of_another_framework() {
    Golden::open().check(&mut Machine::cpu());
}

#[test]
fn divergences_on_every_adapter_equal_those_of_another_framework() {
    let adapters = block_on(adapters());
    assert!(!adapters.is_empty(), "no adapter: install a Vulkan driver; Debian's mesa-vulkan-drivers has a software one");
    for adapter in &adapters {
        println!("{adapter}");
        Golden::open().check(&mut Machine::gpu(Arc::new(block_on(Gpu::open(adapter, Checks::Off)).unwrap()), FUSIONS));
    }
}

#[test]
fn every_divergence_has_its_formula_in_the_docs_and_golden_figures() {
    let docs = std::fs::read_to_string(root().join("docs/losses.md")).unwrap();
    let golden = Golden::open();
    for divergence in Divergence::ALL {
        let about = divergence.info();
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{}` |", about.name)));
        let row = row.unwrap_or_else(|| panic!("docs/losses.md has no row of {}", about.name));
        for part in [about.title, about.formula, &format!("`{}`", about.term)] {
            assert!(row.contains(part), "docs/losses.md has no {part:?} in the row of {}: {row}", about.name);
        }
        golden.term(Term::Of(divergence));
        let has = |of: &dyn Fn(&Case) -> bool| golden.cases.iter().any(|case| case.divergence == divergence && of(case));
        assert!(has(&|case| case.ids.is_empty() && case.temperature != 1.0), "losses.json has no case of {}", about.name);
        assert!(about.uncached.is_some() || has(&|case| !case.ids.is_empty()), "losses.json has no case of {} from a cache", about.name);
    }
}

#[test]
fn the_reverse_divergence_of_rounded_shares_is_refused() {
    let (mut machine, mut tape) = (Machine::cpu(), Tape::new());
    let mut give =
        |spec: Spec| tape.persistent(TensorLocation { memory: machine.allocate(BufferKind::of(spec.storage), spec.words()).unwrap(), offset: 0, spec });
    let inputs = [Spec::u32(2, 1), Spec::f32(2, 1), Spec::f32(1, 1), Spec::u32(2, 3), Spec::f32(2, 4)].map(&mut give);
    let student = give(Spec::f32(2, 9));
    let objective = Objective { divergence: Divergence::Reverse, ..Objective::AD };
    let refused = tape.push(DistillTop { objective, gradient: true }, &inputs, &[student]).unwrap_err();
    assert!(refused.to_string().contains("infinite"), "{refused}");
}
