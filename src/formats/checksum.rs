//! A checksum of bytes: to notice damage, and to know data again. It is no defence against malice.

/// The checksum of `bytes` after those that gave `before` (0 at the start); never 0, so that 0 can
/// mean that there is none. Eight bytes at a time by a multiplication and a shift, each of which can be
/// undone, so that one changed word never goes unseen; then MurmurHash3's last mix.
pub fn checksum(before: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ (product >> 32)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(step(before, bytes.len() as u64), |hash, word| step(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut hash = step(hash, u64::from_le_bytes(last));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)).max(1)
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
}
