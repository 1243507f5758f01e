#variants q8
// AdamW with decoupled weight decay: θ ← θ·(1 − ηλ) − η·m̂/(√v̂ + ε), m̂ = m/(1 − β₁ᵗ),
// v̂ = v/(1 − β₂ᵗ), t the steps taken; it also clears the gradient. For latent weights it also packs the new
// signs over the old ones and counts sign flips; `transpose` then packs the transpose from these bits,
// because one kernel for both would need nine storage buffers, and WebGPU guarantees eight. In the q8
// variant the moments are 8-bit codes, and a workgroup updates one block of them.
#import "shared/linear.wgsl"
#import "shared/sign.wgsl"

// Indices in the control block.
const RATE: u32 = 0u;
const BETA1: u32 = 1u;
const BETA2: u32 = 2u;
const EPSILON: u32 = 3u;
const DECAY: u32 = 4u;
// Indices in the norm block.
const FACTOR: u32 = 1u;
const TAKEN: u32 = 2u;
const CORRECTION1: u32 = 3u;
const CORRECTION2: u32 = 4u;

@group(0) @binding(1) var<storage, read> norm: array<f32>;
@group(0) @binding(2) var<storage, read> control: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;

// Returns true if the step is taken; otherwise only gradients are cleared.
fn is_taken() -> bool {
    return norm[TAKEN] != 0.0;
}

// The updated moments and parameter of an element.
struct Updated {
    first: f32,
    second: f32,
    value: f32,
}

fn updated(i: u32, first_moment: f32, second_moment: f32) -> Updated {
    let g = gradient[i] * norm[FACTOR];
    let m = control[BETA1] * first_moment + (1.0 - control[BETA1]) * g;
    let v = control[BETA2] * second_moment + (1.0 - control[BETA2]) * g * g;
    let keep = 1.0 - control[RATE] * control[DECAY];
    let rate = control[RATE] / norm[CORRECTION1];
    let root = sqrt(v) / norm[CORRECTION2];
    return Updated(m, v, parameter[i] * keep - rate * m / (root + control[EPSILON]));
}

#if q8
#import "shared/log_codes.wgsl"
#import "shared/reduce.wgsl"
const STEP: u32 = 10u;
const LANES: u32 = 256u;
const BLOCK_WORDS: u32 = 65u;
@group(0) @binding(4) var<storage, read_write> first: array<u32>;
@group(0) @binding(5) var<storage, read_write> second: array<u32>;
// The bytes of a block: first moments in bits 0 to 7, second moments in bits 8 to 15.
var<workgroup> bytes: array<u32, LANES>;

fn four_bytes(lane: u32, shift: u32) -> u32 {
    var word = 0u;
    for (var n = 0u; n < 4u; n++) {
        word |= ((bytes[lane * 4u + n] >> shift) & 255u) << (8u * n);
    }
    return word;
}

// Updates the `count` elements of a block, whose moments begin at word `base`; this lane has element `i`,
// and returns its new value. The rounding depends on `index`, that of the element in the whole matrix. Uniform
// control flow only.
fn step_block(base: u32, count: u32, i: u32, index: u32, lane: u32) -> f32 {
    var next = Updated(0.0, 0.0, 0.0);
    if lane < count && is_taken() {
        let word = base + 1u + lane / 4u;
        next = updated(i, first_of(first[base], byte_of(first[word], lane)), second_of(second[base], byte_of(second[word], lane)));
        parameter[i] = next.value;
    }
    if lane < count {
        gradient[i] = 0.0;
    }
    let first_scale = scale_of(reduce_max(lane, abs(next.first)));
    let second_scale = scale_of(reduce_max(lane, next.second));
    let noise = dither(index, u32(control[STEP]));
    bytes[lane] = first_byte(next.first, first_scale, noise.x) | (second_byte(next.second, second_scale, noise.y) << 8u);
    workgroupBarrier();
    storageBarrier();
    if is_taken() {
        if lane == 0u {
            first[base] = bitcast<u32>(first_scale);
            second[base] = bitcast<u32>(second_scale);
        }
        if lane * 4u < count {
            first[base + 1u + lane] = four_bytes(lane, 0u);
            second[base + 1u + lane] = four_bytes(lane, 8u);
        }
    }
    return next.value;
}
#else
@group(0) @binding(4) var<storage, read_write> first: array<f32>;
@group(0) @binding(5) var<storage, read_write> second: array<f32>;

// Updates element `i` and returns its new value.
fn step(i: u32) -> f32 {
    let next = updated(i, first[i], second[i]);
    first[i] = next.first;
    second[i] = next.second;
    parameter[i] = next.value;
    return next.value;
}
#endif

struct Plain {
    n: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> p: Plain;

@compute @workgroup_size(256)
fn plain(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, p.first_band, lane);
#if q8
    let block = wid.x + (wid.y + p.first_band) * groups.x;
    if block * 256u < p.n {
        step_block(block * BLOCK_WORDS, min(256u, p.n - block * 256u), i, i, lane);
    }
#else
    if i >= p.n {
        return;
    }
    if is_taken() {
        step(i);
    }
    gradient[i] = 0.0;
#endif
}

