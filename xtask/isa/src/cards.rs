//! Figures of graphics cards that the cost model uses, with their sources.

use serde::Serialize;

/// A card's peak figures.
#[derive(Debug, Serialize)]
pub(crate) struct Card {
    /// The vendor's name.
    pub(crate) name: &'static str,
    /// f32 operations per second, a multiply-add as two.
    pub(crate) operations: f64,
    /// Bytes per second of its memory.
    pub(crate) bandwidth: f64,
    /// Compute units, multiprocessors, or cores: each runs whole workgroups.
    pub(crate) units: u64,
    /// The source of the figures.
    pub(crate) source: &'static str,
}

/// All cards, in the order of the tables.
pub(crate) const CARDS: [Card; 5] = [
    Card {
        name: "RX 7900 XTX",
        operations: 61.4e12,
        bandwidth: 960e9,
        units: 96,
        source: "AMD's product page; the rate counts two operations in a cycle (dual issue)",
    },
    Card { name: "RTX 4070", operations: 29.15e12, bandwidth: 504e9, units: 46, source: "NVIDIA's Ada architecture whitepaper" },
    Card {
        name: "M3",
        operations: 3.53e12,
        bandwidth: 100e9,
        units: 10,
        source: "bandwidth and cores: Apple's specifications; the rate is 10 cores × 128 lanes × 2 × 1.38 GHz, which Apple does not publish",
    },
    Card { name: "Arc B580", operations: 13.67e12, bandwidth: 456e9, units: 20, source: "Intel's product page: 20 cores × 128 lanes × 2 × 2.67 GHz" },
    Card {
        name: "Radeon 780M",
        operations: 8.29e12,
        bandwidth: 89.6e9,
        units: 12,
        source: "AMD's product page: 12 units × 128 × 2 × 2.7 GHz with dual issue; two channels of DDR5-5600",
    },
];

/// Assumed seconds of a dependent dispatch, on every card, until `bench dispatch` has measured it there.
pub(crate) const DISPATCH_SECONDS: f64 = 5e-6;
