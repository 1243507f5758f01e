//! Fusion: replaces sequences of operations by one, where a rule has kernels for them. The unfused tape
//! is the reference: the twin of a fused operation runs the sequence. Pure.

use super::ids::{BufferId, TensorId};
use super::op::{AnyOp, Backward, DynOp, Rule, RunCpu, ShapeError, Specs, Variant};
use super::shape::{BufferKind, Spec};
use super::tape::{BufferOwner, Node, Tape};
use super::traced::Traced;
use super::view::{CpuIo, Data, ViewMut};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

/// A rule for fusing a sequence of operations. Each operation is the only reader of the first output of
/// the one before.
pub struct Fusion {
    /// Its name.
    pub name: &'static str,
    /// For each position of the sequence, a function that returns true if an operation fits.
    pub sequence: &'static [fn(&dyn Any) -> bool],
    /// Returns the implementations; none if there is no kernel for these operands. In the order of the
    /// sequence, inputs are those from outside it; updates are all updates; outputs are those of the last
    /// operation, then all but the first of the others (scratch).
    pub variants: fn(&[FusedStep]) -> Vec<Variant>,
}

impl std::fmt::Debug for Fusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fusion").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An operation of a sequence with its operands.
#[derive(Clone, Debug)]
pub struct FusedStep {
    op: DynOp,
    /// The index of the input that is the first output of the operation before it.
    passed: Option<usize>,
    /// Its inputs, including the first output of the operation before it.
    pub inputs: Vec<Spec>,
    /// Its updates.
    pub updates: Vec<Spec>,
    /// Its outputs.
    pub outputs: Vec<Spec>,
}

impl FusedStep {
    /// Returns the operation, if it is of this type.
    pub fn op<O: 'static>(&self) -> Option<&O> {
        self.op.as_any().downcast_ref()
    }
}

/// A fused sequence of a tape.
#[derive(Clone)]
struct Fused {
    rule: &'static Fusion,
    steps: Vec<FusedStep>,
    outputs: Vec<Spec>,
}

impl std::fmt::Debug for Fused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| &step.op)).finish()
    }
}

impl AnyOp for Fused {
    fn name(&self) -> &'static str {
        self.rule.name
    }
    fn key(&self) -> String {
        format!("[{}]", self.steps.iter().map(|step| step.op.key()).collect::<Vec<_>>().join(", "))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn outputs(&self, _: Specs<'_>) -> Result<Vec<Spec>, ShapeError> {
        Ok(self.outputs.clone())
    }
    fn variants(&self, _: Specs<'_>) -> Vec<Variant> {
        (self.rule.variants)(&self.steps)
    }
    fn backward(&self, _: &mut dyn Backward) -> Rule {
        Rule::None("tapes are differentiated before they are fused")
    }
    fn cpu_f32(&self, io: &mut CpuIo<'_, f32>) {
        self.run(io);
    }
    fn cpu_f64(&self, io: &mut CpuIo<'_, f64>) {
        self.run(io);
    }
    fn cpu_traced(&self, io: &mut CpuIo<'_, Traced>) {
        self.run(io);
    }
}

impl Fused {
    /// Runs the operations of the sequence one after the other.
    fn run<T: RunCpu>(&self, io: &mut CpuIo<'_, T>) {
        let (mut inputs, mut updates) = (io.inputs.iter(), io.updates.iter_mut());
        let mut before: Vec<Data<T>> = Vec::new();
        for (n, step) in self.steps.iter().enumerate() {
            let mut made: Vec<Data<T>> = step.outputs.iter().map(|spec| Data::zeros(BufferKind::of(spec.storage), spec.words())).collect();
            let given = step.inputs.iter().enumerate().map(|(n, spec)| match step.passed == Some(n) {
                true => before[0].view(*spec),
                false => *inputs.next().expect("an input for each that is not passed on"),
            });
            let mut part = CpuIo {
                inputs: given.collect(),
                updates: updates.by_ref().take(step.updates.len()).map(ViewMut::reborrow).collect(),
                outputs: made.iter_mut().zip(&step.outputs).map(|(data, spec)| data.view_mut(*spec)).collect(),
            };
            if n + 1 == self.steps.len() {
                part.outputs = io.outputs.iter_mut().take(step.outputs.len()).map(ViewMut::reborrow).collect();
            }
            T::run(&*step.op, &mut part);
            before = made;
        }
    }
}

/// Fuses every sequence for which a rule has kernels that `can_run` accepts. The first rule that fits
/// applies, so longer sequences come first in `rules`.
pub(crate) fn fuse(tape: &Tape, rules: &'static [Fusion], can_run: impl Fn(&[Variant]) -> bool) -> Tape {
    let mut fused = tape.clone();
    let uses = uses(tape);
    let mut nodes: Vec<Option<Node>> = tape.nodes.iter().cloned().map(Some).collect();
    for head in 0..nodes.len() {
        for rule in rules {
            let Some(indices) = find(tape, &nodes, &uses, rule, head) else { continue };
            let (node, op) = fused_node(tape, rule, &indices);
            if can_run(&op.variants(Specs { inputs: &[], updates: &[] })) {
                let last = *indices.last().expect("a sequence has operations");
                indices.iter().for_each(|&index| nodes[index] = None);
                nodes[last] = Some(node);
                break;
            }
        }
    }
    fused.nodes = nodes.into_iter().flatten().collect();
    fused
}

