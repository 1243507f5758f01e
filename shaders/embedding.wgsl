#variants f16 q8
// Embedding: out[b] = table[tokens[b]]; its gradient adds dy[b] to row tokens[b]. A token out of
// range reads row 0. WGSL has no float atomics, so the workgroup of the first position of each token sums
// all of its positions, in order; 256 positions are compared at once.
#import "shared/linear.wgsl"

struct Params {
    positions: u32,
    width: u32,
    vocabulary: u32,
    // The bound part of the table: first row and number of rows.
    first: u32,
    rows: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

fn row_of(position: u32) -> u32 {
    let token = tokens[position];
    return select(0u, token, token < p.vocabulary);
}

#if f16
#import "shared/half.wgsl"
@group(0) @binding(1) var<storage, read> table: array<u32>;

fn table_at(row: u32, column: u32) -> f32 {
    return half_of(table[row * half_row(p.width) + column / 2u], column);
}
#else
#if q8
#import "shared/codes.wgsl"
@group(0) @binding(1) var<storage, read> table: array<u32>;

fn table_at(row: u32, column: u32) -> f32 {
    let block = row * code_row(p.width) + code_block(column);
    return bitcast<f32>(table[block]) * code_of(table[block + code_word(column)], column);
}
#else
@group(0) @binding(1) var<storage, read> table: array<f32>;

fn table_at(row: u32, column: u32) -> f32 {
    return table[row * p.width + column];
}
#endif
#endif

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, p.first_band, lane);
    if i >= p.positions * p.width {
        return;
    }
    let row = row_of(i / p.width);
    if row >= p.first && row - p.first < p.rows {
        out[i] = table_at(row - p.first, i % p.width);
    }
}

#if !f16
#if !q8
#import "shared/reduce.wgsl"
const LANES: u32 = 256u;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
// One bit for each of 256 positions: 1 if its token is the workgroup's row.
var<workgroup> same: array<atomic<u32>, 8>;

@compute @workgroup_size(256)
fn gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let position = wid.x + (wid.y + p.first_band) * groups.x;
    if position >= p.positions {
        return;
    }
    let row = row_of(position);
    if row < p.first || row - p.first >= p.rows {
        return;
    }
    var occurs_earlier = 0.0;
    for (var b = lane; b < position; b += LANES) {
        if row_of(b) == row {
            occurs_earlier = 1.0;
        }
    }
    if reduce_max(lane, occurs_earlier) != 0.0 {
        return;
    }
    for (var first = position; first < p.positions; first += LANES) {
        if lane < 8u {
            atomicStore(&same[lane], 0u);
        }
        workgroupBarrier();
        if first + lane < p.positions && row_of(first + lane) == row {
            atomicOr(&same[lane / 32u], 1u << (lane % 32u));
        }
        workgroupBarrier();
        add_rows(first, row, lane);
        workgroupBarrier();
    }
}

// Adds the rows of dy at the matching positions from `first` on. A column always belongs to the same
// invocation, so that its sum needs no barrier.
fn add_rows(first: u32, row: u32, lane: u32) {
    for (var c = lane; c < p.width; c += LANES) {
        let at = (row - p.first) * p.width + c;
        var sum = sums[at];
        for (var word = 0u; word < 8u; word++) {
            for (var left = atomicLoad(&same[word]); left != 0u; left &= left - 1u) {
                sum += dy[(first + 32u * word + firstTrailingBit(left)) * p.width + c];
            }
        }
        sums[at] = sum;
    }
}
#endif
#endif
