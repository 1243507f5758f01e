//! Initial weights: from scratch, from a full-precision model, or as a file has them.

use super::config::LlamaConfig;
use super::weights::{Linears, Weights};
use crate::graph::{Home, Machine, MachineError, Spec, Storage, pack};
use crate::ops::{pack_signs, transpose_signs};
use crate::rng::Key;

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
        put(machine, weights, &name, source(&name, rows, cols)?)?;
    }
    for (name, rows, cols) in weights.config.linears() {
        let tensor = format!("{name}.weight");
        let dense = source(&tensor, rows, cols)?;
        if weights.linears == Linears::Binary {
            let (scale, bias) = scale_and_bias(&dense, cols);
            put(machine, weights, &format!("{name}.wscale"), scale)?;
            put(machine, weights, &format!("{name}.wbias"), bias)?;
        }
        put(machine, weights, &tensor, dense)?;
    }
    Ok(())
}

/// Fills `weights` with tensors exactly as stored, α and β included.
pub fn load<E: From<MachineError>>(machine: &mut Machine, weights: &Weights, source: &mut Source<'_, E>) -> Result<(), E> {
    let binary = weights.binary.iter().map(|layer| (format!("{}.weight", layer.name), layer.signs.spec));
    let named: Vec<(String, Spec)> = weights.names().iter().map(|name| (name.clone(), weights.home(name).expect("named").spec)).collect();
    let latent: Vec<_> = binary.filter(|(name, _)| weights.home(name).is_none()).collect();
    for (name, spec) in named.into_iter().chain(latent) {
        put(machine, weights, &name, source(&name, spec.rows, spec.cols)?)?;
    }
    Ok(())
}

/// Writes one tensor; a latent weight also as its signs.
fn put(machine: &mut Machine, weights: &Weights, name: &str, values: Vec<f32>) -> Result<(), MachineError> {
    if let Some(layer) = weights.binary.iter().find(|layer| name.strip_suffix(".weight") == Some(&layer.name)) {
        let Spec { rows, cols, .. } = layer.signs.spec;
        let mut signs = vec![0; layer.signs.spec.words()];
        pack_signs(&values, cols, &mut signs);
        machine.write(&layer.signs, &signs)?;
        if let Some(transposed) = layer.transposed {
            let mut turned = vec![0; transposed.spec.words()];
            transpose_signs(&signs, rows, cols, &mut turned);
            machine.write(&transposed, &turned)?;
        }
    }
    match weights.home(name) {
        Some(home) => write_floats(machine, &home, &values),
        None => Ok(()),
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
