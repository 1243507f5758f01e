//! Curves of a run: losses, KL, flip-flop ratios, gradient norm and learning rate, read from its metrics and
//! thinned to the resolution of a picture.

use super::curve::Curve;
use super::follow::{MetricsPosition, read_metrics_chunk};
use super::metrics::Metrics;
use super::quantities::{QUANTITIES, Scale, quantity};
use super::run_error::RunError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The horizontal axis of curves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Optimizer steps.
    #[default]
    Steps,
    /// Tokens that the student has seen.
    Tokens,
}

/// Columns of a curve: more than the pixels of a panel would only make the file larger.
pub(super) const COLUMNS: usize = 600;

/// The curves of one run, thinned as they are read.
#[derive(Clone, Debug)]
pub struct Curves {
    pub(super) name: String,
    pub(super) axis: Axis,
    sizes: Vec<usize>,
    /// The curve of each of [`QUANTITIES`]; empty for those without one.
    pub(super) values: Vec<Curve>,
    pub(super) blocks: Vec<Curve>,
    position: MetricsPosition,
}

impl Curves {
    /// Creates empty curves. `sizes` are the weights of each binarized matrix; if empty, all count the same.
    pub fn new(name: &str, sizes: &[usize], axis: Axis) -> Self {
        let values = vec![thinned(); QUANTITIES.len()];
        Self { name: name.into(), axis, sizes: sizes.to_vec(), values, blocks: Vec::new(), position: MetricsPosition::default() }
    }

    /// Reads the steps recorded since the last time; returns errors of lines that cannot be read.
    /// `stop` may end it early.
    pub fn read_new(&mut self, run: &Path, stop: &dyn Fn() -> bool) -> Result<Vec<String>, RunError> {
        let mut broken = Vec::new();
        loop {
            let chunk = read_metrics_chunk(run, self.position)?;
            if chunk.restarted {
                *self = Self::new(&self.name, &self.sizes, self.axis);
            }
            self.position = chunk.until;
            chunk.metrics.iter().for_each(|metrics| self.push(metrics));
            broken.extend(chunk.broken);
            if !chunk.more || stop() {
                return Ok(broken);
            }
        }
    }

    /// Returns true if there is no step to draw.
    pub fn is_empty(&self) -> bool {
        [const { quantity("loss") }, const { quantity("lr") }].iter().all(|&position| self.values[position].is_empty())
    }

    pub(super) fn push(&mut self, metrics: &Metrics) {
        let x = match self.axis {
            Axis::Steps => metrics.step,
            Axis::Tokens => metrics.tokens,
        };
        // Rounded as in a curve: a value that becomes 0 has no logarithm.
        let usable = |value: f64, scale: Scale| (value as f32).is_finite() && (scale != Scale::Logarithmic || value as f32 > 0.0);
        for (curve, row) in self.values.iter_mut().zip(&QUANTITIES).filter(|(_, row)| row.curve) {
            if let Some(value) = row.drawn(metrics).filter(|&value| usable(value, row.scale)) {
                curve.push(x, value);
            }
        }
        if self.sizes.len() != metrics.flips.len() {
            self.sizes = vec![1; metrics.flips.len()];
        }
        let blocks = metrics.flips_by_block(&self.sizes);
        self.blocks.resize_with(blocks.len(), thinned);
        for (curve, value) in self.blocks.iter_mut().zip(blocks).filter(|(_, value)| usable(*value, Scale::Logarithmic)) {
            curve.push(x, value);
        }
    }
}

/// Returns an empty curve with the resolution of a picture.
fn thinned() -> Curve {
    Curve::thinned(4 * COLUMNS)
}

/// Runs that are drawn as one line: their mean, with a band of their deviation.
pub struct CurveGroup<'a> {
    /// Its name.
    pub name: String,
    /// The runs; a single run is drawn without a band.
    pub runs: Vec<&'a Curves>,
}

impl<'a> From<&'a Curves> for CurveGroup<'a> {
    fn from(run: &'a Curves) -> Self {
        Self { name: run.name.clone(), runs: vec![run] }
    }
}
