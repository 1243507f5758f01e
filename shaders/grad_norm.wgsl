// The global gradient norm: squares[n] = Σ g² of the n-th of 256 ranges, of which some may be bound at once; then
// norm = √Σ ÷ scale, factor = min(1, clip ÷ (norm + 1e-6)) ÷ scale, a flag whether the step is taken, and AdamW's bias
// corrections, which depend on whether the step before was taken.
#import "shared/reduce.wgsl"
const LANES: u32 = 256u;

struct Params {
    n: u32,
}

// `n` elements are bound, in ranges of `length`, the first of which is range `first`.
struct Ranges {
    n: u32,
    length: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(0) var<uniform> ranges: Ranges;
@group(0) @binding(1) var<storage, read> terms: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(256)
fn squares(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let end = min((wid.x + 1u) * ranges.length, ranges.n);
    var sum = 0.0;
    for (var i = wid.x * ranges.length + lane; i < end; i += LANES) {
        sum += terms[i] * terms[i];
    }
    let total = reduce_sum(lane, sum);
    if lane == 0u {
        partials[ranges.first + wid.x] = total;
    }
}

// Indices in the control block.
const SKIPPED1: u32 = 5u;
const SKIPPED2: u32 = 6u;
const CLIP: u32 = 7u;
const INVERSE_SCALE: u32 = 8u;
const THRESHOLD: u32 = 9u;
const TAKEN1: u32 = 11u;
const TAKEN2: u32 = 12u;

@group(0) @binding(2) var<storage, read> control: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

// Tests the bits of the exponent, since a compiler may assume that there is no NaN or infinity.
fn is_finite(x: f32) -> bool {
    return ((bitcast<u32>(x) >> 23u) & 255u) != 255u;
}

// a ≤ b for a ≥ 0, in integers, so that b may be infinite; false if b is NaN.
fn at_most(a: f32, b: f32) -> bool {
    return bitcast<i32>(a) <= bitcast<i32>(b) && bitcast<i32>(b) <= 0x7f800000;
}

@compute @workgroup_size(256)
fn norm(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.n; i += LANES) {
        sum += terms[i];
    }
    let total = reduce_sum(lane, sum);
    if lane != 0u {
        return;
    }
    let size = sqrt(total) * control[INVERSE_SCALE];
    let factor = min(1.0, control[CLIP] / (size + 1e-6));
    let taken = is_finite(total) && is_finite(size) && at_most(size, control[THRESHOLD]);
    let taken_before = result[2] != 0.0;
    result[0] = size;
    result[1] = factor * control[INVERSE_SCALE];
    result[2] = select(0.0, 1.0, taken);
    result[3] = select(control[SKIPPED1], control[TAKEN1], taken_before);
    result[4] = select(control[SKIPPED2], control[TAKEN2], taken_before);
}
