//! Inspection of a model: bits, α, β and signs of each layer, and file sizes.

use super::config::ModelConfig;
use super::file::ModelFile;
use super::file_formats::{bits_per_weight, packed_bytes};
use super::model_error::ModelError;
use super::weights::Linears;
use crate::platform::parallel::*;
use serde::{Deserialize, Serialize};

/// Minimum, mean, maximum and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Minimum.
    #[serde(rename = "least")]
    pub min: f32,
    /// Mean.
    pub mean: f64,
    /// Maximum.
    #[serde(rename = "greatest")]
    pub max: f32,
    /// Standard deviation: √ of the mean squared distance from the mean.
    pub deviation: f64,
}

impl Stats {
    fn of(values: &[f32]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.par_iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let square = values.par_iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let (min, max) = values.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| (min.min(x), max.max(x)));
        Self { min, mean, max, deviation: square.sqrt() }
    }
}

/// Statistics of a linear layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// The full name in files.
    pub name: String,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Bits per weight in a packed file, including padding, α and β; 16 for a full-precision layer.
    pub bits: f64,
    /// Fraction of weights that are +1; none in full precision.
    pub positive: Option<f64>,
    /// α over columns; none in full precision.
    pub alpha: Option<Stats>,
    /// Columns with negative α, which inverts the stored signs.
    pub negative_alpha: usize,
    /// β over columns; none in full precision.
    pub beta: Option<Stats>,
    /// Latent or full-precision weights; none for a packed layer.
    pub weight: Option<Stats>,
}

/// Parameter counts and sizes of a model, without tokenizer and headers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSizes {
    /// Parameters, without α and β.
    pub parameters: u64,
    /// One-bit weights.
    pub binarized: u64,
    /// Bytes as a packed file.
    pub packed: u64,
    /// Bytes with all parameters in 16 bits.
    pub f16: u64,
    /// Bits per parameter in the packed file.
    pub bits_per_parameter: f64,
    /// Bits per weight of the blocks' linear layers in the packed file.
    pub bits_per_weight: f64,
}

impl ModelSizes {
    fn of(config: &ModelConfig, linears: Linears) -> Self {
        let parameters = config.parameters();
        let packed = packed_bytes(config, linears);
        Self {
            parameters,
            binarized: if linears == Linears::Binary { config.binarized_weights() } else { 0 },
            packed,
            f16: 2 * parameters,
            bits_per_parameter: 8.0 * packed as f64 / parameters as f64,
            bits_per_weight: bits_per_weight(config, linears),
        }
    }
}

/// The result of inspecting a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The configuration.
    pub config: ModelConfig,
    /// The linear layers, in order.
    pub layers: Vec<LayerReport>,
    /// Parameter counts and sizes.
    pub sizes: ModelSizes,
}

/// Inspects a model layer by layer. `progress(done, total)` returns false to stop; the result is `None` then.
pub fn inspect(file: &ModelFile, progress: &mut dyn FnMut(usize, usize) -> bool) -> Result<Option<Inspection>, ModelError> {
    let linears = file.config.linears();
    let mut layers = Vec::with_capacity(linears.len());
    for (name, rows, cols) in &linears {
        layers.push(inspect_layer(file, name, *rows, *cols)?);
        if !progress(layers.len(), linears.len()) {
            return Ok(None);
        }
    }
    Ok(Some(Inspection { config: file.config.clone(), layers, sizes: ModelSizes::of(&file.config, file.linears) }))
}

fn inspect_layer(file: &ModelFile, name: &str, rows: usize, cols: usize) -> Result<LayerReport, ModelError> {
    let weight = if file.packed() { None } else { Some(Stats::of(&file.floats(&format!("{name}.weight"), rows, cols)?)) };
    let report = LayerReport { name: name.into(), rows, cols, bits: 16.0, positive: None, alpha: None, negative_alpha: 0, beta: None, weight };
    if file.linears == Linears::Dense {
        return Ok(report);
    }
    let positive: u64 = file.signs(name, rows, cols)?.par_iter().map(|word| u64::from(word.count_ones())).sum();
    let [alpha, beta] = ["wscale", "wbias"].map(|part| file.floats(&format!("{name}.{part}"), 1, cols));
    let alpha = alpha?;
    Ok(LayerReport {
        bits: (32 * rows * cols.div_ceil(32) + 2 * 16 * cols) as f64 / (rows * cols) as f64,
        positive: Some(positive as f64 / (rows * cols) as f64),
        negative_alpha: alpha.iter().filter(|&&alpha| alpha < 0.0).count(),
        alpha: Some(Stats::of(&alpha)),
        beta: Some(Stats::of(&beta?)),
        ..report
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_match_the_definitions() {
        let range = Stats::of(&[1.0, -3.0, 5.0]);
        assert_eq!((range.min, range.mean, range.max), (-3.0, 1.0, 5.0));
        assert!((range.deviation - (32.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn embedded_models_have_the_expected_statistics() {
        let look = |file: ModelFile| inspect(&file, &mut |_, _| true).unwrap().unwrap();
        let student = look(ModelFile::embedded_student().unwrap());
        assert_eq!(student.layers.len(), 7 * student.config.num_hidden_layers);
        for layer in &student.layers {
            assert!(layer.weight.is_none() && (0.3..0.7).contains(&layer.positive.unwrap()), "{layer:?}");
            assert!(layer.alpha.unwrap().mean > layer.beta.unwrap().mean.abs(), "{layer:?}");
        }
        let whole: f64 = student.layers.iter().map(|layer| layer.bits * (layer.rows * layer.cols) as f64).sum();
        assert!((whole / student.sizes.binarized as f64 - student.sizes.bits_per_weight).abs() < 1e-9);
        let teacher = look(ModelFile::embedded_teacher().unwrap());
        assert!(teacher.layers.iter().all(|layer| layer.bits == 16.0 && layer.alpha.is_none() && layer.weight.is_some()));
        assert_eq!((teacher.sizes.binarized, teacher.sizes.packed), (0, teacher.sizes.f16));
        assert!(inspect(&ModelFile::embedded_student().unwrap(), &mut |_, _| false).unwrap().is_none());
    }
}
