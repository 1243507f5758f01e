//! Test cases of the loss.

use super::{Distill, DistillTop, Divergence, LossSum, Objective, TERMS};
use crate::graph::{Case, Fill, Spec};

/// Test cases: every objective, weights of zero, ids out of range, a loss scale.
pub(crate) fn cases() -> Vec<Case> {
    use Divergence::{Forward, Js};
    let cached = || Divergence::ALL.into_iter().filter(|divergence| divergence.info().uncached.is_none());
    let objective = |next_token, divergence, temperature| Objective { next_token, divergence, temperature };
    let warm = objective(0.25, Forward, 0.5);
    let mut cases = Vec::new();
    for (rows, vocabulary) in [(1, 1), (2, 3), (3, 33), (5, 257), (8, 100), (9, 1000), (33, 65)] {
        for objective in [Objective::AD, Objective::AR, Objective::MIX, objective(0.0, Forward, 2.0), warm] {
            cases.push(case(rows, vocabulary, objective, true, 1.5));
        }
        for divergence in Divergence::ALL.into_iter().filter(|&divergence| divergence != Forward) {
            for (next_token, temperature) in [(0.0, 1.0), (0.5, 2.0), (0.25, 0.5)] {
                cases.push(case(rows, vocabulary, objective(next_token, divergence, temperature), true, 1.5));
            }
        }
        cases.push(case(rows, vocabulary, Objective::MIX, false, 1.5));
        cases.push(case(rows, vocabulary, objective(0.0, Js, 2.0), false, 1.5));
    }
    // Logits far apart: most probabilities vanish.
    for divergence in Divergence::ALL {
        cases.push(case(4, 50, objective(0.5, divergence, 1.0), true, 40.0));
    }
    cases.push(case(4, 50, Objective::AD, false, 40.0));
    for (rows, vocabulary, kept) in [(1, 2, 1), (3, 33, 4), (5, 257, 8), (8, 100, 99), (9, 1000, 256), (33, 65, 32), (4, 600, 1)] {
        for divergence in cached() {
            for (next_token, temperature) in [(0.0, 1.0), (0.5, 1.0), (0.25, 2.0)] {
                cases.push(case_top(rows, vocabulary, kept, objective(next_token, divergence, temperature), true, 1.5));
            }
        }
        cases.push(case_top(rows, vocabulary, kept, Objective::MIX, false, 1.5));
    }
    // The student's probability of the bucket is almost 0, or almost 1.
    for divergence in cached() {
        cases.push(case_top(8, 50, 10, objective(0.0, divergence, 1.0), true, 40.0));
    }
    cases.extend([1, 7, 300].map(|rows| {
        let case = Case::new(format!("sum of {rows} rows"), LossSum).input(Spec::f32(rows, TERMS), Fill::Normal(2.0, 1.0));
        case.input(Spec::f32(rows, 1), Fill::Floats(vec![1.0, 0.0, 0.5])).update(Spec::f32(1, TERMS), Fill::Normal(5.0, 1.0))
    }));
    cases
}

/// Returns the label of a case.
fn label(what: String, Objective { next_token, divergence, temperature }: Objective, gradient: bool, deviation: f32) -> String {
    format!("{what}, {divergence:?}, next {next_token}, τ {temperature}{}, ±{deviation}", if gradient { "" } else { ", no gradient" })
}

fn case(rows: usize, vocabulary: usize, objective: Objective, gradient: bool, deviation: f32) -> Case {
    let logits = Spec::f32(rows, vocabulary);
    let case = Case::new(label(format!("{rows}×{vocabulary}"), objective, gradient, deviation), Distill { objective, gradient })
        .input(Spec::u32(rows, 1), Fill::Below(vocabulary as u32 + 1))
        .input(Spec::f32(rows, 1), Fill::Floats(vec![1.0, 0.5, 0.0, 2.0]))
        .input(Spec::f32(1, 1), Fill::Floats(vec![1024.0]));
    let case = if objective.next_token < 1.0 { case.input(logits, Fill::Normal(-0.3, deviation)) } else { case };
    let case = case.update(logits, Fill::Normal(0.4, deviation));
    if gradient { differentiated(case, objective) } else { case }
}

/// Expects that the logits become the gradient of the weighted loss.
fn differentiated(case: Case, objective: Objective) -> Case {
    case.in_place(move |inputs, outputs| {
        let rows = outputs[0].chunks(TERMS).zip(&inputs[1]);
        rows.map(|(terms, weight)| inputs[2][0] * weight * objective.loss(terms)).sum()
    })
}

fn case_top(rows: usize, vocabulary: usize, kept: usize, objective: Objective, gradient: bool, deviation: f32) -> Case {
    // Ascending ids, spread over the vocabulary and different in each row.
    let ids = (0..rows).flat_map(|row| (0..kept).map(move |n| ((n * vocabulary + row % 3 * (vocabulary - kept) / 2) / kept) as u32)).collect();
    let case = Case::new(label(format!("top {kept} of {rows}×{vocabulary}"), objective, gradient, deviation), DistillTop { objective, gradient })
        .input(Spec::u32(rows, 1), Fill::Below(vocabulary as u32 + 1))
        .input(Spec::f32(rows, 1), Fill::Floats(vec![1.0, 0.5, 0.0, 2.0]))
        .input(Spec::f32(1, 1), Fill::Floats(vec![1024.0]))
        .input(Spec::u32(rows, kept), Fill::Words(ids))
        .input(Spec::f32(rows, kept + 1), Fill::Floats(shares(rows, kept)))
        .update(Spec::f32(rows, vocabulary), Fill::Normal(0.4, deviation));
    if gradient { differentiated(case, objective) } else { case }
}

/// Returns distributions over `kept` tokens and a bucket: the bucket has some, no, or nearly all
/// probability; some tokens have none.
fn shares(rows: usize, kept: usize) -> Vec<f32> {
    let weight = |row: usize, n: usize| match (row % 3, n == kept) {
        (1, true) => 0.0,
        (2, true) => 1e4 * kept as f32,
        _ if (row + n) % 5 == 4 => 0.0,
        _ => 1.0 / (1.0 + ((7 * n + row) % 13) as f32),
    };
    let row = |row: usize| {
        let total: f32 = (0..=kept).map(|n| weight(row, n)).sum();
        (0..=kept).map(move |n| weight(row, n) / total)
    };
    (0..rows).flat_map(row).collect()
}
