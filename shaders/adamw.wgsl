// AdamW with decoupled weight decay: θ ← θ·(1 − ηλ) − η·m̂/(√v̂ + ε), m̂ = m/(1 − β₁ᵗ),
// v̂ = v/(1 − β₂ᵗ); the gradient is cleared behind it. For latent weights it also packs the new
// signs over the old ones and counts those that flipped; `transpose` then packs the other way, from
// the bits, because all in one kernel would need nine storage buffers and eight are sure.
#import "shared/linear.wgsl"
#import "shared/sign.wgsl"

// Places in the control block.
const RATE: u32 = 0u;
const BETA1: u32 = 1u;
const BETA2: u32 = 2u;
const EPSILON: u32 = 3u;
const DECAY: u32 = 4u;
const CORRECTION1: u32 = 5u;
const CORRECTION2: u32 = 6u;
// Places in the norm block.
const FACTOR: u32 = 1u;
const TAKEN: u32 = 2u;

@group(0) @binding(1) var<storage, read> norm: array<f32>;
@group(0) @binding(2) var<storage, read> control: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(4) var<storage, read_write> first: array<f32>;
@group(0) @binding(5) var<storage, read_write> second: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;

// Whether the step is taken; if not, only gradients are cleared.
fn is_taken() -> bool {
    return norm[TAKEN] != 0.0;
}

// Updates element `i` and gives its new value.
fn step(i: u32) -> f32 {
    let g = gradient[i] * norm[FACTOR];
    let m = control[BETA1] * first[i] + (1.0 - control[BETA1]) * g;
    let v = control[BETA2] * second[i] + (1.0 - control[BETA2]) * g * g;
    let keep = 1.0 - control[RATE] * control[DECAY];
    let rate = control[RATE] / control[CORRECTION1];
    let root = sqrt(v) / control[CORRECTION2];
    let value = parameter[i] * keep - rate * m / (root + control[EPSILON]);
    first[i] = m;
    second[i] = v;
    parameter[i] = value;
    return value;
}

struct Plain {
    n: u32,
}

@group(0) @binding(0) var<uniform> p: Plain;

@compute @workgroup_size(256)
fn plain(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, lane);
    if i >= p.n {
        return;
    }
    if is_taken() {
        step(i);
    }
    gradient[i] = 0.0;
}

struct Latent {
    rows: u32,
    columns: u32,
    counter: u32,
    // First rows of the second and of the third layer of the group.
    second: u32,
    third: u32,
}

@group(0) @binding(0) var<uniform> latent: Latent;
@group(0) @binding(7) var<storage, read_write> sign_words: array<u32>;
@group(0) @binding(8) var<storage, read_write> flips: array<atomic<u32>>;

// Sign words a workgroup packs, and how many of each layer's signs flipped.
const WORDS: u32 = 32u;
const LAYERS: u32 = 3u;
var<workgroup> packed: array<atomic<u32>, WORDS>;
var<workgroup> flipped: array<atomic<u32>, LAYERS>;

fn words_in(columns: u32) -> u32 {
    return (columns + 31u) / 32u;
}

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

// Replaces a sign word; gives how many signs flipped.
fn replace(word: u32, slot: u32) -> u32 {
    if word >= latent.rows * words_in(latent.columns) {
        return 0u;
    }
    let old = sign_words[word];
    let new_word = atomicLoad(&packed[slot]);
    sign_words[word] = new_word;
    return countOneBits(old ^ new_word);
}

@compute @workgroup_size(256)
fn signs(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let from_word = (wid.x + wid.y * groups.x) * WORDS;
    for (var slot = lane / 32u; slot < WORDS; slot += 8u) {
        step_bit(from_word + slot, lane % 32u, slot);
    }
    workgroupBarrier();
    if lane < WORDS && is_taken() {
        let row = (from_word + lane) / words_in(latent.columns);
        let layer = u32(row >= latent.second) + u32(row >= latent.third);
        atomicAdd(&flipped[layer], replace(from_word + lane, lane));
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
}

@group(0) @binding(0) var<uniform> matrix: Signs;
@group(0) @binding(1) var<storage, read_write> rows_of_signs: array<u32>;
@group(0) @binding(2) var<storage, read_write> turned: array<u32>;

// One invocation makes one word of the transpose: bit `column` of 32 rows. Neighbours take
// neighbouring columns, so that they read the same words.
@compute @workgroup_size(256)
fn transpose(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, lane);
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
    turned[column * words_in(matrix.rows) + block] = word;
}
