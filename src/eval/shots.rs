//! Sampling of few-shot examples, exactly as in lm-evaluation-harness. It uses Python's `random.Random(seed).sample`, whose
//! generator is the Mersenne Twister (Matsumoto and Nishimura, 1998). This file is pure.

/// Words of the generator's state.
const N: usize = 624;
/// Offset of the word that a word is mixed with.
const M: usize = 397;

/// Draws `k` of `n` examples as lm-evaluation-harness does. With `is_evaluated`, the examples are from the split of the
/// evaluated row: it draws one more and drops this row.
///
/// # Panics
/// If there are not enough examples.
pub fn draw(random: &mut PythonRandom, n: usize, k: usize, is_evaluated: Option<&dyn Fn(usize) -> bool>) -> Vec<usize> {
    let Some(is_evaluated) = is_evaluated.filter(|_| k > 0) else { return random.sample(n, k) };
    let mut drawn = random.sample(n, k + 1);
    drawn.retain(|&shot| !is_evaluated(shot));
    if drawn.len() < k {
        let others: Vec<usize> = (0..n).filter(|&shot| !is_evaluated(shot)).collect();
        drawn = random.sample(others.len(), k).into_iter().map(|shot| others[shot]).collect();
    }
    drawn.truncate(k);
    drawn
}

/// Python's `random.Random`.
#[derive(Clone, Debug)]
pub struct PythonRandom {
    state: [u32; N],
    next: usize,
}

impl PythonRandom {
    /// `random.Random(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = [0u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            state[i] = 1_812_433_253u32.wrapping_mul(state[i - 1] ^ (state[i - 1] >> 30)).wrapping_add(i as u32);
        }
        // The key has one word, the seed, so its index is always 0.
        let mut i = 1;
        for _ in 0..N {
            state[i] = (state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_664_525)).wrapping_add(seed);
            i = next_index(&mut state, i);
        }
        for _ in 0..N - 1 {
            state[i] = (state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i = next_index(&mut state, i);
        }
        state[0] = 0x8000_0000;
        Self { state, next: N }
    }

    fn word(&mut self) -> u32 {
        if self.next == N {
            for i in 0..N {
                let mixed = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                self.state[i] = self.state[(i + M) % N] ^ (mixed >> 1) ^ if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            }
            self.next = 0;
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A random number below `n` > 0.
    fn below(&mut self, n: u32) -> u32 {
        let bits = n.ilog2() + 1;
        loop {
            let number = self.word() >> (32 - bits);
            if number < n {
                return number;
            }
        }
    }

    /// `random.sample(range(n), k)`.
    ///
    /// # Panics
    /// If `k` is more than `n`.
    pub fn sample(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "{k} of {n}");
        // Python chooses the method by the memory of a set and of a list of all.
        let set = 21 + if k > 5 { 4usize.pow((k as f64 * 3.0).log(4.0).ceil() as u32) } else { 0 };
        let mut chosen = Vec::with_capacity(k);
        if n <= set {
            let mut pool: Vec<usize> = (0..n).collect();
            for left in (n - k + 1..=n).rev() {
                chosen.push(pool.swap_remove(self.below(left as u32) as usize));
            }
        } else {
            while chosen.len() < k {
                let one = self.below(n as u32) as usize;
                if !chosen.contains(&one) {
                    chosen.push(one);
                }
            }
        }
        chosen
    }
}

/// The index after `i`. At the end it wraps around and copies the last word to the first.
fn next_index(state: &mut [u32; N], i: usize) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    state[0] = state[N - 1];
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from CPython 3.11: `r = random.Random(1234); [r.sample(range(n), k) for n, k in …]`.
    #[test]
    fn matches_python() {
        let mut random = PythonRandom::new(1234);
        for (n, k, want) in PYTHON {
            assert_eq!(random.sample(*n, *k), *want, "{k} of {n}");
        }
    }

    #[test]
    fn the_evaluated_row_is_excluded() {
        let mut plain = PythonRandom::new(1234);
        let expected = plain.sample(5, 4);
        let draw = |is_evaluated: &dyn Fn(usize) -> bool| draw(&mut PythonRandom::new(1234), 5, 3, Some(is_evaluated));
        assert_eq!(draw(&|_| false), expected[..3]);
        assert_eq!(draw(&|shot| shot == expected[1]), [expected[0], expected[2], expected[3]]);
        // Two copies of the row: too few are left, so it redraws from the others.
        let others: Vec<usize> = (0..5).filter(|shot| !expected[..2].contains(shot)).collect();
        let redrawn: Vec<usize> = plain.sample(3, 3).into_iter().map(|shot| others[shot]).collect();
        assert_eq!(draw(&|shot| expected[..2].contains(&shot)), redrawn);
        assert!(super::draw(&mut PythonRandom::new(1), 0, 0, Some(&|_| false)).is_empty());
    }

    const PYTHON: &[(usize, usize, &[usize])] = &[
        (10, 5, &[7, 1, 0, 9, 4]),
        (21, 5, &[1, 2, 3, 11, 7]),
        (22, 5, &[0, 11, 20, 19, 15]),
        (9427, 5, &[7594, 2433, 1495, 2999, 1874]),
        (16113, 10, &[13850, 239, 8242, 7974, 14425, 15808, 4093, 1057, 10932, 8865]),
        (85, 10, &[59, 8, 76, 11, 65, 74, 5, 34, 71, 83]),
        (86, 10, &[82, 38, 61, 45, 34, 31, 83, 25, 58, 67]),
        (3, 3, &[2, 0, 1]),
        (1, 1, &[0]),
        (
            40398,
            25,
            &[
                21856, 9422, 30987, 24729, 10951, 3550, 4996, 38504, 32543, 10748, 4936, 36525, 14096, 9453, 1777, 22690, 7267, 34713, 9255, 20014, 29762,
                2594, 27279, 18139, 2634,
            ],
        ),
        (
            300,
            200,
            &[
                90, 139, 79, 153, 297, 237, 21, 288, 197, 178, 253, 174, 239, 243, 23, 241, 87, 225, 265, 224, 151, 140, 63, 95, 213, 223, 61, 271, 52, 248,
                192, 130, 98, 176, 55, 80, 137, 295, 165, 228, 36, 40, 202, 109, 24, 229, 73, 205, 9, 56, 129, 212, 22, 257, 238, 240, 179, 81, 78, 117, 16,
                149, 65, 219, 18, 266, 256, 51, 25, 101, 49, 180, 226, 244, 128, 60, 209, 204, 92, 236, 272, 131, 286, 107, 44, 245, 220, 77, 15, 208, 299,
                136, 39, 127, 291, 278, 120, 85, 35, 33, 12, 159, 42, 37, 298, 17, 182, 83, 43, 0, 171, 172, 211, 163, 247, 196, 281, 10, 110, 100, 269, 53,
                188, 97, 71, 263, 161, 270, 108, 242, 147, 38, 210, 285, 66, 175, 105, 102, 144, 70, 134, 29, 96, 160, 54, 76, 150, 230, 13, 89, 112, 59, 125,
                252, 234, 284, 190, 235, 122, 152, 154, 233, 141, 47, 162, 292, 258, 72, 94, 88, 275, 191, 227, 135, 246, 280, 84, 3, 126, 222, 221, 148, 123,
                121, 279, 198, 46, 203, 124, 8, 194, 75, 146, 215, 157, 186, 184, 168, 283, 214,
            ],
        ),
    ];
}
