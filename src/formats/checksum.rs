//! A fast checksum, to detect damage and to identify data. Not cryptographic.

/// The checksum of `bytes`, continued from `before` (0 at the start). It is never 0, which can stand for no checksum.
/// Each step multiplies and shifts eight bytes, both invertible, so a single changed word always changes the result;
/// MurmurHash3's finalizer comes last.
pub fn checksum(before: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
    Checksum::new(before, bytes.len() as u64).with(words).finish(rest)
}

/// An incremental [`checksum`].
#[derive(Clone, Copy, Debug)]
pub struct Checksum(u64);

impl Checksum {
    /// Starts a checksum of `length` bytes in all.
    pub fn new(before: u64, length: u64) -> Self {
        Self(step(before, length))
    }

    /// Adds the next bytes, a multiple of 8.
    pub fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty(), "{} bytes between others", bytes.len());
        Self(words.iter().fold(self.0, |hash, word| step(hash, u64::from_le_bytes(*word))))
    }

    /// Adds the last bytes, fewer than 8, and returns the checksum.
    pub fn finish(self, rest: &[u8]) -> u64 {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let mut hash = step(self.0, u64::from_le_bytes(last));
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        (hash ^ (hash >> 33)).max(1)
    }
}

fn step(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_the_length_count() {
        let bytes: Vec<u8> = (0..37).collect();
        let mut seen = std::collections::HashSet::from([checksum(0, &bytes), checksum(1, &bytes), checksum(0, &bytes[..36])]);
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(checksum(0, &changed)), "bit {bit}");
        }
        assert!(seen.insert(checksum(0, &[])) && seen.insert(checksum(0, &[0])));
    }

    #[test]
    fn pieces_give_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..37).collect();
        let pieces = Checksum::new(5, 37).with(&bytes[..8]).with(&bytes[8..32]).with(&[]).finish(&bytes[32..]);
        assert_eq!(pieces, checksum(5, &bytes));
    }
}
