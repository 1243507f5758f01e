//! Inner loops of decoding: AVX-512 on x86, which compilers do not generate from portable code, and WebAssembly, whose
//! 128-bit vectors are too short for the caller's portable loop. Other targets use that loop.

mod small;

use half::slice::HalfFloatSliceExt;

/// True for 128-bit vectors without fused multiply-add: a table look-up in [`signed_sums`] then replaces two vector
/// multiplications and additions.
pub const SMALL: bool = cfg!(target_arch = "wasm32");

/// For each row r of signs, `out[r] = Σ ±x[i]`: plus where bit i of the row is 1. `x` has 32 values for each word of a
/// row. Returns false, with nothing done, if the caller's loop is better on this CPU.
pub fn signed_sums(words: &[u32], x: &[f32], out: &mut [f32]) -> bool {
    assert!(x.len().is_multiple_of(32) && words.len() == out.len() * (x.len() / 32), "{} words for {} rows of {}", words.len(), out.len(), x.len());
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was detected, and the lengths were checked.
        unsafe { x86::signed_sums(words, x, out) };
        return true;
    }
    if SMALL {
        small::signed_sums(words, x, out);
        return true;
    }
    false
}

/// For each row r of halves (two per word, low half first), `out[r] = Σ h[i]·x[i]`. The halves are finite. Returns
/// false, with nothing done, if the caller's loop is better on this CPU.
pub fn dots_of_halves(words: &[u32], x: &[f32], out: &mut [f32]) -> bool {
    assert!(words.len() == out.len() * x.len().div_ceil(2), "{} words for {} rows of {}", words.len(), out.len(), x.len());
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was detected, and the lengths were checked.
        unsafe { x86::dots_of_halves(words, x, out) };
        return true;
    }
    if SMALL {
        small::dots_of_halves(words, x, out);
        return true;
    }
    false
}

