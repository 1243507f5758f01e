//! Packing of floats as 16-bit floats and as blocks of 8-bit codes.

use super::log_codes;
use super::real::Real;
use super::shape::{Spec, Storage};
use crate::platform::parallel::*;

/// Packs row-major floats in the storage of `spec`, rounded to the nearest representable value.
pub fn pack(spec: Spec, values: &[f32]) -> Vec<u32> {
    assert_eq!(values.len(), spec.elements(), "{} floats for {spec}", values.len());
    let pack_row: fn(&[f32], &mut [u32]) = match spec.storage {
        Storage::F32 => |row, words| words.copy_from_slice(bytemuck::cast_slice(row)),
        Storage::F16 => f32::narrow,
        Storage::Q8 => pack_codes,
        Storage::SignedLog => |row, words| log_codes::encode(Storage::SignedLog, row, words, |_| 0.5),
        Storage::UnsignedLog => |row, words| log_codes::encode(Storage::UnsignedLog, row, words, |_| 0.5),
        Storage::U32 | Storage::Signs => panic!("floats packed as {spec}"),
    };
    let mut words = vec![0; spec.words()];
    words.par_chunks_mut(spec.row_words()).zip(values.par_chunks(spec.cols)).for_each(|(words, row)| pack_row(row, words));
    words
}

/// Unpacks one row of `storage`.
#[inline(always)]
pub fn unpack<T: Real>(storage: Storage, words: &[u32], out: &mut [T]) {
    match storage {
        Storage::F32 => out.iter_mut().zip(words).for_each(|(x, &word)| *x = T::from_f32(f32::from_bits(word))),
        Storage::F16 => T::widen(words, out),
        Storage::Q8 => unpack_codes(words, out),
        Storage::SignedLog | Storage::UnsignedLog => log_codes::decode(storage, words, out),
        Storage::U32 | Storage::Signs => panic!("{storage:?} read as floats"),
    }
}

/// Packs a row of `Q8`. The scale is the largest magnitude ÷ 127; a block whose scale would not be a normal float is 0.
fn pack_codes(row: &[f32], words: &mut [u32]) {
    for (block, words) in row.chunks(32).zip(words.chunks_mut(9)) {
        let scale = block.iter().fold(0f32, |largest, x| largest.max(x.abs())) / 127.0;
        let scale = if scale.is_normal() { scale } else { 0.0 };
        let code = |x: &f32| if scale > 0.0 { (x / scale).round() as i8 } else { 0 };
        words[0] = scale.to_bits();
        for (word, four) in words[1..].iter_mut().zip(block.chunks(4)) {
            *word = four.iter().rev().fold(0, |word, x| word << 8 | u32::from(code(x) as u8));
        }
    }
}

#[inline(always)]
fn unpack_codes<T: Real>(words: &[u32], out: &mut [T]) {
    for (block, words) in out.chunks_mut(32).zip(words.chunks(9)) {
        let scale = T::from_f32(f32::from_bits(words[0]));
        // Signet runs on little-endian machines only, so that the bytes of words are in order.
        let codes: &[i8] = bytemuck::cast_slice(&words[1..]);
        for (x, &code) in block.iter_mut().zip(codes) {
            *x = scale * T::from_f32(f32::from(code));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(spec: Spec, values: &[f32]) -> Vec<f32> {
        let words = pack(spec, values);
        assert_eq!(words.len(), spec.words());
        let mut out = vec![0.0; spec.elements()];
        out.chunks_mut(spec.cols).zip(words.chunks(spec.row_words())).for_each(|(row, words)| unpack(spec.storage, words, row));
        out
    }

    #[test]
    fn codes_are_within_half_a_step_of_their_values() {
        for cols in [1, 3, 4, 31, 32, 33, 100, 257] {
            let value = |i: usize| ((i * 7919) % 1000) as f32 * 0.003 - 1.2;
            let values: Vec<f32> = (0..3 * cols).map(value).collect();
            let got = through(Spec { rows: 3, cols, storage: Storage::Q8 }, &values);
            for (row, got) in values.chunks(cols).zip(got.chunks(cols)) {
                for (block, got) in row.chunks(32).zip(got.chunks(32)) {
                    let largest = block.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                    assert!(block.iter().zip(got).all(|(x, y)| (x - y).abs() <= largest / 254.0 * 1.0001), "{block:?} became {got:?}");
                }
            }
        }
    }

    #[test]
    fn a_block_of_zeros_or_of_subnormal_numbers_is_zero() {
        let spec = Spec { rows: 1, cols: 40, storage: Storage::Q8 };
        assert_eq!(through(spec, &[0.0; 40]), [0.0; 40]);
        assert_eq!(through(spec, &[1e-40; 40]), [0.0; 40]);
    }

    #[test]
    fn halves_and_floats_are_unchanged() {
        let values = [1.0, -2.5, 0.0, 65504.0, -0.125, 3.0];
        for storage in [Storage::F16, Storage::F32] {
            assert_eq!(through(Spec { rows: 2, cols: 3, storage }, &values), values);
        }
    }
}
