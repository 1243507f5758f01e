//! The loss around a checkpoint, along two random directions through its parameters, normalised row by row (Li et
//! al., "Visualizing the Loss Landscape of Neural Nets", arXiv 1712.09913, section 4).
//!
//! A filter is a row of a matrix: of a latent weight, the embedding or the head. Its direction is normal noise scaled
//! to the norm of the row, so that a step of 1 is as long as the row. Norms, α and β do not change, as biases and batch
//! norms in the paper. Of a binarized layer only the signs of the latent weights matter: the landscape shows the effect
//! of flips, and near the centre few weights flip.

use crate::eval::{EvalError, WindowLoss};
use crate::formats::FormatError;
use crate::graph::{Machine, Storage};
use crate::model::{Linears, ModelError, ModelFile, Purpose, Weights, load};
use crate::platform::parallel::*;
use crate::rng::Key;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;

/// An error of computing a landscape.
#[derive(Debug, thiserror::Error)]
pub enum LandscapeError {
    /// An error of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An error of the evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// An invalid grid.
    #[error("cannot compute a landscape of {points} × {points} points with range {range}: points must be an odd number from 3 to 201, range above 0")]
    Grid {
        /// Points along a side.
        points: usize,
        /// The range.
        range: f64,
    },
    /// It was stopped.
    #[error("stopped; nothing was written")]
    Stopped,
}

/// The grid of points of a landscape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LandscapeGrid {
    /// Points along a side, odd, so that the checkpoint is one of them.
    pub points: usize,
    /// Largest distance along each direction, relative to the norm of the rows.
    pub range: f64,
    /// Seed of the directions.
    pub seed: u64,
}

impl LandscapeGrid {
    fn check(&self) -> Result<(), LandscapeError> {
        let Self { points, range, .. } = *self;
        let fine = points % 2 == 1 && (3..=201).contains(&points) && range > 0.0 && range.is_finite();
        if fine { Ok(()) } else { Err(LandscapeError::Grid { points, range }) }
    }

    /// Returns the coordinate of point `n` of a side.
    pub fn at(&self, n: usize) -> f64 {
        self.range * (2.0 * n as f64 / (self.points - 1) as f64 - 1.0)
    }
}

/// The loss at every point of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Landscape {
    /// The points.
    pub grid: LandscapeGrid,
    /// Cross-entropy against the next token, in nats: `points` rows (second direction, ascending) of `points`.
    pub loss: Vec<f64>,
}

impl Landscape {
    /// The loss of the checkpoint itself.
    pub fn centre(&self) -> f64 {
        self.loss[self.loss.len() / 2]
    }
}

