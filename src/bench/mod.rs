//! Benchmarks on random data of real shapes, on any device: medians and spread.

mod decode;
mod kernels;
mod matmul;
mod train;

pub use decode::{DecodeBench, DecodeReport, DecodeSide, decode, decode_set_up};
pub use kernels::{DispatchCounts, KernelRow, Rates, dispatch_cost, dispatch_counts};
pub use matmul::{MatmulReport, matmul};
pub use train::{TrainBench, TrainBenchReport, train, train_set_up, vocabulary};

use serde::{Deserialize, Serialize};

/// Told how far a benchmark is: parts done, parts in all, and what is being done. Its error ends the
/// benchmark, which is how one is stopped.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize, &str) -> anyhow::Result<()>;

/// Least, median and greatest of some measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Least.
    pub least: f64,
    /// Median.
    pub median: f64,
    /// Greatest.
    pub greatest: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[half] } else { 0.5 * (sorted[half - 1] + sorted[half]) };
        Self { least: sorted[0], median, greatest: sorted[sorted.len() - 1] }
    }
}
