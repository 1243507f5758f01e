#variants narrow
// FBI-Linear for at most 8 tokens, fused with the operations around it in a block: RMSNorm before it,
// SwiGLU or a residual after it. With g the gain and r the inverse norm (1 without a norm):
// y[o] = r·(Σ_i ±α[i]·g[i]·x[i] + Σ_i β[i]·g[i]·x[i]).
// Signs are looked up four at a time: for each four columns a table has all 16 sums ±z₀±z₁±z₂±z₃
// of z = α⊙g⊙x, so that a workgroup reads x, α, β and g once for all its rows and needs one addition
// for four weights. A lane has every 32nd word of signs, and its own bank of the table.
const LANES: u32 = 256u;
const WORDS: u32 = 32u;
// Rows of a workgroup: 8 invocations share a word's columns, each with QUADS × 4 rows. The narrow variant
// spreads few rows over more workgroups.
#if narrow
const QUADS: u32 = 1u;
#else
const QUADS: u32 = 2u;
#endif
const ROWS: u32 = 32u * QUADS;

struct Params {
#import "shared/fbi_linear.fields.wgsl"
    // Flags of the fused operations: NORM, GATED, RESIDUAL.
    around: u32,
    epsilon: f32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

const NORM: u32 = 1u;
const GATED: u32 = 2u;
const RESIDUAL: u32 = 4u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> signs: array<u32>;
@group(0) @binding(3) var<storage, read> alpha: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read> gain: array<f32>;
@group(0) @binding(6) var<storage, read> residual: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

// Four groups of four columns for each of 32 words, 16 sums each; afterwards the lanes' sums.
var<workgroup> table: array<f32, 2048>;
var<workgroup> cells: array<vec2<f32>, LANES>;

// A layer's rows from `first` on, at most ROWS of them, below `end`.
struct Part {
    layer: u32,
    first: u32,
    end: u32,
}

fn has(what: u32) -> bool {
    return (p.around & what) != 0u;
}

fn groups_of(rows: u32) -> u32 {
    return (rows + ROWS - 1u) / ROWS;
}

// The rows of a workgroup: no two layers share one.
fn part_of(group: u32) -> Part {
    let one = groups_of(p.second_layer);
    let two = one + groups_of(p.third_layer - p.second_layer);
    if group < one {
        return Part(0u, group * ROWS, p.second_layer);
    }
    if group < two {
        return Part(1u, p.second_layer + (group - one) * ROWS, p.third_layer);
    }
    return Part(2u, p.third_layer + (group - two) * ROWS, p.rows);
}

// g⊙x of a column.
fn scaled(token: u32, column: u32) -> f32 {
    return x[token * p.columns + column] * select(1.0, gain[column], has(NORM));
}

// z of a column, 0 past the last.
fn z_at(token: u32, layer: u32, column: u32) -> f32 {
    if column >= p.columns {
        return 0.0;
    }
    return alpha[layer * p.columns + column] * scaled(token, column);
}

// Σx² and Σβ⊙g⊙x of a token, for every lane.
fn token_sums(lane: u32, token: u32, layer: u32) -> vec2<f32> {
    var sums = vec2<f32>();
    for (var c = lane; c < p.columns; c += LANES) {
        let value = x[token * p.columns + c];
        sums += vec2(value * value, beta[layer * p.columns + c] * scaled(token, c));
    }
    cells[lane] = sums;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width >>= 1u) {
        if lane < width {
            cells[lane] += cells[lane + width];
        }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&cells[0]);
}

// Fills the table for 16 columns of each of 32 words: a lane computes 8 of the 16 sums of one group.
fn fill_table(lane: u32, token: u32, layer: u32, word: u32, half: u32) {
    let bank = lane % WORDS;
    let group = lane / WORDS % 4u;
    let upper = lane / 128u;
    let column = (word + bank) * 32u + half * 16u + group * 4u;
    let z0 = z_at(token, layer, column);
    let z1 = z_at(token, layer, column + 1u);
    let z2 = z_at(token, layer, column + 2u);
    let z3 = z_at(token, layer, column + 3u);
    let sum01 = z0 + z1;
    let diff01 = z0 - z1;
    let last = select(-z3, z3, upper == 1u);
    let at = (group * 16u + upper * 8u) * WORDS + bank;
    let low = last - z2;
    let high = last + z2;
    table[at] = low - sum01;
    table[at + WORDS] = low + diff01;
    table[at + 2u * WORDS] = low - diff01;
    table[at + 3u * WORDS] = low + sum01;
    table[at + 4u * WORDS] = high - sum01;
    table[at + 5u * WORDS] = high + diff01;
    table[at + 6u * WORDS] = high - diff01;
    table[at + 7u * WORDS] = high + sum01;
}

