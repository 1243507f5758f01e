//! Curves of a run: losses, KL, flip-flop ratios, gradient norm and learning rate, read from what it
//! has recorded and thinned to what a picture shows.

use super::follow::{Place, read_piece};
use super::metrics::Metrics;
use super::run_error::RunError;
use super::thin::Thin;
use crate::ops::{Divergence, Term};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// By what curves are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Optimizer steps.
    #[default]
    Steps,
    /// Tokens that the student has seen.
    Tokens,
}

/// What is drawn of a step besides the blocks' flip-flop ratios: whether by its logarithm, and the value.
pub(super) type Value = (bool, fn(&Metrics) -> Option<f64>);

pub(super) const LOSS: usize = 0;
pub(super) const HELD_LOSS: usize = 1;
pub(super) const HELD_AR: usize = 2;
pub(super) const KL: usize = 3;
pub(super) const HELD_KL: usize = 4;
pub(super) const FLIPS: usize = 5;
pub(super) const NORM: usize = 6;
pub(super) const RATE: usize = 7;
pub(super) const HELD_REVERSE: usize = 8;
pub(super) const HELD_JS: usize = 9;
pub(super) const VALUES: [Value; 10] = [
    (false, |m| Some(m.loss)),
    (false, Metrics::held_out_loss),
    (false, |m| m.held_out.map(|losses| losses.ar())),
    (true, |m| m.kl),
    (true, |m| m.held_out.filter(|_| m.ad.is_some()).map(|losses| losses.kl())),
    (true, |m| (!m.flips.is_empty()).then_some(m.flip_ratio)),
    (true, |m| m.norm),
    (false, |m| Some(m.lr)),
    (true, |m| m.held_out.and_then(|losses| losses.get(Term::Of(Divergence::Reverse)))),
    (true, |m| m.held_out.and_then(|losses| losses.get(Term::Of(Divergence::Js)))),
];

/// The curves of one run, thinned as they are read.
#[derive(Clone, Debug)]
pub struct Curves {
    pub(super) name: String,
    pub(super) axis: Axis,
    sizes: Vec<usize>,
    pub(super) values: Vec<Thin>,
    pub(super) blocks: Vec<Thin>,
    place: Place,
}

impl Curves {
    /// No curves yet. `sizes` are the weights in each binarized matrix; without any, all count the same.
    pub fn new(name: &str, sizes: &[usize], axis: Axis) -> Self {
        let values = vec![Thin::default(); VALUES.len()];
        Self { name: name.into(), axis, sizes: sizes.to_vec(), values, blocks: Vec::new(), place: Place::default() }
    }

    /// Reads what the run has recorded since the last time; gives the lines that could not be read.
    /// `stop` may end it early.
    pub fn read_on(&mut self, run: &Path, stop: &dyn Fn() -> bool) -> Result<Vec<String>, RunError> {
        let mut broken = Vec::new();
        loop {
            let piece = read_piece(run, self.place)?;
            if piece.restarted {
                *self = Self::new(&self.name, &self.sizes, self.axis);
            }
            self.place = piece.until;
            piece.metrics.iter().for_each(|metrics| self.push(metrics));
            broken.extend(piece.broken);
            if !piece.more || stop() {
                return Ok(broken);
            }
        }
    }

    /// Whether there is no step to draw.
    pub fn is_empty(&self) -> bool {
        self.values[LOSS].is_empty() && self.values[RATE].is_empty()
    }

    pub(super) fn push(&mut self, metrics: &Metrics) {
        let x = match self.axis {
            Axis::Steps => metrics.step as f64,
            Axis::Tokens => metrics.tokens as f64,
        };
        let usable = |value: f64, logarithmic: bool| value.is_finite() && (!logarithmic || value > 0.0);
        for (line, (logarithmic, value)) in self.values.iter_mut().zip(VALUES) {
            if let Some(value) = value(metrics).filter(|&value| usable(value, logarithmic)) {
                line.push(x, value);
            }
        }
        if self.sizes.len() != metrics.flips.len() {
            self.sizes = vec![1; metrics.flips.len()];
        }
        let blocks = metrics.flips_by_block(&self.sizes);
        self.blocks.resize_with(blocks.len(), Thin::default);
        for (line, value) in self.blocks.iter_mut().zip(blocks).filter(|(_, value)| usable(*value, true)) {
            line.push(x, value);
        }
    }
}

/// Runs that are drawn as one line: their mean, in a band of their spread.
pub struct Group<'a> {
    /// What it is called.
    pub name: String,
    /// The runs; of one alone, its own curves are drawn.
    pub runs: Vec<&'a Curves>,
}

impl<'a> From<&'a Curves> for Group<'a> {
    fn from(run: &'a Curves) -> Self {
        Self { name: run.name.clone(), runs: vec![run] }
    }
}
