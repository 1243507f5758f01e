//! The code of 8-bit moments: blocks of 256, each with its largest magnitude as scale (Dettmers et
//! al., arXiv 2110.02861), and in them a logarithmic scale of eight steps an octave.
//!
//! AdamW divides one moment by the root of the other, so that the relative error of each matters, however
//! small it is compared to its block's largest; a linear code is too coarse there.
//! A second moment that is not 0 never becomes 0, which would make its weight jump (Li et al., arXiv
//! 2309.01507). A moment is a running mean whose changes may be smaller than a step of the code;
//! rounded to nearest it would not change. Rounding is therefore stochastic and unbiased: [`dither`] is its
//! noise, a pure function of element and step.

use super::real::Real;
use super::shape::{LOG_BLOCK, Storage};

/// 2^(−n/8), rounded.
const EIGHTHS: [f32; 9] = [
    1.0,
    0.917_004_043_204_671_2_f64 as f32,
    0.840_896_415_253_714_5_f64 as f32,
    0.771_105_412_703_970_4_f64 as f32,
    std::f32::consts::FRAC_1_SQRT_2,
    0.648_419_777_325_504_8_f64 as f32,
    0.594_603_557_501_360_5_f64 as f32,
    0.545_253_866_332_628_8_f64 as f32,
    0.5,
];

/// The value of each byte, as a share of its block's scale.
const SIGNED: [f32; 256] = shares(true);
const UNSIGNED: [f32; 256] = shares(false);

const fn shares(signed: bool) -> [f32; 256] {
    let max_code = max_code(signed);
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = byte & max_code;
        if code > 0 {
            let below = max_code - code;
            let share = EIGHTHS[below % 8] / (1u64 << (below / 8)) as f32;
            table[byte] = if byte > code { -share } else { share };
        }
        byte += 1;
    }
    table
}

/// Returns the largest code, that of the scale itself.
const fn max_code(signed: bool) -> usize {
    if signed { 127 } else { 255 }
}

/// Returns noise within (0, 1) for the first and the second moment of an element in a step.
#[inline(always)]
pub fn dither(element: u32, step: u32) -> [f32; 2] {
    let mut x = element.wrapping_mul(0x9e37_79b1) ^ step.wrapping_mul(0x85eb_ca77);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    [x & 0xffff, x >> 16].map(|part| (part as f32 + 0.5) / 65536.0)
}

/// Encodes a value, given as a share of its block's scale, with its sign. Of the two codes around it, returns
/// the larger if `noise` is below the relative distance from the smaller.
#[inline(always)]
pub fn code(signed: bool, share: f32, noise: f32) -> i32 {
    let size = share.abs();
    let max_code = max_code(signed) as i32;
    let octave = 126 - (size.to_bits() >> 23) as i32;
    let mantissa = f32::from_bits(size.to_bits() & 0x007f_ffff | 0x3f00_0000);
    let (mut eighth, mut lower, mut upper) = (0, EIGHTHS[1], EIGHTHS[0]);
    for n in 1..8 {
        let below = mantissa < EIGHTHS[n];
        eighth += i32::from(below);
        upper = if below { EIGHTHS[n] } else { upper };
        lower = if below { EIGHTHS[n + 1] } else { lower };
    }
    let above = 8 * octave + eighth;
    let between = max_code - above - i32::from(mantissa - lower <= noise * (upper - lower));
    let smallest = if signed { SIGNED[1] } else { 0.0 };
    let code = if above >= max_code - 1 { i32::from(size > noise * smallest) } else { between };
    let code = if size < 1.0 { code } else { max_code };
    if share < 0.0 { -code } else { code }
}

/// Returns the scale of a block with this largest magnitude; 0 unless it is a normal number.
#[inline(always)]
pub fn scale(largest: f32) -> f32 {
    if largest.is_normal() { largest } else { 0.0 }
}

