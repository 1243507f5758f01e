//! Heat map of every matrix's flip-flop ratio over time. The number of columns is bounded: when they are full,
//! pairs are merged. Pure.

use eframe::egui::{Color32, ColorImage};

/// Maximum number of columns.
const COLUMNS: usize = 512;

/// Mean flip-flop ratios of matrices over ranges of steps.
#[derive(Clone, Debug)]
pub struct Heat {
    /// Number of matrices.
    rows: usize,
    /// Steps a column.
    width: u64,
    /// Sums of ratios and number of steps of each column.
    columns: Vec<(Vec<f64>, u32)>,
    /// Number of changes, to detect an outdated image.
    version: u64,
}

impl Default for Heat {
    fn default() -> Self {
        Self { rows: 0, width: 1, columns: Vec::new(), version: 0 }
    }
}

impl Heat {
    /// Adds the ratios of a step (from 1), one for each matrix.
    pub fn push(&mut self, step: u64, ratios: &[f64]) {
        if ratios.is_empty() || step == 0 {
            return;
        }
        if ratios.len() != self.rows {
            *self = Self { rows: ratios.len(), version: self.version, ..Self::default() };
        }
        while (step - 1) / self.width >= COLUMNS as u64 {
            self.halve();
        }
        let at = ((step - 1) / self.width) as usize;
        if self.columns.len() <= at {
            self.columns.resize(at + 1, (vec![0.0; self.rows], 0));
        }
        let (sums, count) = &mut self.columns[at];
        sums.iter_mut().zip(ratios).for_each(|(sum, ratio)| *sum += ratio);
        *count += 1;
        self.version += 1;
    }

    /// Removes columns that end after `step`; a column that contains `step` loses its earlier steps too.
    pub fn truncate(&mut self, step: u64) {
        self.columns.truncate((step / self.width) as usize);
        self.version += 1;
    }

    fn halve(&mut self) {
        let pairs = self.columns.chunks(2).map(|pair| {
            let mut sum = pair[0].clone();
            if let Some((sums, count)) = pair.get(1) {
                sum.0.iter_mut().zip(sums).for_each(|(sum, more)| *sum += more);
                sum.1 += count;
            }
            sum
        });
        self.columns = pairs.collect();
        self.width *= 2;
    }

    /// Number of rows, one for each matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of steps that the columns cover.
    pub fn steps(&self) -> u64 {
        self.columns.len() as u64 * self.width
    }

    /// Number of changes so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Mean ratio of a matrix in the column of a step; none if nothing was recorded there.
    pub fn at(&self, row: usize, step: u64) -> Option<f64> {
        let (sums, count) = self.columns.get((step.checked_sub(1)? / self.width) as usize)?;
        (*count > 0).then(|| sums.get(row).map(|sum| sum / f64::from(*count)))?
    }

    /// Least and greatest positive mean.
    pub fn range(&self) -> Option<(f64, f64)> {
        let means = self.columns.iter().filter(|(_, count)| *count > 0).flat_map(|(sums, count)| sums.iter().map(move |sum| sum / f64::from(*count)));
        means.filter(|mean| *mean > 0.0).fold(None, |range, mean| Some(range.map_or((mean, mean), |(a, b): (f64, f64)| (a.min(mean), b.max(mean)))))
    }

    /// Renders one pixel a matrix and column, first matrix on top, coloured by the log of the ratio; `nothing` is
    /// the colour where no weight flipped or nothing was recorded.
    pub fn image(&self, nothing: Color32) -> Option<ColorImage> {
        let (least, most) = self.range()?;
        let span = (most / least).ln().max(1e-9);
        let mut pixels = Vec::with_capacity(self.rows * self.columns.len());
        for row in 0..self.rows {
            pixels.extend(self.columns.iter().map(|(sums, count)| {
                let mean = sums[row] / f64::from((*count).max(1));
                if mean > 0.0 { viridis((mean / least).ln() / span) } else { nothing }
            }));
        }
        Some(ColorImage::new([self.columns.len(), self.rows], pixels))
    }
}

/// The viridis colour map on 0 to 1, interpolated between nine points: perceptually uniform, and readable with
/// all kinds of colour vision.
pub fn viridis(at: f64) -> Color32 {
    const POINTS: [[u8; 3]; 9] =
        [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
    let at = at.clamp(0.0, 1.0) * 8.0;
    let (low, share) = ((at.floor() as usize).min(7), at - at.floor().min(7.0));
    let mix = |n: usize| (f64::from(POINTS[low][n]) * (1.0 - share) + f64::from(POINTS[low + 1][n]) * share).round() as u8;
    Color32::from_rgb(mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_survive_merging_of_columns() {
        let mut heat = Heat::default();
        (1..=5000_u64).for_each(|step| heat.push(step, &[1.0, step as f64]));
        assert!(heat.columns.len() <= COLUMNS && heat.steps() >= 5000);
        assert_eq!(heat.at(0, 1234), Some(1.0));
        // The 16-step column of step 1234 covers steps 1233 to 1248.
        assert_eq!((heat.width, heat.at(1, 1234)), (16, Some(1240.5)));
        let image = heat.image(Color32::TRANSPARENT).unwrap();
        assert_eq!((image.size[1], image.pixels[0]), (2, viridis(0.0)));
        assert_eq!(image.pixels.last().copied(), Some(viridis(1.0)));
    }

    #[test]
    fn rolled_back_steps_are_not_counted_twice() {
        let mut heat = Heat::default();
        (1..=1000_u64).for_each(|step| heat.push(step, &[step as f64]));
        heat.truncate(600);
        assert_eq!((heat.at(0, 601), heat.at(0, 600)), (None, Some(599.5)));
        (601..=1000_u64).for_each(|step| heat.push(step, &[7.0]));
        assert_eq!((heat.at(0, 1000), heat.at(0, 601)), (Some(7.0), Some(7.0)));
    }
}
