//! Parallel loops: rayon's iterators natively. A page has one thread and gets the standard iterators under the same
//! names, since compiling rayon's splitting for each loop would add a twentieth to its code.

#[cfg(not(target_arch = "wasm32"))]
pub use pool::*;
#[cfg(target_arch = "wasm32")]
pub use single::*;

#[cfg(not(target_arch = "wasm32"))]
mod pool {
    pub use rayon::prelude::*;

    /// The number of threads in the pool.
    pub fn threads() -> usize {
        rayon::current_num_threads()
    }

    /// Runs `f` on a thread of the pool, so that a loop in it with a single task wakes no other thread.
    pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
        rayon::scope(|_| f())
    }
}

#[cfg(any(test, target_arch = "wasm32"))]
#[cfg_attr(not(target_arch = "wasm32"), allow(unreachable_pub))]
mod single {
    use std::slice::{Chunks, ChunksExact, ChunksExactMut, ChunksMut, Iter, IterMut, Windows};

    /// rayon's `IntoParallelIterator`, with the standard iterator.
    pub trait IntoParallelIterator: IntoIterator + Sized {
        /// The standard iterator.
        fn into_par_iter(self) -> Self::IntoIter {
            self.into_iter()
        }
    }

    impl<I: IntoIterator> IntoParallelIterator for I {}

    /// rayon's `ParallelSlice` and `IntoParallelRefIterator`, with the standard iterators.
    pub trait ParallelSlice<T> {
        /// [`slice::iter`].
        fn par_iter(&self) -> Iter<'_, T>;
        /// [`slice::chunks`].
        fn par_chunks(&self, size: usize) -> Chunks<'_, T>;
        /// [`slice::chunks_exact`].
        fn par_chunks_exact(&self, size: usize) -> ChunksExact<'_, T>;
        /// [`slice::windows`].
        fn par_windows(&self, size: usize) -> Windows<'_, T>;
    }

    impl<T> ParallelSlice<T> for [T] {
        fn par_iter(&self) -> Iter<'_, T> {
            self.iter()
        }

        fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
            self.chunks(size)
        }

        fn par_chunks_exact(&self, size: usize) -> ChunksExact<'_, T> {
            self.chunks_exact(size)
        }

        fn par_windows(&self, size: usize) -> Windows<'_, T> {
            self.windows(size)
        }
    }

    /// rayon's `ParallelSliceMut` and `IntoParallelRefMutIterator`, with the standard iterators.
    pub trait ParallelSliceMut<T> {
        /// [`slice::iter_mut`].
        fn par_iter_mut(&mut self) -> IterMut<'_, T>;
        /// [`slice::chunks_mut`].
        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;
        /// [`slice::chunks_exact_mut`].
        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T>;
    }

    impl<T> ParallelSliceMut<T> for [T] {
        fn par_iter_mut(&mut self) -> IterMut<'_, T> {
            self.iter_mut()
        }

        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
            self.chunks_mut(size)
        }

        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T> {
            self.chunks_exact_mut(size)
        }
    }

    /// The number of threads: one.
    pub fn threads() -> usize {
        1
    }

    /// Runs `f`.
    pub fn in_pool<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

#[cfg(test)]
mod tests {
    /// Each name gives the same results in the same order in both modules.
    #[test]
    fn both_modules_give_the_same_results() {
        macro_rules! of {
            ($loops:ident) => {{
                use super::$loops::*;
                let mut values: Vec<i32> = (0..23).collect();
                values.par_iter_mut().enumerate().for_each(|(at, value)| *value += at as i32);
                values.par_chunks_mut(5).enumerate().for_each(|(at, chunk)| chunk[0] = at as i32);
                values.par_chunks_exact_mut(5).zip(0..9).for_each(|(chunk, at)| chunk[1] -= at);
                let sums: Vec<i32> = values.par_chunks(4).zip(values.par_chunks_exact(4)).map(|(one, other)| one[0] * other[3]).collect();
                let windows: Vec<i32> = values.par_windows(2).map(|pair| pair[1] - pair[0]).collect();
                let whole: i32 = in_pool(|| values.par_iter().sum());
                let mapped: Vec<i32> = values.clone().into_par_iter().map(|value| value * 2).collect();
                assert!(threads() >= 1);
                (values, sums, windows, whole, mapped)
            }};
        }
        assert_eq!(of!(pool), of!(single));
    }
}
