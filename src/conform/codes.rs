//! Comparison of 8-bit codes: runs the same operation on floats, and computes the codes to which its results may be
//! rounded.

use super::expected::{ExpectedResult, error_ratio};
use super::fill::OperandContents;
use super::{CheckResult, UNIT, hard_failure};
use crate::graph::{Case, Expect, LOG_BLOCK, Real, Spec, Storage, Traced, log_codes, unpack};

/// Replaces codes in a case by the floats that they represent.
pub(super) fn in_floats(case: &Case, contents: &OperandContents) -> (Case, OperandContents) {
    let (mut case, mut contents) = (case.clone(), contents.clone());
    for (update, words) in case.updates.iter_mut().zip(&mut contents.updates) {
        if matches!(update.spec.storage, Storage::SignedLog | Storage::UnsignedLog) {
            let Spec { rows, cols, storage } = update.spec;
            let mut values = vec![0f32; rows * cols];
            values.chunks_mut(cols).zip(words.chunks(update.spec.row_words())).for_each(|(row, words)| unpack(storage, words, row));
            *words = values.into_iter().map(f32::to_bits).collect();
            update.spec.storage = Storage::F32;
            update.expect = Expect::Reference;
        }
    }
    (case, contents)
}

/// Checks that every scale is the maximum of its block, and every code a valid rounding of its value, for any values within
/// the oracle's bounds.
pub(super) fn check(result: &ExpectedResult, words: &[u32], oracle: &[Traced], step: u32) -> CheckResult {
    let Spec { cols, .. } = result.spec;
    let mut worst: f64 = 0.0;
    for (row, (oracle, words)) in oracle.chunks(cols).zip(words.chunks(result.spec.row_words())).enumerate() {
        for (n, (oracle, words)) in oracle.chunks(LOG_BLOCK).zip(words.chunks(1 + LOG_BLOCK / 4)).enumerate() {
            let from = row * cols + n * LOG_BLOCK;
            let problem = |problem: String| format!("{} {}, row {row}, block {n}: {problem}", result.what, result.spec);
            worst = worst.max(check_scale(f32::from_bits(words[0]), oracle).map_err(|(share, text)| (share, problem(text)))?);
            check_codes(result.spec.storage, words, oracle, from, step).map_err(|text| hard_failure(problem(text)))?;
        }
    }
    Ok(worst)
}

fn check_scale(scale: f32, oracle: &[Traced]) -> CheckResult {
    let largest = oracle.iter().fold(0f64, |most, x| most.max(x.value.abs()));
    let bound = oracle.iter().fold(0f64, |most, x| most.max(x.bound(UNIT)));
    // A subnormal scale may be flushed to zero.
    if scale == 0.0 && largest - bound < 2.0 * f64::from(f32::MIN_POSITIVE) {
        return Ok(0.0);
    }
    match error_ratio((f64::from(scale) - largest).abs(), bound) {
        share if share <= 1.0 => Ok(share),
        share => Err((share, format!("the scale is {scale:e}, expected {largest:e} ± {bound:e}"))),
    }
}

fn check_codes(storage: Storage, words: &[u32], oracle: &[Traced], from: usize, step: u32) -> Result<(), String> {
    let signed = storage == Storage::SignedLog;
    let scale = f32::from_bits(words[0]);
    let bytes: &[u8] = bytemuck::cast_slice(&words[1..]);
    if let Some(at) = bytes[oracle.len()..].iter().position(|&byte| byte != 0) {
        return Err(format!("padding byte {at} is not 0"));
    }
    for (i, (x, &byte)) in oracle.iter().zip(bytes).enumerate() {
        let got = if signed && byte > 127 { -i32::from(byte & 127) } else { i32::from(byte) };
        let noise = log_codes::dither((from + i) as u32, step)[usize::from(!signed)];
        let [lowest, highest] = if scale == 0.0 { [0, 0] } else { code_range(signed, *x, scale, noise) };
        if got < lowest || got > highest {
            return Err(format!("element {i}: code {got}, expected {lowest} to {highest} for {:e} of {scale:e}", x.value));
        }
    }
    Ok(())
}

/// The range of codes for all quotients of value and scale that a kernel may compute. Rounding between two codes divides a
/// difference by a constant and compares it with a product: two more roundings.
fn code_range(signed: bool, x: Traced, scale: f32, noise: f32) -> [i32; 2] {
    let quotient = x / Traced::from_f32(scale);
    let bound = Traced { roundings: quotient.roundings + 2.0, ..quotient }.bound(UNIT);
    [quotient.value - bound, quotient.value + bound].map(|share| log_codes::code(signed, share as f32, noise))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::pack;

    /// Values, and their codes with rounding noise `noise`.
    fn block(storage: Storage, noise: impl Fn(usize) -> f32) -> (Vec<Traced>, Vec<u32>) {
        let values: Vec<f32> = (0..256).map(|i| if storage == Storage::SignedLog && i % 3 == 0 { -1.0 } else { 1.0 } * (-0.03 * i as f32).exp()).collect();
        let mut words = pack(Spec { rows: 1, cols: 256, storage }, &values);
        log_codes::encode(storage, &values, &mut words, noise);
        (values.into_iter().map(Traced::from_f32).collect(), words)
    }

    #[test]
    fn only_the_correct_rounding_passes() {
        for (storage, moment) in [(Storage::SignedLog, 0), (Storage::UnsignedLog, 1)] {
            let judged = |step, noise: &dyn Fn(usize) -> f32| {
                let (values, words) = block(storage, noise);
                check_scale(f32::from_bits(words[0]), &values).unwrap();
                check_codes(storage, &words, &values, 5, step)
            };
            let right = |i: usize| log_codes::dither(5 + i as u32, 9)[moment];
            judged(9, &right).unwrap();
            judged(8, &right).unwrap_err();
            judged(9, &|_| 0.5).unwrap_err();
            judged(9, &|i| log_codes::dither(5 + i as u32, 9)[1 - moment]).unwrap_err();
        }
    }

    #[test]
    fn wrong_scales_and_nonzero_padding_are_caught() {
        let (values, words) = block(Storage::UnsignedLog, |_| 0.5);
        assert!(check_scale(f32::from_bits(words[0] + 20), &values).is_err());
        let padded = [&words[..], &[1]].concat();
        assert!(check_codes(Storage::UnsignedLog, &padded, &values, 0, 1).unwrap_err().contains("padding"));
    }
}
