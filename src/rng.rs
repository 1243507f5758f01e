//! Counter-based random numbers: every draw is a pure function of a key and a counter, so that data order, initial
//! weights and samples can be reproduced from any point.

/// A key, derived from a seed and a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        // FNV-1a of the purpose, so that different purposes get different numbers.
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Key(mix(seed ^ mix(hash)))
    }

    /// Derives a child key.
    pub fn child(self, n: u64) -> Self {
        Key(mix(self.0 ^ mix(n.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// 64 random bits.
    pub fn bits(self, counter: u64) -> u64 {
        mix(self.0.wrapping_add(mix(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))))
    }

    /// The key as two words, low first, for [`hash`].
    pub fn words(self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }

    /// Uniform in (0, 1), excluding both ends.
    pub fn uniform(self, counter: u64) -> f64 {
        ((self.bits(counter) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box–Muller).
    pub fn normal(self, counter: u64) -> f64 {
        let (radius, angle) = (self.uniform(2 * counter), self.uniform(2 * counter + 1));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Maps index `i` of `0..n` under this key's permutation: a four-round Feistel network on the next power of four,
    /// iterated until the result is below `n`.
    pub fn permute(self, i: u64, n: u64) -> u64 {
        assert!(i < n, "index {i} of {n}");
        let half = (64 - (n - 1).leading_zeros()).div_ceil(2).max(1);
        let mask = (1u64 << half) - 1;
        let mut x = i;
        loop {
            let (mut left, mut right) = (x >> half, x & mask);
            for round in 0..4 {
                (left, right) = (right, left ^ (self.child(round).bits(right) & mask));
            }
            x = (left << half) | right;
            if x < n {
                return x;
            }
        }
    }
}

/// 32 random bits, with operations that every GPU has; `shaders/sample.wgsl` is bit-identical. Injective in `n` for a
/// fixed key.
pub fn hash(key: [u32; 2], n: u32) -> u32 {
    let mix = |mut x: u32| {
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^ (x >> 16)
    };
    mix(mix(n ^ key[0]) ^ key[1])
}

/// SplitMix64's finalizer.
fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_permutations() {
        for n in [1, 2, 3, 5, 16, 17, 1000] {
            let key = Key::new(7, "order").child(n);
            let mut seen: Vec<u64> = (0..n).map(|i| key.permute(i, n)).collect();
            assert!(n < 16 || seen.iter().enumerate().any(|(i, &x)| x != i as u64));
            seen.sort_unstable();
            assert!(seen.iter().enumerate().all(|(i, &x)| x == i as u64), "{n}");
        }
    }

    #[test]
    fn normals_have_the_right_moments() {
        let key = Key::new(1, "test");
        let draws: Vec<f64> = (0..20_000).map(|i| key.normal(i)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
