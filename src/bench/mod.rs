//! Benchmarks on random data with the shapes of real models, on any device: medians and spread.

mod decode;
mod kernels;
mod matmul;
mod train;

pub use decode::{DecodeBench, DecodeReport, DecodeSide, decode, decode_set_up};
pub use kernels::{DispatchCounts, KernelRow, Rates, dispatch_cost, dispatch_counts};
pub use matmul::{MatmulReport, matmul};
pub use train::{TrainBench, TrainBenchReport, shape, train, train_set_up, vocabulary};

use serde::{Deserialize, Serialize};

/// Progress callback `(done, total, description)`. An error stops the benchmark.
pub type BenchProgress<'a> = &'a mut dyn FnMut(usize, usize, &str) -> anyhow::Result<()>;

/// Minimum, median and maximum of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Minimum.
    #[serde(rename = "least")]
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Maximum.
    #[serde(rename = "greatest")]
    pub max: f64,
}

impl Spread {
    /// Computes the spread of at least one value.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[half] } else { 0.5 * (sorted[half - 1] + sorted[half]) };
        Self { min: sorted[0], median, max: sorted[sorted.len() - 1] }
    }
}
