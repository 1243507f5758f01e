// Sign words: bit j of word k of a row is column 32k + j, 1 for +1 and 0 for −1.

// ±1 from the bit of `column` in its word.
fn sign_of(word: u32, column: u32) -> f32 {
    return select(-1.0, 1.0, ((word >> (column & 31u)) & 1u) == 1u);
}

// ±1 from the bits of four columns in their word; `column` is a multiple of four.
fn signs_of(word: u32, column: u32) -> vec4<f32> {
    let bits = (vec4(word >> (column & 31u)) >> vec4(0u, 1u, 2u, 3u)) & vec4(1u);
    return select(vec4(-1.0), vec4(1.0), bits == vec4(1u));
}

// Returns true if a latent weight is positive, from its bits, so that a driver that flushes subnormal
// numbers cannot change the result; 0 and −0 are not positive.
fn is_positive(weight: f32) -> bool {
    return bitcast<i32>(weight) > 0;
}