// Looks up the sum for 16 signs, four at a time; `bits` has them from bit 0 on.
fn look_up(bits: u32, bank: u32) -> f32 {
    return (table[(bits & 15u) * WORDS + bank] + table[(16u + ((bits >> 4u) & 15u)) * WORDS + bank])
        + (table[(32u + ((bits >> 8u) & 15u)) * WORDS + bank] + table[(48u + ((bits >> 12u) & 15u)) * WORDS + bank]);
}

fn word_at(row: u32, end: u32, word: u32) -> u32 {
    if row < end && word < p.row_words {
        return signs[row * p.row_words + word];
    }
    return 0u;
}

fn words_at(row: u32, end: u32, word: u32) -> vec4<u32> {
    return vec4(word_at(row, end, word), word_at(row + 1u, end, word), word_at(row + 2u, end, word), word_at(row + 3u, end, word));
}

fn look_up_quad(bits: vec4<u32>, bank: u32) -> vec4<f32> {
    return vec4(look_up(bits.x, bank), look_up(bits.y, bank), look_up(bits.z, bank), look_up(bits.w, bank));
}

// Sums the 32 lanes of every row. Lane n returns row n of the workgroup; each starts at another lane, so
// that no two invocations access the same bank.
fn fold(lane: u32, sums: array<vec4<f32>, QUADS>) -> f32 {
    let bank = lane % WORDS;
    let first = lane / WORDS * 4u * QUADS;
    for (var quad = 0u; quad < QUADS; quad++) {
        for (var n = 0u; n < 4u; n++) {
            table[(first + quad * 4u + n) * WORDS + bank] = sums[quad][n];
        }
    }
    workgroupBarrier();
    var total = 0.0;
    if lane < ROWS {
        for (var n = 0u; n < WORDS; n++) {
            total += table[lane * WORDS + (n + lane) % WORDS];
        }
    }
    workgroupBarrier();
    return total;
}

// r·(Σ ±z + Σ β⊙g⊙x) of row `lane` of a part; undefined for lanes past the rows.
fn product(lane: u32, token: u32, part: Part) -> f32 {
    let sums_of_x = token_sums(lane, token, part.layer);
    let bank = lane % WORDS;
    let row = part.first + lane / WORDS * 4u * QUADS;
    var sums = array<vec4<f32>, QUADS>();
    for (var word = 0u; word < p.row_words; word += WORDS) {
        for (var half = 0u; half < 2u; half++) {
            fill_table(lane, token, part.layer, word, half);
            workgroupBarrier();
            for (var quad = 0u; quad < QUADS; quad++) {
                let bits = words_at(row + quad * 4u, part.end, word + bank) >> vec4(half * 16u);
                sums[quad] += look_up_quad(bits, bank);
            }
            workgroupBarrier();
        }
    }
    let inverse = 1.0 / sqrt(sums_of_x.x / f32(p.columns) + p.epsilon);
    let sum = fold(lane, sums) + sums_of_x.y;
    return select(sum, sum * inverse, has(NORM));
}

// The largest power below 2¹²⁶, up to which WGSL bounds the error of a division.
const MAX_EXP: f32 = 87.336;

fn silu(x: f32) -> f32 {
    return x * select(0.0, 1.0 / (1.0 + exp(min(-x, MAX_EXP))), x > -MAX_EXP);
}

@compute @workgroup_size(256)
fn few(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let part = part_of(wid.x + (wid.y + p.first_band) * groups.x);
    if part.first >= part.end {
        return;
    }
    let wide = select(p.rows, p.second_layer, has(GATED));
    let row = part.first + lane;
    for (var token = 0u; token < p.tokens; token++) {
        var value = product(lane, token, part);
        if has(GATED) {
            value = silu(value) * product(lane, token, Part(1u, p.second_layer + part.first, p.rows));
        }
        if lane < ROWS && row < part.end {
            let at = token * wide + row;
            y[at] = select(value, residual[at] + value, has(RESIDUAL));
        }
    }
}