/// Computes the loss of the model in `file` and of its neighbours on windows of `window` tokens. `progress` gets the
/// number of finished and of all points, and returns false to stop.
pub async fn landscape(
    machine: &mut Machine, file: &ModelFile, tokens: &[u32], window: usize, grid: LandscapeGrid, progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Landscape, LandscapeError> {
    grid.check()?;
    if file.packed() {
        return Err(ModelError::from(FormatError::new(file.path(), "is packed and has no latent weights. Use the checkpoint it was packed from")).into());
    }
    let weights = Weights::allocate(machine, &file.config, file.linears, Purpose::Inference(Storage::F32)).map_err(EvalError::from)?;
    let mut measure = WindowLoss::new(machine, &weights, window)?;
    let tensors = tensors(file, &weights, grid.seed)?;
    let mut loss = Vec::with_capacity(grid.points * grid.points);
    for y in 0..grid.points {
        for x in 0..grid.points {
            let (along, across) = (grid.at(x) as f32, grid.at(y) as f32);
            load(machine, &weights, &mut |name, _, cols, range: Range<usize>| {
                Ok::<_, ModelError>(tensors[name].moved(along, across, range.start * cols..range.end * cols))
            })?;
            let mut sum = 0.0;
            for window in tokens.chunks_exact(window) {
                sum += measure.window(machine, window).await.map_err(EvalError::from)?;
            }
            loss.push(sum / (tokens.len() / window) as f64);
            if !progress(loss.len(), grid.points * grid.points) {
                return Err(LandscapeError::Stopped);
            }
        }
    }
    Ok(Landscape { grid, loss })
}

/// A tensor and both directions; none for tensors that do not change.
struct LandscapeTensor {
    values: Vec<f32>,
    directions: Option<[Vec<f32>; 2]>,
}

impl LandscapeTensor {
    fn moved(&self, along: f32, across: f32, range: Range<usize>) -> Vec<f32> {
        let values = &self.values[range.clone()];
        match &self.directions {
            None => values.to_vec(),
            Some([first, second]) => {
                let directions = first[range.clone()].par_iter().zip(&second[range]);
                values.par_iter().zip(directions).map(|(value, (first, second))| value + along * first + across * second).collect()
            }
        }
    }
}

/// Returns every tensor of the model by name.
fn tensors(file: &ModelFile, weights: &Weights, seed: u64) -> Result<HashMap<String, LandscapeTensor>, ModelError> {
    let latent = if weights.linears == Linears::Binary { file.config.linears() } else { Vec::new() };
    let latent = latent.into_iter().map(|(name, rows, cols)| (format!("{name}.weight"), rows, cols));
    let others = weights.names().iter().map(|name| {
        let spec = weights.location(name).expect("named").spec;
        (name.clone(), spec.rows, spec.cols)
    });
    let tensor = |(name, rows, cols): (String, usize, usize)| {
        let values = file.floats(&name, rows, cols)?;
        let directions = (rows > 1).then(|| ["first", "second"].map(|which| direction(&values, cols, Key::new(seed, &format!("landscape/{which}/{name}")))));
        Ok((name, LandscapeTensor { values, directions }))
    };
    latent.chain(others).map(tensor).collect()
}

/// Returns normal noise with the norm of `values` in every row.
fn direction(values: &[f32], cols: usize, key: Key) -> Vec<f32> {
    let norm = |row: &[f32]| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let mut noise = vec![0.0f32; values.len()];
    noise.par_chunks_mut(cols).zip(values.par_chunks(cols)).enumerate().for_each(|(row, (noise, values))| {
        for (i, x) in noise.iter_mut().enumerate() {
            *x = key.normal((row * cols + i) as u64) as f32;
        }
        let scale = norm(values) / norm(noise).max(f64::MIN_POSITIVE);
        noise.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
    });
    noise
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform;

    #[test]
    fn directions_are_as_long_as_their_rows_and_differ() {
        let values: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin() * (1 + i / 10) as f32).collect();
        let [first, second] = ["a", "b"].map(|name| direction(&values, 10, Key::new(1, name)));
        for (row, values) in first.chunks(10).zip(values.chunks(10)) {
            let norm = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((norm(row) / norm(values) - 1.0).abs() < 1e-5);
        }
        assert_ne!(first, second);
    }

    #[test]
    fn the_checkpoint_is_the_centre_and_moving_away_changes_the_loss() {
        let file = ModelFile::embedded_teacher().unwrap();
        // The embedded teacher has full weights, unlike a packed student.
        let tokenizer = file.tokenizer.clone().unwrap();
        let tokens = tokenizer.encode("hi, how are you?<|end|> I am fine, thank you. What do you like to do?").unwrap();
        let mut machine = Machine::cpu();
        let grid = LandscapeGrid { points: 3, range: 0.5, seed: 7 };
        let found = platform::wait(landscape(&mut machine, &file, &tokens, 8, grid, &mut |_, _| true)).unwrap();
        let weights = file.load(&mut machine, Purpose::Inference(Storage::F32)).unwrap();
        let whole = platform::wait(crate::eval::perplexity(&mut machine, &weights, &tokens, 8, &|| false, &mut |_, _, _| {})).unwrap();
        assert!((found.centre() - whole.cross_entropy).abs() < 1e-6, "{} {}", found.centre(), whole.cross_entropy);
        // The loss of a trained model is below that of all its neighbours at this distance.
        assert!(found.loss.iter().enumerate().all(|(n, &loss)| n == 4 || loss > found.centre()), "{:?}", found.loss);
        let stopped = platform::wait(landscape(&mut machine, &file, &tokens, 8, grid, &mut |done, _| done < 2));
        assert!(matches!(stopped, Err(LandscapeError::Stopped)));
        let even = platform::wait(landscape(&mut machine, &file, &tokens, 8, LandscapeGrid { points: 4, ..grid }, &mut |_, _| true));
        assert!(even.unwrap_err().to_string().contains("odd number"));
        let packed = platform::wait(landscape(&mut machine, &ModelFile::embedded_student().unwrap(), &tokens, 8, grid, &mut |_, _| true));
        assert!(packed.unwrap_err().to_string().contains("no latent weights"));
    }
}