struct Latent {
    rows: u32,
    columns: u32,
    counter: u32,
    // The first row of the block that is bound, in the whole matrix; in the block, the first rows of the second and of
    // the third layer of the group.
    first: u32,
    second_layer: u32,
    third_layer: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> latent: Latent;
@group(0) @binding(7) var<storage, read_write> sign_words: array<u32>;
@group(0) @binding(8) var<storage, read_write> flips: array<atomic<u32>>;

// Sign words of a workgroup, and the sign flips of each layer.
const WORDS: u32 = 32u;
const LAYERS: u32 = 3u;
var<workgroup> packed: array<atomic<u32>, WORDS>;
var<workgroup> flipped: array<atomic<u32>, LAYERS>;

// Sets both to 0: workgroup memory holds anything at first.
fn clear_signs(lane: u32) {
    if lane < WORDS {
        atomicStore(&packed[lane], 0u);
    }
    if lane < LAYERS {
        atomicStore(&flipped[lane], 0u);
    }
    workgroupBarrier();
}

fn words_in(columns: u32) -> u32 {
    return (columns + 31u) / 32u;
}

#if !q8
// Updates the weight of bit `bit` of a sign word, and sets that bit in the packed word `slot`.
fn step_bit(word: u32, bit: u32, slot: u32) {
    let row_words = words_in(latent.columns);
    let column = word % row_words * 32u + bit;
    if word >= latent.rows * row_words || column >= latent.columns {
        return;
    }
    let i = word / row_words * latent.columns + column;
    if is_taken() && is_positive(step(i)) {
        atomicOr(&packed[slot], 1u << bit);
    }
    gradient[i] = 0.0;
}

#endif

// Replaces a sign word; returns the number of sign flips.
fn store_signs(word: u32, slot: u32) -> u32 {
    if word >= latent.rows * words_in(latent.columns) {
        return 0u;
    }
    let old = sign_words[word];
    let new_word = atomicLoad(&packed[slot]);
    sign_words[word] = new_word;
    return countOneBits(old ^ new_word);
}

#if q8
// A workgroup updates a block of 256 columns of a row: 8 sign words.
@compute @workgroup_size(256)
fn signs(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (latent.columns + 255u) / 256u;
    let group = wid.x + (wid.y + latent.first_band) * groups.x;
    let row = group / blocks;
    let start = group % blocks * 256u;
    if row >= latent.rows {
        return;
    }
    clear_signs(lane);
    let count = min(256u, latent.columns - start);
    let base = row * moment_row(latent.columns) + start / 256u * BLOCK_WORDS;
    let i = row * latent.columns + start + lane;
    let value = step_block(base, count, i, latent.first * latent.columns + i, lane);
    if lane < count && is_positive(value) {
        atomicOr(&packed[lane / 32u], 1u << (lane % 32u));
    }
    workgroupBarrier();
    let layer = u32(row >= latent.second_layer) + u32(row >= latent.third_layer);
    if lane * 32u < count && is_taken() {
        atomicAdd(&flipped[layer], store_signs(row * words_in(latent.columns) + start / 32u + lane, lane));
    }
    workgroupBarrier();
    let flips_here = atomicLoad(&flipped[layer]);
    if lane == 0u && flips_here != 0u {
        atomicAdd(&flips[latent.counter + layer], flips_here);
    }
}
#else
@compute @workgroup_size(256)
fn signs(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    clear_signs(lane);
    let from_word = (wid.x + (wid.y + latent.first_band) * groups.x) * WORDS;
    for (var slot = lane / 32u; slot < WORDS; slot += 8u) {
        step_bit(from_word + slot, lane % 32u, slot);
    }
    workgroupBarrier();
    if lane < WORDS && is_taken() {
        let row = (from_word + lane) / words_in(latent.columns);
        let layer = u32(row >= latent.second_layer) + u32(row >= latent.third_layer);
        atomicAdd(&flipped[layer], store_signs(from_word + lane, lane));
    }
    workgroupBarrier();
    if lane < LAYERS {
        let count = atomicLoad(&flipped[lane]);
        if count != 0u {
            atomicAdd(&flips[latent.counter + lane], count);
        }
    }
}

struct Signs {
    rows: u32,
    columns: u32,
    // Words in a row of the transpose, and the first of them that these rows fill.
    words: u32,
    first: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> matrix: Signs;
@group(0) @binding(1) var<storage, read_write> rows_of_signs: array<u32>;
@group(0) @binding(2) var<storage, read_write> transposed: array<u32>;

// Each invocation computes one word of the transpose: bit `column` of 32 rows. Neighbouring invocations
// have neighbouring columns, so that they read the same words.
@compute @workgroup_size(256)
fn transpose(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, matrix.first_band, lane);
    let column = i % matrix.columns;
    let block = i / matrix.columns;
    if block >= words_in(matrix.rows) {
        return;
    }
    let row_words = words_in(matrix.columns);
    var word = 0u;
    for (var r = 0u; r < min(32u, matrix.rows - block * 32u); r++) {
        let bits = rows_of_signs[(block * 32u + r) * row_words + column / 32u];
        word |= ((bits >> (column % 32u)) & 1u) << r;
    }
    transposed[column * matrix.words + matrix.first + block] = word;
}
#endif
