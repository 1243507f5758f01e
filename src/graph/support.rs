//! What variants the operations of a tape offer on a GPU, and what keeps it from running one.

use super::execute::GpuMachine;
use super::op::Specs;
use super::shape::Storage;
use super::tape::Tape;
use crate::device::{Known, kernel};

/// A variant that an operation of a tape has.
#[derive(Clone, Debug)]
pub(crate) struct VariantSupport {
    /// The operation's file.
    pub(crate) operation: &'static str,
    /// The variant's name.
    pub(crate) variant: &'static str,
    /// How it holds what it multiplies.
    pub(crate) storage: Storage,
    /// What the adapter lacks of what it needs, in words.
    pub(crate) obstacle: Option<String>,
    /// What is known to be wrong with it on this adapter.
    pub(crate) known: Option<&'static Known>,
}

impl GpuMachine {
    /// Every variant of every operation of a tape as it is run here, in its order.
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
                    obstacle: kernels().find_map(|kernel| self.gpu().obstacle(kernel)),
                    known: kernels().find_map(|kernel| self.gpu().known(kernel)),
                });
            }
        }
        support
    }
}
