//! Initial weights: from scratch, from a full-precision model, or as a file has them.

use super::config::{Group, LlamaConfig};
use super::weights::{BinaryGroup, Linears, Weights};
use crate::graph::{Home, Machine, MachineError, Storage, pack};
use crate::ops::{pack_signs, transpose_signs};
use crate::rng::Key;
use std::collections::HashSet;

/// Standard deviation of initial weights.
const STD: f64 = 0.02;

/// Full-precision tensors of a model by name, one after the other, so that no second copy of the
/// model is needed: `f(name, rows, cols)` gives the row-major values of a tensor.
pub type Source<'a, E> = dyn FnMut(&str, usize, usize) -> Result<Vec<f32>, E> + 'a;

/// Random weights of a full-precision model: norms 1, everything else normal with deviation 0.02.
pub fn init_dense(config: &LlamaConfig, seed: u64) -> impl FnMut(&str, usize, usize) -> Result<Vec<f32>, MachineError> + use<> {
    let embedding = format!("{:?}", config.vocab_size);
    move |name, rows, cols| {
        if name.ends_with("norm.weight") {
            return Ok(vec![1.0; rows * cols]);
        }
        let key = Key::new(seed, &format!("{name}/{embedding}"));
        Ok((0..(rows * cols) as u64).map(|i| (STD * key.normal(i)) as f32).collect())
    }
}

/// Fills `weights` from full-precision tensors. A binary model takes them as latent weights, with
/// the paper's rule for each column of a layer: β is its mean, α the mean of |W − β|.
pub fn init_from_dense<E: From<MachineError>>(machine: &mut Machine, weights: &Weights, source: &mut Source<'_, E>) -> Result<(), E> {
    for (name, rows, cols) in weights.config.others() {
        put(machine, weights, &name, &source(&name, rows, cols)?)?;
    }
    for group in weights.config.groups() {
        let mut latent = Latent::of(weights, &group);
        for (name, rows) in &group.members {
            let tensor = format!("{name}.weight");
            let dense = source(&tensor, *rows, group.width)?;
            if weights.linears == Linears::Binary {
                let (scale, bias) = scale_and_bias(&dense, group.width);
                put(machine, weights, &format!("{name}.wscale"), &scale)?;
                put(machine, weights, &format!("{name}.wbias"), &bias)?;
            }
            latent.add(&dense);
            put(machine, weights, &tensor, &dense)?;
        }
        latent.finish(machine)?;
    }
    Ok(())
}

/// Fills `weights` with tensors exactly as stored, α and β included.
pub fn load<E: From<MachineError>>(machine: &mut Machine, weights: &Weights, source: &mut Source<'_, E>) -> Result<(), E> {
    let layers = weights.binary.iter().flat_map(BinaryGroup::layers);
    let latent: HashSet<String> = layers.map(|(name, _)| format!("{name}.weight")).collect();
    for name in weights.names().iter().filter(|name| !latent.contains(*name)) {
        let spec = weights.home(name).expect("named").spec;
        put(machine, weights, name, &source(name, spec.rows, spec.cols)?)?;
    }
    for binary in &weights.binary {
        let mut latent = Latent::of(weights, &binary.group);
        for (name, rows) in &binary.group.members {
            let tensor = format!("{name}.weight");
            let values = source(&tensor, *rows, binary.group.width)?;
            latent.add(&values);
            put(machine, weights, &tensor, &values)?;
        }
        latent.finish(machine)?;
    }
    Ok(())
}

/// Writes one tensor, if it has a home: the latent weight of a packed layer has none.
fn put(machine: &mut Machine, weights: &Weights, name: &str, values: &[f32]) -> Result<(), MachineError> {
    match weights.home(name) {
        Some(home) => write_floats(machine, &home, values),
        None => Ok(()),
    }
}

/// The signs of a group's latent weights, gathered layer by layer; nothing for a dense group.
struct Latent<'a> {
    binary: Option<&'a BinaryGroup>,
    signs: Vec<u32>,
}

impl<'a> Latent<'a> {
    fn of(weights: &'a Weights, group: &Group) -> Self {
        Self { binary: weights.binary.iter().find(|binary| binary.group == *group), signs: Vec::new() }
    }

    /// The next layer's latent weight.
    fn add(&mut self, values: &[f32]) {
        if let Some(BinaryGroup { signs: Home { spec, .. }, .. }) = self.binary {
            let first = self.signs.len();
            self.signs.resize(first + values.len() / spec.cols * spec.row_words(), 0);
            pack_signs(values, spec.cols, &mut self.signs[first..]);
        }
    }

    /// Writes the signs, and in training their transpose.
    fn finish(self, machine: &mut Machine) -> Result<(), MachineError> {
        let Some(binary) = self.binary else { return Ok(()) };
        machine.write(&binary.signs, &self.signs)?;
        let Some(transposed) = binary.transposed else { return Ok(()) };
        let mut turned = vec![0; transposed.spec.words()];
        transpose_signs(&self.signs, binary.signs.spec.rows, binary.signs.spec.cols, &mut turned);
        machine.write(&transposed, &turned)
    }
}

/// Writes floats to a tensor, packed as it is stored.
pub(super) fn write_floats(machine: &mut Machine, home: &Home, values: &[f32]) -> Result<(), MachineError> {
    match home.spec.storage {
        Storage::F32 => machine.write_f32(home, values),
        _ => machine.write(home, &pack(home.spec, values)),
    }
}

/// β: the mean of each column of `dense (out, in)`; α: the mean of |W − β|.
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
