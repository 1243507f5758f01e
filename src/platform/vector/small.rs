//! The inner loops for 128-bit vectors, as in WebAssembly: look-up tables for signs, and halves widened without a
//! conversion instruction. Plain Rust, which LLVM vectorizes.

/// Words of a row that are summed from tables at a time: sixteen tables of 1 KiB fit in the L1 cache.
const STRETCH: usize = 4;

/// The caller checks that `x` has 32 values for each word of a row. All sums of eight inputs are tabulated once; then
/// eight weights of a row cost one look-up and one addition.
pub(super) fn signed_sums(words: &[u32], x: &[f32], out: &mut [f32]) {
    let row_words = (x.len() / 32).max(1);
    let mut tables = [[[0f32; 256]; 4]; STRETCH];
    out.fill(0.0);
    for (k, x) in x.chunks(32 * STRETCH).enumerate() {
        for (table, x) in tables.as_flattened_mut().iter_mut().zip(x.as_chunks().0) {
            tabulate(x, table);
        }
        let stretch = k * STRETCH..k * STRETCH + x.len() / 32;
        for (out, row) in out.iter_mut().zip(words.chunks_exact(row_words)) {
            let mut sum = 0f32;
            for ([a, b, c, d], word) in tables.iter().zip(&row[stretch.clone()]) {
                let [i, j, k, l] = word.to_le_bytes().map(usize::from);
                sum += (a[i] + b[j]) + (c[k] + d[l]);
            }
            *out += sum;
        }
    }
}

/// `table[bits] = Σ ±x[i]`: plus where bit i is 1.
fn tabulate(x: &[f32; 8], table: &mut [f32; 256]) {
    table[0] = -x.iter().sum::<f32>();
    for (bit, x) in x.iter().enumerate() {
        let (known, new) = table.split_at_mut(1 << bit);
        for (new, known) in new.iter_mut().zip(known) {
            *new = *known + 2.0 * x;
        }
    }
}

/// The bits of a half, moved to their places in a float, are 2⁻¹¹² of its value, since the exponents' biases differ by
/// 112; this holds for subnormal halves, too.
const BIAS: f32 = f32::from_bits((127 + 112) << 23);

/// A finite half divided by [`BIAS`].
#[inline(always)]
fn widened(half: i16) -> f32 {
    f32::from_bits((i32::from(half) << 13) as u32 & 0x8fff_e000)
}

/// The caller checks that there is half a word for each value. Infinity and NaN are preserved.
pub(super) fn widen(words: &[u32], out: &mut [f32]) {
    let halves: &[i16] = bytemuck::cast_slice(words);
    for (&half, x) in halves.iter().zip(out) {
        let endless = if half & 0x7c00 == 0x7c00 { f32::INFINITY.to_bits() } else { 0 };
        *x = f32::from_bits((widened(half) * BIAS).to_bits() | endless);
    }
}

/// The caller checks that each row has half a word for each value of `x`. All halves are finite.
pub(super) fn dots_of_halves(words: &[u32], x: &[f32], out: &mut [f32]) {
    // Below this, x·2¹¹² is finite, and exact as every product with a power of two.
    if x.iter().all(|x| x.abs() < 65_536.0) {
        let scaled: Vec<f32> = x.iter().map(|x| x * BIAS).collect();
        dots(words, &scaled, out, |half, x| widened(half) * x);
    } else {
        dots(words, x, out, |half, x| widened(half) * BIAS * x);
    }
}

#[inline(always)]
fn dots(words: &[u32], x: &[f32], out: &mut [f32], product: impl Fn(i16, f32) -> f32) {
    const LANES: usize = 16;
    for (words, out) in words.chunks_exact(x.len().div_ceil(2).max(1)).zip(out) {
        let halves: &[i16] = bytemuck::cast_slice(words);
        let (halves, last_halves) = halves[..x.len()].as_chunks::<LANES>();
        let (x, last) = x.as_chunks::<LANES>();
        let mut lanes = [0f32; LANES];
        for (halves, x) in halves.iter().zip(x) {
            for ((lane, &half), &x) in lanes.iter_mut().zip(halves).zip(x) {
                *lane += product(half, x);
            }
        }
        let rest = last_halves.iter().zip(last).fold(0.0, |sum, (&half, &x)| sum + product(half, x));
        *out = lanes.iter().fold(rest, |sum, lane| sum + lane);
    }
}
