//! Quantized blocks in ggml's layout, dequantized to f32 exactly as in `ggml-quants.c`: the same products, rounded in
//! the same order.

use half::{bf16, f16};

/// A tensor's storage type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GgmlType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// The supported types: name, elements and bytes per block.
const ALL: [(GgmlType, &str, usize, usize); 11] = [
    (GgmlType::F32, "F32", 1, 4),
    (GgmlType::F16, "F16", 1, 2),
    (GgmlType::Bf16, "BF16", 1, 2),
    (GgmlType::Q4_0, "Q4_0", 32, 18),
    (GgmlType::Q4_1, "Q4_1", 32, 20),
    (GgmlType::Q5_0, "Q5_0", 32, 22),
    (GgmlType::Q5_1, "Q5_1", 32, 24),
    (GgmlType::Q8_0, "Q8_0", 32, 34),
    (GgmlType::Q4K, "Q4_K", 256, 144),
    (GgmlType::Q5K, "Q5_K", 256, 176),
    (GgmlType::Q6K, "Q6_K", 256, 210),
];

/// Names of all ggml types by code, including those removed from the format.
const NAMES: [&str; 43] = [
    "F32",
    "F16",
    "Q4_0",
    "Q4_1",
    "Q4_2",
    "Q4_3",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q8_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "Q8_K",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ3_XXS",
    "IQ1_S",
    "IQ4_NL",
    "IQ3_S",
    "IQ2_S",
    "IQ4_XS",
    "I8",
    "I16",
    "I32",
    "I64",
    "F64",
    "IQ1_M",
    "BF16",
    "Q4_0_4_4",
    "Q4_0_4_8",
    "Q4_0_8_8",
    "TQ1_0",
    "TQ2_0",
    "IQ4_NL_4_4",
    "IQ4_NL_4_8",
    "IQ4_NL_8_8",
    "MXFP4",
    "NVFP4",
    "Q1_0",
    "Q2_0",
];

impl GgmlType {
    /// The type of a code in a file; the error is the name of an unsupported type.
    pub(super) fn of(code: u32) -> Result<Self, String> {
        let name = NAMES.get(code as usize).ok_or_else(|| format!("type {code}"))?;
        ALL.iter().find(|(_, known, _, _)| known == name).map(|(ggml_type, ..)| *ggml_type).ok_or_else(|| name.to_string())
    }

    fn row(self) -> (GgmlType, &'static str, usize, usize) {
        ALL[self as usize]
    }

    /// ggml's name.
    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    /// Elements per block; rows consist of whole blocks.
    pub(super) fn elements(self) -> usize {
        self.row().2
    }

    /// Bytes per block.
    pub(super) fn bytes(self) -> usize {
        self.row().3
    }

    /// The names of all supported types.
    pub(super) fn all() -> String {
        ALL.map(|(_, name, _, _)| name).join(", ")
    }

    /// Dequantizes whole blocks.
    pub(super) fn widen(self, bytes: &[u8], out: &mut [f32]) {
        let widen: fn(&[u8], &mut [f32]) = match self {
            GgmlType::F32 => |bytes, out| out[0] = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            GgmlType::F16 => |bytes, out| out[0] = half(bytes, 0),
            GgmlType::Bf16 => |bytes, out| out[0] = bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
            GgmlType::Q4_0 => q4_0,
            GgmlType::Q4_1 => q4_1,
            GgmlType::Q5_0 => q5_0,
            GgmlType::Q5_1 => q5_1,
            GgmlType::Q8_0 => q8_0,
            GgmlType::Q4K => q4_k,
            GgmlType::Q5K => q5_k,
            GgmlType::Q6K => q6_k,
        };
        bytes.chunks_exact(self.bytes()).zip(out.chunks_exact_mut(self.elements())).for_each(|(block, out)| widen(block, out));
    }
}

/// The f16 at a byte of a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The 4-bit codes of a block of 32: the low nibbles of 16 bytes, then the high ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}

fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    out.iter_mut().zip(nibbles(&block[2..18])).for_each(|(out, code)| *out = (i32::from(code) - 8) as f32 * scale);
}

fn q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, min) = (half(block, 0), half(block, 2));
    out.iter_mut().zip(nibbles(&block[4..20])).for_each(|(out, code)| *out = f32::from(code) * scale + min);
}

/// The 5-bit codes of a block of 32, whose fifth bits are in a separate word.
fn five_bit_codes(high: &[u8], low: &[u8]) -> impl Iterator<Item = u8> {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    nibbles(low).enumerate().map(move |(n, code)| code | ((high >> n & 1) << 4) as u8)
}

fn q5_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    out.iter_mut().zip(five_bit_codes(&block[2..6], &block[6..22])).for_each(|(out, code)| *out = (i32::from(code) - 16) as f32 * scale);
}

fn q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, min) = (half(block, 0), half(block, 2));
    out.iter_mut().zip(five_bit_codes(&block[4..8], &block[8..24])).for_each(|(out, code)| *out = f32::from(code) * scale + min);
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    out.iter_mut().zip(&block[2..34]).for_each(|(out, code)| *out = f32::from(*code as i8) * scale);
}

/// The 6-bit scale and minimum of sub-block `n` of a block of 256.
fn scale_and_min(packed: &[u8], n: usize) -> (u8, u8) {
    match n {
        0..4 => (packed[n] & 63, packed[n + 4] & 63),
        _ => (packed[n + 4] & 15 | packed[n - 4] >> 6 << 4, packed[n + 4] >> 4 | packed[n] >> 6 << 4),
    }
}

/// Dequantizes the 8 sub-blocks of a block of 256; `code(n, i)` is the code of element i of sub-block n.
fn sub_blocks(block: &[u8], out: &mut [f32], code: impl Fn(usize, usize) -> u8) {
    let (scale, min) = (half(block, 0), half(block, 2));
    for (n, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (s, m) = scale_and_min(&block[4..16], n);
        let (s, m) = (scale * f32::from(s), min * f32::from(m));
        out.iter_mut().enumerate().for_each(|(i, out)| *out = s * f32::from(code(n, i)) - m);
    }
}

/// Two sub-blocks share 32 bytes: the low nibbles belong to the first.
fn nibble(codes: &[u8], n: usize, i: usize) -> u8 {
    codes[n / 2 * 32 + i] >> (n % 2 * 4) & 15
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    sub_blocks(block, out, |n, i| nibble(&block[16..144], n, i));
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (high, low) = block[16..176].split_at(32);
    sub_blocks(block, out, |n, i| nibble(low, n, i) | (high[i] >> n & 1) << 4);
}

fn q6_k(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 208);
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    for (n, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        // Each half of the block has four runs of 32: low nibbles of the first two, then the high ones.
        let (part, run) = (n / 4, n % 4);
        for (i, out) in out.iter_mut().enumerate() {
            let low = low[part * 64 + run % 2 * 32 + i] >> (run / 2 * 4) & 15;
            let high = high[part * 32 + i] >> (run * 2) & 3;
            *out = scale * f32::from(scales[2 * n + i / 16] as i8) * (i32::from(low | high << 4) - 32) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_by_type() {
        for (n, (ggml_type, name, ..)) in ALL.iter().enumerate() {
            assert_eq!(*ggml_type as usize, n, "{name}");
        }
        assert_eq!((GgmlType::of(12), GgmlType::of(30)), (Ok(GgmlType::Q4K), Ok(GgmlType::Bf16)));
        for (code, name) in [(10, "Q2_K"), (4, "Q4_2"), (35, "TQ2_0"), (41, "Q1_0"), (42, "Q2_0"), (43, "type 43")] {
            assert_eq!(GgmlType::of(code), Err(name.into()));
        }
    }
}
