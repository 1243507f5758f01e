// The code of 8-bit moments; see src/graph/log_codes.rs, which has the same bits except for the rounding
// of divisions. A block is one word with its scale (the bits of an f32), then the bytes of up to 256
// elements, four per word: a sign (of first moments; the high bit) and a code on a logarithmic scale of
// eight steps per octave.
const FIRST_MAX: u32 = 127u;
const SECOND_MAX: u32 = 255u;
// The value of the smallest code of a first moment: 2^(−126/8).
const FIRST_SMALLEST: f32 = 0.5946035575013605 / 32768.0;

// Words in a row of `columns`.
fn moment_row(columns: u32) -> u32 {
    return (columns + 255u) / 256u + (columns + 3u) / 4u;
}

// 2^(−n/8) for n = 0…8.
fn eighth(n: u32) -> f32 {
    let low = vec4(1.0, 0.9170040432046712, 0.8408964152537145, 0.7711054127039704);
    let high = vec4(0.7071067811865476, 0.6484197773255048, 0.5946035575013605, 0.5452538663326288);
    return select(select(low[n & 3u], high[n & 3u], n > 3u), 0.5, n > 7u);
}

// The value of a code, as a share of its block's scale; `max_code` is the code of the scale.
fn share_of(code: u32, max_code: u32) -> f32 {
    let below = max_code - code;
    return select(eighth(below & 7u) / f32(1u << (below >> 3u)), 0.0, code == 0u);
}

fn first_of(scale: u32, byte: u32) -> f32 {
    let size = share_of(byte & 127u, FIRST_MAX);
    return bitcast<f32>(scale) * select(size, -size, byte > 127u);
}

fn second_of(scale: u32, byte: u32) -> f32 {
    return bitcast<f32>(scale) * share_of(byte, SECOND_MAX);
}

// The byte of element `lane` of a block in its word.
fn byte_of(word: u32, lane: u32) -> u32 {
    return (word >> (lane % 4u * 8u)) & 255u;
}

// Noise within (0, 1) for the first and the second moment of an element in a step.
fn dither(element: u32, step: u32) -> vec2<f32> {
    var x = (element * 0x9e3779b1u) ^ (step * 0x85ebca77u);
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    x ^= x >> 16u;
    return (vec2(f32(x & 0xffffu), f32(x >> 16u)) + 0.5) / 65536.0;
}

// Encodes a magnitude, given as a share of its block's scale. Of the two codes around it, returns the larger if
// `noise` is below the relative distance from the smaller.
fn code_of_share(share: f32, noise: f32, max_code: u32, smallest: f32) -> u32 {
    if !(share < 1.0) {
        return max_code;
    }
    let bits = bitcast<u32>(share);
    let mantissa = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
    var place = 0u;
    for (var n = 1u; n < 8u; n++) {
        place += u32(mantissa < eighth(n));
    }
    let above = 8u * (126u - (bits >> 23u)) + place;
    if above >= max_code - 1u {
        return u32(share > noise * smallest);
    }
    let lower = eighth(place + 1u);
    return max_code - above - u32(mantissa - lower <= noise * (eighth(place) - lower));
}

fn share(value: f32, scale: f32) -> f32 {
    return select(0.0, abs(value) / scale, scale > 0.0);
}

// The byte of a first moment in a block of this scale.
fn first_byte(value: f32, scale: f32, noise: f32) -> u32 {
    let code = code_of_share(share(value, scale), noise, FIRST_MAX, FIRST_SMALLEST);
    return code | (u32(value < 0.0 && code > 0u) << 7u);
}

// The byte of a second moment; one that is not 0 never becomes 0.
fn second_byte(value: f32, scale: f32, noise: f32) -> u32 {
    return code_of_share(share(value, scale), noise, SECOND_MAX, 0.0);
}

// The scale of a block whose largest magnitude is this: 0 unless it is a normal number.
fn scale_of(largest: f32) -> f32 {
    return select(0.0, largest, largest >= 1.17549435e-38 && largest <= 3.4028234e38);
}
