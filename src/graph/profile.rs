//! What each dispatch of a program does and how long it takes.

use super::execute::{GpuMachine, GpuProgram};
use super::machine::MachineError;
use super::op::{Launch, Operand, Specs};
use super::shape::{Spec, Storage};
use crate::platform::Clock;

/// What a dispatch has to do at least.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Bytes of its operands, each once; those it reads and writes twice.
    pub bytes: u64,
    /// Of a product, its multiplications and additions; else one for each element of the largest operand.
    pub operations: f64,
}

/// A dispatch, timed.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// The kernel's name.
    pub kernel: &'static str,
    /// What it took.
    pub seconds: f64,
    /// What it did.
    pub work: Work,
}

impl Work {
    /// That of a band of a launch.
    pub(super) fn share(self, share: f64) -> Self {
        Self { bytes: (self.bytes as f64 * share) as u64, operations: self.operations * share }
    }

    /// Of a launch whose operands have these specs. Three matrices of (m, k), (k, n) and (m, n), if
    /// they are the largest operands, are those of a product.
    pub(super) fn of(launch: &Launch, specs: Specs<'_>, outputs: &[Spec]) -> Self {
        let operands: Vec<(Spec, u64)> = launch
            .operands
            .iter()
            .map(|operand| match *operand {
                Operand::In(n) => (specs.inputs[n], 1),
                Operand::Up(n) => (specs.updates[n], 2),
                Operand::Out(n) => (outputs[n], 1),
            })
            .collect();
        let bytes = operands.iter().map(|(spec, times)| times * 4 * spec.words() as u64).sum();
        let mut sizes: Vec<Spec> = operands.iter().map(|(spec, _)| *spec).filter(|spec| spec.storage != Storage::U32).collect();
        sizes.sort_by_key(|spec| std::cmp::Reverse(spec.elements()));
        let largest = sizes.first().map_or(0, Spec::elements) as f64;
        let product = |three: &[Spec]| 2.0 * three.iter().map(|spec| spec.elements() as f64).product::<f64>().sqrt();
        let operations = match sizes.get(..3) {
            Some(three) if is_product(three) => product(three),
            _ => largest,
        };
        Self { bytes, operations }
    }
}

/// Whether three matrices share their sizes pairwise, in whatever transposes. Three of one shape are
/// taken for elementwise work, although square ones could be a product.
fn is_product(three: &[Spec]) -> bool {
    let mut sizes: Vec<usize> = three.iter().flat_map(|spec| [spec.rows, spec.cols]).collect();
    sizes.sort_unstable();
    let alike = three.iter().all(|spec| spec.same_shape(&three[0]));
    !alike && sizes.chunks(2).all(|pair| pair[0] == pair[1])
}

impl GpuMachine {
    /// Runs a program and times each dispatch: by the GPU's clock where it has one, else by waiting
    /// for each, which counts what a submit costs with it.
    pub async fn profile(&self, program: &GpuProgram) -> Result<Vec<Timed>, MachineError> {
        let gpu = self.gpu();
        let dispatches = program.recorded();
        let mut seconds = if gpu.has_timestamps() { gpu.time(dispatches).await? } else { Vec::new() };
        if seconds.iter().all(|&time| time == 0.0) {
            seconds.clear();
            for dispatch in dispatches {
                let clock = Clock::start();
                gpu.run(std::slice::from_ref(dispatch), &[1])?;
                gpu.drain().await?;
                seconds.push(clock.seconds());
            }
        }
        let timed = dispatches.iter().zip(program.works()).zip(seconds);
        Ok(timed.map(|((dispatch, &work), seconds)| Timed { kernel: dispatch.kernel(), seconds, work }).collect())
    }
}
