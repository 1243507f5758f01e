//! Views of a model's binarized weights: a layer's signs as pixels, flips since another checkpoint, and α and β. Reads one layer
//! at a time.

use crate::model::{Linears, ModelFile, bits_per_weight};
use crate::platform::parallel::*;
use crate::runner::kind::has_settings;
use crate::runner::protocol::{LayerInfo, PlaneView};
use crate::runner::{Event, model_loader};
use crate::train;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl PlaneView {
    /// Returns the columns of the layer that a column of pixels covers.
    pub fn columns(&self, pixel: usize) -> std::ops::Range<usize> {
        let range = covered(pixel, self.pixels_wide, self.width);
        self.x + range.start..self.x + range.end
    }

    /// Returns the rows of the layer that a row of pixels covers.
    pub fn rows(&self, pixel: usize) -> std::ops::Range<usize> {
        let range = covered(pixel, self.pixels_high, self.height);
        self.y + range.start..self.y + range.end
    }

    /// Returns an error for a view that is not inside the layer, or has no or too many pixels.
    fn check(&self, layer: &LayerInfo) -> Result<()> {
        let inside = |at: usize, length: usize, side: usize| length > 0 && at.checked_add(length).is_some_and(|end| end <= side);
        if !inside(self.x, self.width, layer.cols) || !inside(self.y, self.height, layer.rows) {
            let Self { x, y, width, height, .. } = self;
            bail!("a view of {width} columns from {x} and {height} rows from {y} is not inside {}, which has {} × {}", layer.name, layer.rows, layer.cols);
        }
        let pixels = self.pixels_wide.saturating_mul(self.pixels_high);
        if pixels == 0 || pixels > MAX_PIXELS {
            bail!("cannot draw {} × {} pixels: the number must be from 1 to {MAX_PIXELS}", self.pixels_wide, self.pixels_high);
        }
        Ok(())
    }
}

/// Maximum number of pixels of a view, more than any screen has.
const MAX_PIXELS: usize = 1 << 25;

/// Returns the range of `weights` that pixel `n` of `pixels` covers, at least one weight.
fn covered(n: usize, pixels: usize, weights: usize) -> std::ops::Range<usize> {
    let at = |n: usize| (n as u64 * weights as u64 / pixels as u64) as usize;
    at(n)..at(n + 1).max(at(n) + 1)
}

/// A layer's signs, packed in words; see [`ModelFile::signs`].
struct Plane {
    layer: LayerInfo,
    words: Vec<u32>,
    /// Number of weights that are +1.
    positive: u64,
}

impl Plane {
    fn read(file: &ModelFile, layer: &LayerInfo) -> Result<Self> {
        let words = file.signs(&layer.name, layer.rows, layer.cols)?;
        let positive = ones(words.iter().copied());
        Ok(Self { layer: layer.clone(), words, positive })
    }
}

fn ones(words: impl Iterator<Item = u32>) -> u64 {
    words.map(|word| u64::from(word.count_ones())).sum()
}

/// The model that a plane is compared with.
struct Baseline {
    path: PathBuf,
    file: ModelFile,
    /// Bits of the shown layer that differ, and their number; none until it is read.
    flipped: Option<(Vec<u32>, u64)>,
}

/// An opened model whose weights are viewed.
pub(super) struct OpenedModel {
    file: ModelFile,
    layers: Vec<LayerInfo>,
    plane: Option<Plane>,
    baseline: Option<Baseline>,
}

impl OpenedModel {
    /// Opens a model by name or path; an error if it has no binarized layers.
    pub(super) fn open(name: &str, emit: &mut dyn FnMut(Event)) -> Result<Self> {
        let file = model_loader::open(name)?;
        check_binarized(&file)?;
        let layers: Vec<LayerInfo> = file.config.linears().into_iter().map(|(name, rows, cols)| LayerInfo { name, rows, cols }).collect();
        emit(Event::Weights {
            model: name.into(),
            path: file.path().display().to_string(),
            layers: layers.clone(),
            checkpoints: checkpoints(name)?,
            bits_per_weight: bits_per_weight(&file.config, Linears::Binary),
        });
        Ok(Self { file, layers, plane: None, baseline: None })
    }

    fn layer(&self, name: &str) -> Result<&LayerInfo> {
        let found = self.layers.iter().find(|layer| layer.name == name);
        found.with_context(|| format!("{}: has no binarized layer {name}", self.file.path().display()))
    }

    /// Emits a view of a layer's signs, and of the flips since a checkpoint.
    pub(super) fn show(&mut self, layer: &str, since: Option<&Path>, view: PlaneView, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let info = self.layer(layer)?.clone();
        view.check(&info)?;
        if self.plane.as_ref().is_none_or(|plane| plane.layer != info) {
            // The earlier plane is dropped first, so that only one is in memory.
            self.plane = None;
            self.plane = Some(Plane::read(&self.file, &info)?);
            self.baseline.iter_mut().for_each(|baseline| baseline.flipped = None);
        }
        let plane = self.plane.as_ref().expect("read above");
        if self.baseline.as_ref().map(|baseline| &*baseline.path) != since {
            self.baseline = None;
            self.baseline = since.map(|path| baseline(path, &self.file)).transpose()?;
        }
        let flipped = self.baseline.as_mut().map(|baseline| flips(baseline, plane)).transpose()?;
        let weights = (info.rows * info.cols) as f64;
        emit(Event::Plane {
            layer: layer.into(),
            since: since.map(Path::to_path_buf),
            view,
            pixels: Arc::new(pixels(plane, flipped.map(|(words, _)| &words[..]), view)),
            positive: plane.positive as f64 / weights,
            flipped: flipped.map(|(_, count)| *count as f64 / weights),
        });
        Ok(())
    }