/// Converts halves (two per word, low half first) to `out.len()` floats, with the CPU's instruction if it has one.
pub fn widen(words: &[u32], out: &mut [f32]) {
    if SMALL {
        return small::widen(&words[..out.len().div_ceil(2)], out);
    }
    // Signet supports little-endian machines only, so the halves are in memory in order.
    let halves: &[half::f16] = bytemuck::cast_slice(words);
    halves[..out.len()].convert_to_f32_slice(out);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// The sum of four accumulators.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn total(sums: [__m512; 4]) -> f32 {
        _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])))
    }

    /// The caller checks that `x` has 32 values for each word of a row. A row's sum is 2·Σ₊x − Σx, where Σ₊ is over the
    /// values whose bit is 1: one masked addition per sixteen values.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn signed_sums(words: &[u32], x: &[f32], out: &mut [f32]) {
        let row_words = x.len() / 32;
        let every = vec![u32::MAX; row_words];
        // SAFETY: by the caller, for each row.
        let all = unsafe { sum_where(&every, x) };
        for (words, out) in words.chunks_exact(row_words.max(1)).zip(out) {
            // SAFETY: by the caller, for each row.
            *out = 2.0 * unsafe { sum_where(words, x) } - all;
        }
    }

    /// The sum of the values of `x` whose bit is 1.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn sum_where(words: &[u32], x: &[f32]) -> f32 {
        let [mut a, mut b, mut c, mut d] = [_mm512_setzero_ps(); 4];
        let (pairs, last) = words.as_chunks::<2>();
        let mut at = x.as_ptr();
        // SAFETY: each word has its own 32 values.
        unsafe {
            for &[low, high] in pairs {
                a = _mm512_mask_add_ps(a, low as __mmask16, a, _mm512_loadu_ps(at));
                b = _mm512_mask_add_ps(b, (low >> 16) as __mmask16, b, _mm512_loadu_ps(at.add(16)));
                c = _mm512_mask_add_ps(c, high as __mmask16, c, _mm512_loadu_ps(at.add(32)));
                d = _mm512_mask_add_ps(d, (high >> 16) as __mmask16, d, _mm512_loadu_ps(at.add(48)));
                at = at.add(64);
            }
            for &word in last {
                a = _mm512_mask_add_ps(a, word as __mmask16, a, _mm512_loadu_ps(at));
                b = _mm512_mask_add_ps(b, (word >> 16) as __mmask16, b, _mm512_loadu_ps(at.add(16)));
            }
        }
        total([a, b, c, d])
    }

    /// The caller checks that each row has half a word for each value of `x`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn dots_of_halves(words: &[u32], x: &[f32], out: &mut [f32]) {
        for (words, out) in words.chunks_exact(x.len().div_ceil(2).max(1)).zip(out) {
            // SAFETY: by the caller, for each row.
            *out = unsafe { dot_halves(words, x) };
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn dot_halves(words: &[u32], x: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 4];
        let whole = x.len() / 16;
        // SAFETY: 16·k + 16 values, and the 8 words with as many halves, are in range for k < whole.
        let product = |sum: __m512, k: usize| unsafe {
            let halves = _mm256_loadu_si256(words.as_ptr().add(8 * k).cast());
            _mm512_fmadd_ps(_mm512_cvtph_ps(halves), _mm512_loadu_ps(x.as_ptr().add(16 * k)), sum)
        };
        for k in 0..whole / 4 {
            sums = [product(sums[0], 4 * k), product(sums[1], 4 * k + 1), product(sums[2], 4 * k + 2), product(sums[3], 4 * k + 3)];
        }
        for k in whole / 4 * 4..whole {
            sums[0] = product(sums[0], k);
        }
        let half = |i: usize| half::f16::from_bits((words[i / 2] >> (16 * (i % 2))) as u16).to_f32();
        (16 * whole..x.len()).fold(total(sums), |sum, i| sum + half(i) * x[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Loop = fn(&[u32], &[f32], &mut [f32]) -> bool;

    /// This CPU's version and WebAssembly's.
    const SIGNED: [Loop; 2] = [signed_sums, |words, x, out| {
        small::signed_sums(words, x, out);
        true
    }];
    const HALVES: [Loop; 2] = [dots_of_halves, |words, x, out| {
        small::dots_of_halves(words, x, out);
        true
    }];

    /// Small integers, so that every order of summation gives the same float.
    #[test]
    fn wide_loops_compute_what_narrow_ones_do() {
        const ROWS: usize = 3;
        let word = |i: usize| (i as u32 + 1).wrapping_mul(2_654_435_761);
        for n in [1usize, 2, 3, 5, 8, 24] {
            let x: Vec<f32> = (0..32 * n).map(|i| (word(i) >> 24) as f32 - 100.0).collect();
            let words: Vec<u32> = (0..ROWS * n).map(word).collect();
            for sums in SIGNED {
                let mut got = [f32::NAN; ROWS];
                let done = sums(&words, &x, &mut got);
                for (row, got) in words.chunks(n).zip(got) {
                    let want: f32 = (0..32 * n).map(|i| if (row[i / 32] >> (i % 32)) & 1 == 1 { x[i] } else { -x[i] }).sum();
                    assert!(!done || got == want, "{n} words");
                }
            }
            for cols in [2 * n, 2 * n - 1, 32 * n] {
                let row_words = cols.div_ceil(2);
                let half = |i: usize| half::f16::from_f32((word(i) >> 28) as f32 - 7.0);
                let words: Vec<u32> = (0..ROWS * row_words).map(|i| u32::from(half(2 * i).to_bits()) | u32::from(half(2 * i + 1).to_bits()) << 16).collect();
                for dots in HALVES {
                    let mut got = [f32::NAN; ROWS];
                    let done = dots(&words, &x[..cols], &mut got);
                    for (row, got) in got.into_iter().enumerate() {
                        let want: f32 = (0..cols).map(|i| half(2 * row * row_words + i).to_f32() * x[i]).sum();
                        assert!(!done || got == want, "{cols} halves");
                    }
                }
            }
        }
    }
    #[test]
    fn every_half_is_widened_exactly() {
        for widen in [widen, small::widen] {
            for bits in 0..=u16::MAX {
                let mut got = [0f32];
                widen(&[u32::from(bits)], &mut got);
                let (got, want) = (got[0], half::f16::from_bits(bits).to_f32());
                assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:#x}: {got}, not {want}");
            }
            let mut out = [0f32; 3];
            widen(&[0xbc00_3c00, 0x4000], &mut out);
            assert_eq!(out, [1.0, -1.0, 2.0]);
        }
    }

    /// One row of one half: every finite one, times values on both sides of the scaling limit.
    #[test]
    fn halves_of_every_size_are_multiplied_exactly() {
        for x in [-1.5f32, 1e5] {
            for bits in 0..=u16::MAX {
                let half = half::f16::from_bits(bits);
                let mut got = [f32::NAN];
                small::dots_of_halves(&[u32::from(bits)], &[x], &mut got);
                assert!(!half.is_finite() || got[0] == half.to_f32() * x, "{half} · {x} = {}", got[0]);
            }
        }
    }
}