/// The uses of each buffer: node and tensor.
type Uses = HashMap<BufferId, Vec<(usize, TensorId)>>;

fn uses(tape: &Tape) -> Uses {
    let mut uses = Uses::new();
    for (index, node) in tape.nodes.iter().enumerate() {
        for &tensor in node.inputs.iter().chain(&node.updates).chain(&node.outputs) {
            uses.entry(tape.tensors[tensor.0].buffer).or_default().push((index, tensor));
        }
    }
    uses
}

/// Finds the nodes of a sequence that begins at `head`, if it can be moved to its last node.
fn find(tape: &Tape, nodes: &[Option<Node>], uses: &Uses, rule: &Fusion, head: usize) -> Option<Vec<usize>> {
    let is = |index: usize, n: usize| nodes[index].as_ref().is_some_and(|node| (rule.sequence[n])(node.op.as_any()));
    if !is(head, 0) {
        return None;
    }
    let mut indices = vec![head];
    for n in 1..rule.sequence.len() {
        let here = *indices.last()?;
        let next = only_reader(tape, uses, here)?;
        if !is(next, n) {
            return None;
        }
        indices.push(next);
    }
    can_move(tape, &indices).then_some(indices)
}

/// Returns the only reader of the first output of a node, if it reads it once.
fn only_reader(tape: &Tape, uses: &Uses, index: usize) -> Option<usize> {
    let output = *tape.nodes[index].outputs.first()?;
    let buffer = tape.tensors[output.0].buffer;
    let info = &tape.buffers[buffer.0];
    if info.owner != BufferOwner::Pooled || info.kept {
        return None;
    }
    match uses[&buffer][..] {
        [(maker, _), (reader, tensor)] if maker == index && reader > index && tensor == output && tape.nodes[reader].inputs.contains(&output) => Some(reader),
        _ => None,
    }
}

/// Returns true if all operations may run at the position of the last: their inputs are not written in
/// between, and their updates are neither read nor written.
fn can_move(tape: &Tape, indices: &[usize]) -> bool {
    let (first, last) = (indices[0], indices[indices.len() - 1]);
    let between: Vec<&Node> = (first + 1..last).filter(|index| !indices.contains(index)).map(|index| &tape.nodes[index]).collect();
    let disjoint = |a: TensorId, b: TensorId| {
        let (a, b) = (&tape.tensors[a.0], &tape.tensors[b.0]);
        a.buffer != b.buffer || a.offset + a.spec.words() <= b.offset || b.offset + b.spec.words() <= a.offset
    };
    indices[..indices.len() - 1].iter().map(|&index| &tape.nodes[index]).all(|moved| {
        between.iter().all(|node| {
            let mut written = node.updates.iter().chain(&node.outputs);
            let mut touched = node.inputs.iter().chain(&node.updates);
            written.all(|&theirs| moved.inputs.iter().chain(&moved.updates).all(|&ours| disjoint(ours, theirs)))
                && touched.all(|&theirs| moved.updates.iter().all(|&ours| disjoint(ours, theirs)))
        })
    })
}

/// Creates the fused node of a sequence.
fn fused_node(tape: &Tape, rule: &'static Fusion, indices: &[usize]) -> (Node, DynOp) {
    let chain: Vec<&Node> = indices.iter().map(|&index| &tape.nodes[index]).collect();
    let specs = |ids: &[TensorId]| ids.iter().map(|&id| tape.spec(id)).collect::<Vec<_>>();
    let passed: Vec<TensorId> = chain[..chain.len() - 1].iter().map(|node| node.outputs[0]).collect();
    let steps = chain.iter().map(|node| FusedStep {
        op: node.op.clone(),
        passed: node.inputs.iter().position(|input| passed.contains(input)),
        inputs: specs(&node.inputs),
        updates: specs(&node.updates),
        outputs: specs(&node.outputs),
    });
    let inputs = chain.iter().flat_map(|node| &node.inputs).filter(|input| !passed.contains(input)).copied().collect();
    let updates = chain.iter().flat_map(|node| &node.updates).copied().collect();
    let last = chain[chain.len() - 1];
    let scratch = chain[..chain.len() - 1].iter().flat_map(|node| &node.outputs[1..]);
    let outputs: Vec<TensorId> = last.outputs.iter().chain(scratch).copied().collect();
    let op: DynOp = Arc::new(Fused { rule, steps: steps.collect(), outputs: specs(&outputs) });
    (Node { op: op.clone(), inputs, updates, outputs }, op)
}