    /// Emits α and β of a layer.
    pub(super) fn scales(&self, layer: &str, emit: &mut dyn FnMut(Event)) -> Result<()> {
        let info = self.layer(layer)?;
        let read = |part: &str| self.file.floats(&format!("{layer}.{part}"), 1, info.cols);
        emit(Event::Scales { layer: layer.into(), alpha: read("wscale")?, beta: read("wbias")? });
        Ok(())
    }
}

/// Returns an error for a full-precision model.
fn check_binarized(file: &ModelFile) -> Result<()> {
    match file.linears {
        Linears::Binary => Ok(()),
        Linears::Dense => bail!("{}: a full-precision model has no signs to show. Open a student", file.path().display()),
    }
}

/// Returns the checkpoints of a run, or of the run that a checkpoint belongs to; empty for other models.
fn checkpoints(name: &str) -> Result<Vec<(u64, PathBuf)>> {
    let path = Path::new(name);
    let of_checkpoint = path.parent().filter(|parent| parent.ends_with("checkpoints")).and_then(Path::parent);
    let Some(run) = [Some(path), of_checkpoint].into_iter().flatten().find(|run| has_settings(run)) else {
        return Ok(Vec::new());
    };
    Ok(train::checkpoints(run)?.into_iter().map(|step| (step, train::checkpoint(run, step))).collect())
}

/// Opens the model to compare with; an error if its shape differs.
fn baseline(path: &Path, shown: &ModelFile) -> Result<Baseline> {
    let file = model_loader::open(&path.to_string_lossy())?;
    check_binarized(&file)?;
    let (ours, theirs) = (shown.config.linears(), file.config.linears());
    let describe = |layer: Option<&(String, usize, usize)>| layer.map_or("no layer".into(), |(name, rows, cols)| format!("{name} of {rows} × {cols}"));
    if let Some(n) = (0..ours.len().max(theirs.len())).find(|&n| ours.get(n) != theirs.get(n)) {
        let (ours, theirs) = (describe(ours.get(n)), describe(theirs.get(n)));
        bail!("cannot compare with {}: it has {theirs} where the model shown has {ours}. Use a checkpoint of the same run", path.display());
    }
    Ok(Baseline { path: path.to_path_buf(), file, flipped: None })
}

/// Returns the bits of a plane that differ from its baseline, and their number.
fn flips<'a>(baseline: &'a mut Baseline, plane: &Plane) -> Result<&'a (Vec<u32>, u64)> {
    if baseline.flipped.is_none() {
        let Plane { layer, words, .. } = plane;
        let mut differ = baseline.file.signs(&layer.name, layer.rows, layer.cols)?;
        differ.iter_mut().zip(words).for_each(|(then, now)| *then ^= now);
        let count = ones(differ.iter().copied());
        baseline.flipped = Some((differ, count));
    }
    Ok(baseline.flipped.as_ref().expect("made above"))
}

/// The words of a row that a pixel covers: the first and the last one, with bit masks for them.
#[derive(Clone, Copy)]
struct WordSpan {
    first: usize,
    last: usize,
    from: u32,
    to: u32,
}

impl WordSpan {
    fn of(columns: std::ops::Range<usize>) -> Self {
        let last = columns.end - 1;
        Self { first: columns.start / 32, last: last / 32, from: u32::MAX << (columns.start % 32), to: u32::MAX >> (31 - last % 32) }
    }

    /// Counts the set bits.
    fn ones(self, row: &[u32]) -> u32 {
        let Self { first, last, from, to } = self;
        if first == last {
            return (row[first] & from & to).count_ones();
        }
        let whole: u32 = row[first + 1..last].iter().map(|word| word.count_ones()).sum();
        (row[first] & from).count_ones() + whole + (row[last] & to).count_ones()
    }
}

/// Draws two bytes per pixel, row-major, in 255ths: the fraction of its weights that are +1, rounded, and that flipped, rounded
/// up so that single flips stay visible.
fn pixels(plane: &Plane, flipped: Option<&[u32]>, view: PlaneView) -> Vec<u8> {
    let row_words = plane.layer.cols.div_ceil(32);
    let spans: Vec<WordSpan> = (0..view.pixels_wide).map(|x| WordSpan::of(view.columns(x))).collect();
    let mut out = vec![0; 2 * view.pixels_wide * view.pixels_high];
    out.par_chunks_mut(2 * view.pixels_wide).enumerate().for_each(|(y, out)| {
        let rows = view.rows(y);
        let mut counts = vec![[0u32; 2]; spans.len()];
        for (n, words) in [Some(&plane.words[..]), flipped].into_iter().enumerate().filter_map(|(n, words)| Some((n, words?))) {
            for row in words[rows.start * row_words..rows.end * row_words].chunks(row_words) {
                counts.iter_mut().zip(&spans).for_each(|(counts, span)| counts[n] += span.ones(row));
            }
        }
        for (x, (pixel, [positive, flips])) in out.as_chunks_mut::<2>().0.iter_mut().zip(&counts).enumerate() {
            let weights = (view.columns(x).len() * rows.len()) as u64;
            let share = |count: u32, round: u64| ((255 * u64::from(count) + round) / weights) as u8;
            *pixel = [share(*positive, weights / 2), share(*flips, weights - 1)];
        }
    });
    out
}

#[cfg(test)]
mod tests;
