//! Verifies a teacher cache without its corpus.

use super::{CacheError, CacheLayout, TEXTS, TeacherCache, WindowGrid, number, open_file, window_sum};
use crate::data::batches::TopK;
use crate::formats::{FormatError, TensorSource};
use std::path::Path;

/// The numbers of a cache's windows by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifiedWindows {
    /// Verified.
    pub whole: usize,
    /// Verifiable only with their text, as training does: written by an earlier version.
    pub unverified: usize,
    /// Not computed yet.
    pub missing: usize,
}

impl TeacherCache {
    /// Verifies the cache in `dir`. `progress` receives the windows read and the windows in all; it returns false to stop.
    pub fn verify(dir: &Path, progress: &mut dyn FnMut(usize, usize) -> bool) -> Result<VerifiedWindows, CacheError> {
        let file = open_file(dir)?;
        let path = file.path().to_path_buf();
        let about = |name: &str| number(&file, name);
        let (vocabulary, top, seq) = (about("vocabulary")?, about("top")?, about("seq")?);
        if top == 0 {
            return Err(FormatError::new(&path, "is not a teacher cache: it stores no tokens").into());
        }
        let windows = file.shape("checksums").and_then(|shape| shape.first().copied()).unwrap_or(0);
        let layout = CacheLayout::new(WindowGrid { seq, train: windows, held_out: 0 }, top, vocabulary);
        let cache = Self::with_layout(file, layout, vocabulary)?;
        let sums = cache.sums()?;
        let texts = if cache.layout.texts { cache.words(TEXTS)? } else { vec![0; windows] };
        let mut verified = VerifiedWindows::default();
        for (window, (&sum, &text)) in sums.iter().zip(&texts).enumerate() {
            let (ids, shares) = cache.values(window)?;
            let right = cache.decode(&ids, &shares, &mut TopK::default()).is_some();
            match sum {
                0 => verified.missing += 1,
                _ if !right || text != 0 && window_sum(text, &ids, &shares) != sum => return Err(CacheError::Damaged { path, window }),
                _ if text == 0 => verified.unverified += 1,
                _ => verified.whole += 1,
            }
            if window % 64 == 0 && !progress(window + 1, windows) {
                break;
            }
        }
        Ok(verified)
    }
}
