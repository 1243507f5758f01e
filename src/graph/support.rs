//! The variants of a tape's operations that a GPU supports, and the reasons why it does not support others.

use super::execute::GpuMachine;
use super::op::Specs;
use super::shape::Storage;
use super::tape::Tape;
use crate::device::{KnownFailure, kernel};

/// A variant of an operation of a tape, with its support on a GPU.
#[derive(Clone, Debug)]
pub(crate) struct VariantSupport {
    /// The operation's name.
    pub(crate) operation: &'static str,
    /// The variant's name.
    pub(crate) variant: &'static str,
    /// The storage of the factors of its products.
    pub(crate) storage: Storage,
    /// The missing feature or exceeded limit, if the adapter cannot run it.
    pub(crate) missing_requirement: Option<String>,
    /// A known failure of it on this adapter.
    pub(crate) known: Option<&'static KnownFailure>,
}

impl GpuMachine {
    /// Returns every variant of every operation of a tape after fusion, in order.
    pub(crate) fn variant_support(&self, tape: &Tape) -> Vec<VariantSupport> {
        let tape = self.fused(tape);
        let mut support = Vec::new();
        for node in &tape.nodes {
            let (inputs, updates) = tape.specs_of(node);
            for variant in node.op.variants(Specs { inputs: &inputs, updates: &updates }) {
                let kernels = || variant.launches.iter().filter_map(|launch| kernel(launch.kernel));
                support.push(VariantSupport {
                    operation: node.op.name(),
                    variant: variant.name,
                    storage: variant.storage,
                    missing_requirement: kernels().find_map(|kernel| self.gpu().missing_requirements(kernel)),
                    known: kernels().find_map(|kernel| self.gpu().known_failure(kernel)),
                });
            }
        }
        support
    }
}
