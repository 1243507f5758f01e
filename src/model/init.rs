//! Initialization of weights: random, from a full-precision model, or from a file.

use super::config::ModelConfig;
use super::tensors::{LayerGroup, Role};
use super::weights::{BinaryGroup, Linears, Weights};
use crate::formats::row_ranges;
use crate::graph::{Machine, MachineError, Storage, TensorLocation, pack};
use crate::ops::{pack_signs, transpose_signs};
use crate::rng::Key;
use std::collections::HashSet;
use std::ops::Range;

/// Standard deviation of initial weights.
const STD: f64 = 0.02;

/// Reads tensors of a model by ranges of rows, so that the host needs no second copy of the model:
/// `f(name, rows, cols, range)` returns the row-major values of rows `range` of a tensor `(rows, cols)`.
pub type RowReader<'a, E> = dyn FnMut(&str, usize, usize, Range<usize>) -> Result<Vec<f32>, E> + 'a;

/// Random weights of a full-precision model: norms are 1, everything else is normal with standard deviation 0.02.
pub fn init_dense(config: &ModelConfig, seed: u64) -> impl FnMut(&str, usize, usize, Range<usize>) -> Result<Vec<f32>, MachineError> + use<> {
    let embedding = format!("{:?}", config.vocab_size);
    let architecture = config.architecture();
    move |name, _, cols, range| {
        if architecture.row(name).is_some_and(|row| row.role == Role::Norm) {
            return Ok(vec![1.0; range.len() * cols]);
        }
        let key = Key::new(seed, &format!("{name}/{embedding}"));
        Ok(((range.start * cols) as u64..(range.end * cols) as u64).map(|i| (STD * key.normal(i)) as f32).collect())
    }
}

/// Initializes `weights` from full-precision tensors. In a binary model they become the latent weights; for each
/// column of a layer, β is the mean and α the mean of |W − β| (arXiv 2407.07093).
pub fn init_from_dense<E: From<MachineError>>(machine: &mut Machine, weights: &Weights, source: &mut RowReader<'_, E>) -> Result<(), E> {
    for (name, rows, cols) in weights.config.others() {
        stream(machine, weights, &name, [rows, cols], source, &mut |_| {})?;
    }
    for group in weights.config.groups() {
        let mut latent = SignBuffer::of(weights, &group);
        for (name, rows) in &group.members {
            let (tensor, shape) = (format!("{name}.weight"), [*rows, group.width]);
            if weights.linears == Linears::Dense {
                stream(machine, weights, &tensor, shape, source, &mut |_| {})?;
                continue;
            }
            // α depends on β, so the whole matrix is in memory.
            let dense = source(&tensor, *rows, group.width, 0..*rows)?;
            let (scale, bias) = scale_and_bias(&dense, group.width);
            write_rows(machine, weights, &format!("{name}.wscale"), 0..1, &scale)?;
            write_rows(machine, weights, &format!("{name}.wbias"), 0..1, &bias)?;
            latent.add(&dense);
            write_rows(machine, weights, &tensor, 0..*rows, &dense)?;
        }
        latent.finish(machine)?;
    }
    Ok(())
}

/// Loads tensors as stored, including α and β.
pub fn load<E: From<MachineError>>(machine: &mut Machine, weights: &Weights, source: &mut RowReader<'_, E>) -> Result<(), E> {
    let layers = weights.binary.iter().flat_map(BinaryGroup::layers);
    let latent: HashSet<String> = layers.map(|(name, _)| format!("{name}.weight")).collect();
    for name in weights.names().iter().filter(|name| !latent.contains(*name)) {
        let spec = weights.location(name).expect("named").spec;
        stream(machine, weights, name, [spec.rows, spec.cols], source, &mut |_| {})?;
    }
    for binary in &weights.binary {
        let mut latent = SignBuffer::of(weights, &binary.group);
        for (name, rows) in &binary.group.members {
            stream(machine, weights, &format!("{name}.weight"), [*rows, binary.group.width], source, &mut |values| latent.add(values))?;
        }
        latent.finish(machine)?;
    }
    Ok(())
}

/// Writes a tensor in ranges of rows and passes the values of each to `observe`.
fn stream<E: From<MachineError>>(
    machine: &mut Machine, weights: &Weights, name: &str, [rows, cols]: [usize; 2], source: &mut RowReader<'_, E>, observe: &mut dyn FnMut(&[f32]),
) -> Result<(), E> {
    for range in row_ranges(rows, cols) {
        let values = source(name, rows, cols, range.clone())?;
        observe(&values);
        write_rows(machine, weights, name, range, &values)?;
    }
    Ok(())
}

/// Writes rows of a tensor. A packed layer has no latent weight: nothing is written then.
fn write_rows(machine: &mut Machine, weights: &Weights, name: &str, range: Range<usize>, values: &[f32]) -> Result<(), MachineError> {
    match weights.location(name) {
        Some(location) => write_floats(machine, &location.rows(range.start, range.len()), values),
        None => Ok(()),
    }
}

/// The signs of a group's latent weights, collected layer by layer; empty for a dense group.
struct SignBuffer<'a> {
    binary: Option<&'a BinaryGroup>,
    signs: Vec<u32>,
}

impl<'a> SignBuffer<'a> {
    fn of(weights: &'a Weights, group: &LayerGroup) -> Self {
        Self { binary: weights.binary.iter().find(|binary| binary.group == *group), signs: Vec::new() }
    }

    /// Appends the signs of the next rows of latent weights.
    fn add(&mut self, values: &[f32]) {
        if let Some(BinaryGroup { signs: TensorLocation { spec, .. }, .. }) = self.binary {
            let first = self.signs.len();
            self.signs.resize(first + values.len() / spec.cols * spec.row_words(), 0);
            pack_signs(values, spec.cols, &mut self.signs[first..]);
        }
    }

    /// Writes the signs, and in training also their transpose.
    fn finish(self, machine: &mut Machine) -> Result<(), MachineError> {
        let Some(binary) = self.binary else { return Ok(()) };
        machine.write(&binary.signs, &self.signs)?;
        let Some(transposed) = binary.transposed else { return Ok(()) };
        let mut transpose = vec![0; transposed.spec.words()];
        transpose_signs(&self.signs, binary.signs.spec.rows, binary.signs.spec.cols, &mut transpose);
        machine.write(&transposed, &transpose)
    }
}

/// Writes floats to a tensor in its storage.
pub(super) fn write_floats(machine: &mut Machine, location: &TensorLocation, values: &[f32]) -> Result<(), MachineError> {
    match location.spec.storage {
        Storage::F32 => machine.write_f32(location, values),
        _ => machine.write(location, &pack(location.spec, values)),
    }
}

/// Returns α and β of each column of `dense (out, in)`: β is the mean, α the mean of |W − β|.
fn scale_and_bias(dense: &[f32], cols: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = (dense.len() / cols) as f64;
    let mut bias = vec![0f64; cols];
    for row in dense.chunks(cols) {
        bias.iter_mut().zip(row).for_each(|(sum, &w)| *sum += f64::from(w));
    }
    bias.iter_mut().for_each(|sum| *sum /= rows);
    let mut scale = vec![0f64; cols];
    for row in dense.chunks(cols) {
        scale.iter_mut().zip(row.iter().zip(&bias)).for_each(|(sum, (&w, &bias))| *sum += (f64::from(w) - bias).abs());
    }
    (scale.iter().map(|sum| (sum / rows) as f32).collect(), bias.iter().map(|&x| x as f32).collect())
}
