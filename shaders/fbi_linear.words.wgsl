// FBI-Linear for at most 8 tokens by whole sign words: α⊙x is staged in workgroup memory, and each
// of 32 rows is added up by 8 lanes, a word of 32 signs at a time. All rows of a workgroup belong to
// one layer, and so share an α and a β.
const LANES: u32 = 256u;
#import "shared/reduce.wgsl"

struct Params {
    tokens: u32,
    rows: u32,
    columns: u32,
    row_words: u32,
    // First outputs of the second and of the third layer.
    second: u32,
    third: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> signs: array<u32>;
@group(0) @binding(3) var<storage, read> alpha: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const ROWS: u32 = 32u;
const PARTS: u32 = 8u;
// Columns staged at a time, and quads of them.
const CHUNK: u32 = 2048u;
const QUADS: u32 = 512u;
var<workgroup> staged: array<vec4<f32>, 512>;
var<workgroup> sums: array<f32, 256>;

// Stages (α⊙x) of a token's columns from `chunk` on; gives this lane's share of Σ β⊙x.
fn stage(lane: u32, token: u32, scale: u32, chunk: u32) -> f32 {
    var shift = 0.0;
    for (var quad = lane; quad < QUADS; quad += LANES) {
        var values = vec4<f32>();
        for (var n = 0u; n < 4u; n++) {
            let i = chunk + 4u * quad + n;
            if i < p.columns {
                let value = x[token * p.columns + i];
                values[n] = alpha[scale + i] * value;
                shift += beta[scale + i] * value;
            }
        }
        staged[quad] = values;
    }
    return shift;
}

// Σ ±staged over a word's 32 columns. Lanes begin at quads of their own, which lie in other banks.
fn word_sum(word: u32, first: u32, turn: u32) -> f32 {
    var sum = vec4<f32>();
    for (var n = 0u; n < 8u; n++) {
        let quad = (n + turn) % 8u;
        let bits = vec4(word >> (4u * quad)) & vec4(1u, 2u, 4u, 8u);
        sum += select(-staged[first + quad], staged[first + quad], bits != vec4<u32>());
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size(256)
fn words(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (wid.x + wid.y * groups.x) * ROWS;
    if first >= p.rows {
        return;
    }
    let scale = (u32(first >= p.second && p.second < p.rows) + u32(first >= p.third && p.third < p.rows)) * p.columns;
    let row = first + lane / PARTS;
    let part = lane % PARTS;
    for (var token = 0u; token < p.tokens; token++) {
        var sum = 0.0;
        var shift = 0.0;
        for (var chunk = 0u; chunk < p.columns; chunk += CHUNK) {
            shift += stage(lane, token, scale, chunk);
            workgroupBarrier();
            if row < p.rows {
                let end = min(p.row_words, (chunk + CHUNK) / 32u);
                for (var word = chunk / 32u + part; word < end; word += PARTS) {
                    sum += word_sum(signs[row * p.row_words + word], word * 8u - chunk / 4u, part);
                }
            }
            workgroupBarrier();
        }
        sums[lane] = sum;
        let shifted = reduce_sum(lane, shift);
        if lane < ROWS && first + lane < p.rows {
            var total = shifted;
            for (var n = 0u; n < PARTS; n++) {
                total += sums[lane * PARTS + n];
            }
            y[token * p.rows + first + lane] = total;
        }
        workgroupBarrier();
    }
}
