//! The sampling order of a corpus's windows: a pure function of seed and position, so that a resumed run continues
//! without replaying.

use crate::rng::Key;
use std::ops::Range;

/// Token ids with the target of each position.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `batch × seq` ids.
    pub tokens: Vec<u32>,
    /// The next id at each position.
    pub targets: Vec<u32>,
    /// The weight of each position in the mean; 0 for padding.
    pub weights: Vec<f32>,
    /// The teacher's cached top-k probabilities; `None` where the teacher itself is run.
    pub top_k: Option<TopK>,
}

/// A teacher's top-k probabilities at a range of positions, with the rest as one bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopK {
    /// The top-k ids at each position, ascending.
    pub ids: Vec<u32>,
    /// The probability of each, then the sum of all others.
    pub shares: Vec<f32>,
}

impl Batch {
    /// Builds a batch from windows of `seq + 1` ids, with weight 1 at every position.
    pub fn from_windows(windows: &[impl AsRef<[u32]>]) -> Self {
        let windows = || windows.iter().map(AsRef::as_ref);
        let tokens: Vec<u32> = windows().flat_map(|window| &window[..window.len() - 1]).copied().collect();
        let targets = windows().flat_map(|window| &window[1..]).copied().collect();
        Self { weights: vec![1.0; tokens.len()], tokens, targets, top_k: None }
    }
}

/// Batches of windows; each epoch has its own order and offset.
#[derive(Clone, Debug)]
pub struct Batches {
    key: Key,
    batch: usize,
    seq: usize,
    length: usize,
    /// True if every epoch has offset 0.
    aligned: bool,
}

impl Batches {
    /// Batches of `batch` windows of `seq + 1` ids over `length` tokens.
    pub fn new(seed: u64, length: usize, batch: usize, seq: usize) -> Self {
        assert!(length > seq, "{length} tokens hold no window of {}", seq + 1);
        Self { key: Key::new(seed, "batches"), batch, seq, length, aligned: false }
    }

    /// Batches whose windows all begin at multiples of `seq`: all epochs, and runs of any seed and batch size, share the
    /// windows, so that a teacher's probabilities can be cached.
    pub fn aligned(seed: u64, length: usize, batch: usize, seq: usize) -> Self {
        Self { aligned: true, ..Self::new(seed, length, batch, seq) }
    }

    /// Windows per epoch.
    pub fn windows(&self) -> usize {
        let whole = grid_windows(self.length, self.seq);
        if self.aligned { whole } else { whole.saturating_sub(1).max(1) }
    }

    /// Returns the first token of each window of batch number `index`.
    pub fn starts(&self, index: u64) -> Vec<usize> {
        let windows = self.windows() as u64;
        let slack = if self.aligned { 0 } else { self.length - 1 - self.windows() * self.seq };
        let start = |row| {
            let position = index * self.batch as u64 + row;
            let epoch = self.key.child(position / windows);
            let offset = (epoch.bits(u64::MAX) % (slack as u64 + 1)) as usize;
            offset + epoch.permute(position % windows, windows) as usize * self.seq
        };
        (0..self.batch as u64).map(start).collect()
    }

    /// Returns batch number `index`; `read` returns the tokens of a range.
    pub fn batch<E>(&self, index: u64, read: impl Fn(Range<usize>) -> Result<Vec<u32>, E>) -> Result<Batch, E> {
        let chosen: Result<Vec<_>, E> = self.starts(index).into_iter().map(|start| read(start..start + self.seq + 1)).collect();
        Ok(Batch::from_windows(&chosen?))
    }
}

/// The number of windows of `seq + 1` at multiples of `seq` in `length` tokens.
pub fn grid_windows(length: usize, seq: usize) -> usize {
    length.saturating_sub(1) / seq
}

/// Returns the first `max_batches` batches of held-out text of `length` tokens: consecutive windows, each once. `read` returns
/// the tokens of a range.
pub fn held_out<E>(length: usize, batch: usize, seq: usize, max_batches: usize, read: impl Fn(Range<usize>) -> Result<Vec<u32>, E>) -> Result<Vec<Batch>, E> {
    let needed = max_batches.max(1).saturating_mul(batch).min(grid_windows(length, seq));
    let windows: Vec<Vec<u32>> = (0..needed).map(|n| read(n * seq..(n + 1) * seq + 1)).collect::<Result<_, E>>()?;
    let mut batches: Vec<Batch> = windows.chunks(batch).filter(|chunk| chunk.len() == batch).take(max_batches).map(Batch::from_windows).collect();
    if batches.is_empty() {
        // Fewer windows than rows in a batch: repeat them, to have one batch.
        let repeated: Vec<Vec<u32>> = windows.iter().cycle().take(batch).cloned().collect();
        batches.push(Batch::from_windows(&repeated));
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Returns the positions themselves as token ids.
    fn positions(range: Range<usize>) -> Result<Vec<u32>, Infallible> {
        Ok(range.map(|at| at as u32).collect())
    }

    #[test]
    fn an_epoch_sees_every_window_once() {
        let batches = Batches::new(3, 1000, 1, 10);
        let mut starts = batches_of(&batches, 0);
        assert_ne!(starts, batches_of(&batches, batches.windows() as u64));
        starts.sort_unstable();
        assert!(starts.windows(2).all(|pair| pair[1] == pair[0] + 10), "{starts:?}");
        assert_eq!(batches.batch(5, positions), batches.batch(5, positions));
    }

    fn batches_of(batches: &Batches, first: u64) -> Vec<u32> {
        (first..first + batches.windows() as u64).map(|n| batches.batch(n, positions).unwrap().tokens[0]).collect()
    }

    #[test]
    fn aligned_epochs_share_their_windows() {
        for seed in [3, 4] {
            let batches = Batches::aligned(seed, 1000, 7, 10);
            let mut starts: Vec<usize> = (0..2 * 99).flat_map(|n| batches.starts(n)).take(2 * 99).collect();
            starts.sort_unstable();
            assert_eq!(starts, (0..2 * 99).map(|n| n / 2 * 10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn held_out_windows_do_not_overlap() {
        let batches = held_out(101, 2, 10, 100, positions).unwrap();
        assert_eq!(batches.len(), 5);
        assert_eq!(batches[4].targets.last(), Some(&100));
        assert_eq!(held_out(101, 64, 10, 100, positions).unwrap().len(), 1);
    }
}
