//! Reverse-mode differentiation: walks the tape backwards and appends the gradient of each operation.

use super::ids::TensorId;
use super::op::{Backward, DynOp, Rule, ShapeError};
use super::shape::Spec;
use super::tape::{Node, Tape};
use std::collections::HashMap;

/// An error of differentiating a tape.
#[derive(Debug, thiserror::Error)]
pub enum BackwardError {
    /// The operands of a gradient operation do not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// An operation on the path of a gradient has none.
    #[error("cannot differentiate {op}: {why}")]
    NoRule {
        /// The operation.
        op: &'static str,
        /// The reason.
        why: &'static str,
    },
}

/// A node being differentiated, and the tape its gradient goes to.
struct Differentiated<'a> {
    tape: &'a mut Tape,
    node: Node,
    gradients: &'a mut HashMap<TensorId, TensorId>,
    sum: &'a DynOp,
    failed: Option<ShapeError>,
}

impl Backward for Differentiated<'_> {
    fn input(&self, n: usize) -> TensorId {
        self.node.inputs[n]
    }

    fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    fn output(&self, n: usize) -> TensorId {
        self.node.outputs[n]
    }

    fn upstream(&self, n: usize) -> Option<TensorId> {
        self.gradients.get(&self.node.outputs[n]).copied()
    }

    fn needs_gradient(&self, n: usize) -> bool {
        self.tape.tensors[self.node.inputs[n].0].needs_gradient
    }

    fn accumulator(&self, n: usize) -> Option<TensorId> {
        self.tape.tensors[self.node.inputs[n].0].accumulator
    }

    fn spec(&self, tensor: TensorId) -> Spec {
        self.tape.spec(tensor)
    }

    fn push_dyn(&mut self, op: DynOp, inputs: &[TensorId], updates: &[TensorId]) -> Vec<TensorId> {
        match self.tape.push_dyn(op, inputs, updates) {
            Ok(outputs) => {
                // Second derivatives are not computed.
                for output in &outputs {
                    self.tape.tensors[output.0].needs_gradient = false;
                }
                outputs
            }
            Err(error) => {
                self.failed.get_or_insert(error);
                Vec::new()
            }
        }
    }

    fn add_gradient(&mut self, n: usize, gradient: Option<TensorId>) {
        let Some(gradient) = gradient else { return };
        let tensor = self.node.inputs[n];
        let sum = match self.gradients.get(&tensor).copied() {
            None => Some(gradient),
            Some(earlier) => self.push_dyn(self.sum.clone(), &[earlier, gradient], &[]).first().copied(),
        };
        if let Some(sum) = sum {
            self.gradients.insert(tensor, sum);
        }
    }
}

impl Tape {
    /// Appends the gradients of all operations recorded so far, starting from `seeds`: pairs of a
    /// tensor and the gradient of the loss with respect to it. Gradients of parameters are added to
    /// their accumulators; those of other tensors are returned. `sum` adds two gradients of one
    /// tensor: the graph itself knows no operation.
    pub fn backward(&mut self, seeds: &[(TensorId, TensorId)], sum: DynOp) -> Result<HashMap<TensorId, TensorId>, BackwardError> {
        let end = self.nodes.len();
        self.forward = end;
        let mut gradients: HashMap<TensorId, TensorId> = seeds.iter().copied().collect();
        for index in (0..end).rev() {
            let node = self.nodes[index].clone();
            let reached = node.outputs.iter().any(|output| gradients.contains_key(output));
            let needed = node.inputs.iter().any(|input| self.tensors[input.0].needs_gradient);
            if !reached || !needed {
                continue;
            }
            let op = node.op.clone();
            let mut differentiated = Differentiated { tape: self, node, gradients: &mut gradients, sum: &sum, failed: None };
            let rule = op.backward(&mut differentiated);
            if let Some(error) = differentiated.failed {
                return Err(error.into());
            }
            if let Rule::None(why) = rule {
                return Err(BackwardError::NoRule { op: op.name(), why });
            }
        }
        Ok(gradients)
    }
}