/// Encodes a row, rounded with `noise(column)`.
#[inline(always)]
pub fn encode<T: Real>(storage: Storage, row: &[T], words: &mut [u32], noise: impl Fn(usize) -> f32) {
    let signed = storage == Storage::SignedLog;
    for (n, (block, words)) in row.chunks(LOG_BLOCK).zip(words.chunks_mut(1 + LOG_BLOCK / 4)).enumerate() {
        // Magnitudes are ordered like their bits, and the maximum of integers vectorises.
        let largest = block.iter().fold(0, |largest, x| (x.to_f64() as f32).abs().to_bits().max(largest));
        let scale = scale(f32::from_bits(largest));
        words[0] = scale.to_bits();
        words[1..].fill(0);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words[1..]);
        for (i, (x, byte)) in block.iter().zip(bytes).enumerate() {
            let share = if scale > 0.0 { x.to_f64() as f32 / scale } else { 0.0 };
            let code = code(signed, share, noise(n * LOG_BLOCK + i));
            *byte = if code < 0 { 128 | -code as u8 } else { code as u8 };
        }
    }
}

/// Decodes a row.
#[inline(always)]
pub fn decode<T: Real>(storage: Storage, words: &[u32], out: &mut [T]) {
    let table = if storage == Storage::SignedLog { &SIGNED } else { &UNSIGNED };
    for (block, words) in out.chunks_mut(LOG_BLOCK).zip(words.chunks(1 + LOG_BLOCK / 4)) {
        let scale = T::from_f32(f32::from_bits(words[0]));
        let bytes: &[u8] = bytemuck::cast_slice(&words[1..]);
        for (x, &byte) in block.iter_mut().zip(bytes) {
            *x = scale * T::from_f32(table[usize::from(byte)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_values_are_not_changed_by_noise() {
        for signed in [true, false] {
            for code_of_it in 1..=max_code(signed) as i32 {
                let table = if signed { &SIGNED } else { &UNSIGNED };
                for noise in [1e-6, 0.5, 1.0 - 1e-6] {
                    let share = table[code_of_it as usize];
                    assert_eq!(code(signed, share, noise), code_of_it);
                    assert!(!signed || code(signed, -share, noise) == -code_of_it);
                }
            }
        }
    }

    #[test]
    fn rounding_is_unbiased_and_within_a_step() {
        for signed in [true, false] {
            let table = if signed { &SIGNED } else { &UNSIGNED };
            for i in 1..2000 {
                let share = 1.1 * (-0.0045 * i as f32).exp();
                let codes: Vec<i32> = (0..512).map(|n| code(signed, share, (n as f32 + 0.5) / 512.0)).collect();
                let mean = codes.iter().map(|&code| f64::from(table[code as usize])).sum::<f64>() / 512.0;
                let want = f64::from(share.min(1.0));
                assert!((mean - want).abs() <= want * 2e-4, "{share}: {mean}");
                assert!(codes.iter().all(|&code| (f64::from(table[code as usize]) / want).log2().abs() <= 0.125001));
            }
        }
    }

    #[test]
    fn values_below_the_smallest_code_are_unbiased_or_stay_above_zero() {
        let tiny = SIGNED[1] / 4.0;
        let ones = (0..1000).filter(|n| code(true, tiny, (*n as f32 + 0.5) / 1000.0) == 1).count();
        assert_eq!(ones, 250);
        assert_eq!(code(false, 1e-30, 0.999), 1);
        assert_eq!((code(true, 0.0, 0.5), code(false, 0.0, 0.5)), (0, 0));
    }

    #[test]
    fn dither_is_uniform_and_its_halves_are_independent() {
        let n = 1 << 16;
        let (mut sums, mut product) = ([0f64; 2], 0f64);
        for i in 0..n {
            let [a, b] = dither(i % 4096, i / 4096).map(f64::from);
            assert!(a > 0.0 && a < 1.0 && b > 0.0 && b < 1.0);
            sums = [sums[0] + a, sums[1] + b];
            product += (a - 0.5) * (b - 0.5);
        }
        // Standard errors: 0.289/256, and 1/12/256.
        assert!(sums.iter().all(|sum| (sum / f64::from(n) - 0.5).abs() < 4.0 * 0.289 / 256.0), "{sums:?}");
        assert!((product / f64::from(n)).abs() < 4.0 / 12.0 / 256.0, "{product}");
    }
}
