#variants f16
// Attention as in attention.wgsl, for 32 queries of a head per workgroup, which share each tile of 32
// keys and values: S = q·kᵀ, the probabilities with a running maximum, and
// o = o·exp(top − new_max) + P·v. The backward pass uses the same tiles, for 32 queries or 32 keys per
// workgroup. A lane computes 4 × 4 elements of every product; head dimensions are multiples of four.
const LANES: u32 = 64u;
const BLOCK: u32 = 32u;
// Quads of a stretch, the part of a head's elements that is multiplied at once, and stretches of the largest head.
const QUADS: u32 = 8u;
const STRETCHES: u32 = 4u;
// Quads between quad columns of a tile: one more than rows, so that lanes that write the columns of one
// row use different banks.
const PITCH: u32 = 33u;
// Below every score, but not so low that subtracting a score overflows.
const LOWEST: f32 = -1.0e30;

#import "shared/attention.params.wgsl"

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
#if f16
// Keys and values of a KV cache in f16.
@group(0) @binding(2) var<storage, read> k: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> v: array<vec2<u32>>;

fn k_quad(i: u32) -> vec4<f32> {
    return vec4(unpack2x16float(k[i].x), unpack2x16float(k[i].y));
}

fn v_quad(i: u32) -> vec4<f32> {
    return vec4(unpack2x16float(v[i].x), unpack2x16float(v[i].y));
}
#else
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;

fn k_quad(i: u32) -> vec4<f32> {
    return k[p.k_first / 4u + i];
}

fn v_quad(i: u32) -> vec4<f32> {
    return v[p.v_first / 4u + i];
}
#endif
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

// Factors of a product: a stretch of the rows of q (left) and of k (right) by quad columns, or of
// the rows of v by rows; and the probabilities of P·v, four keys per quad.
var<workgroup> left: array<vec4<f32>, 264>;
var<workgroup> right: array<vec4<f32>, 264>;
var<workgroup> weights: array<vec4<f32>, 256>;
// One value per lane and row.
var<workgroup> cells: array<f32, 256>;

// The block of a workgroup: head, first query and number of queries of a sequence; offsets of its queries
// and keys in quads, and of its output rows.
struct Block {
    head: u32,
    query: u32,
    queries: u32,
    q_at: u32,
    kv_at: u32,
    out_at: u32,
}

fn block_of(group: u32) -> Block {
    let blocks = (p.queries + BLOCK - 1u) / BLOCK;
    let head = group % p.heads;
    let sequence = group / p.heads / blocks;
    let query = group / p.heads % blocks * BLOCK;
    let row = sequence * p.queries + query;
    let kv_at = sequence * p.keys * p.kv_row + head / (p.heads / p.kv_heads) * p.head_dim;
    let out_at = row * p.heads + head;
    return Block(head, query, min(BLOCK, p.queries - query), (row * p.q_row + head * p.head_dim) / 4u, kv_at / 4u, out_at);
}

// The destination of a loaded stretch: the left factor, the right factor of left·rightᵀ, or the right
// factor of weights·right.
const LEFT: u32 = 0u;
const RIGHT: u32 = 1u;
const RIGHT_ROWS: u32 = 2u;

// The rows of a lane in a left factor are lane / 8 + 8·n, in a right factor 4·(lane % 8) + n; the rows of a
// right factor are stored so that neighbouring lanes read neighbouring quads.
fn store_tile(arrangement: u32, row: u32, quad: u32, value: vec4<f32>) {
    if arrangement == LEFT {
        left[quad * PITCH + row] = value;
    } else if arrangement == RIGHT {
        right[quad * PITCH + row % 4u * 8u + row / 4u] = value;
    } else {
        right[row * QUADS + quad] = value;
    }
}

// Loads the stretch from quad `first` on of `count` rows, the first of which begins at quad `at`; 0 past
// the last row and the end of the head.
fn load_q(lane: u32, at: u32, first: u32, count: u32, arrangement: u32) {
    let quad = first + lane % QUADS;
    for (var row = lane / QUADS; row < BLOCK; row += LANES / QUADS) {
        var value = vec4<f32>();
        if row < count && quad < p.head_dim / 4u {
            value = q[at + row * (p.q_row / 4u) + quad];
        }
        store_tile(arrangement, row, lane % QUADS, value);
    }
}

fn load_k(lane: u32, at: u32, first: u32, count: u32, arrangement: u32) {
    let quad = first + lane % QUADS;
    for (var row = lane / QUADS; row < BLOCK; row += LANES / QUADS) {
        var value = vec4<f32>();
        if row < count && quad < p.head_dim / 4u {
            value = k_quad(at + row * (p.kv_row / 4u) + quad);
        }
        store_tile(arrangement, row, lane % QUADS, value);
    }
}

fn load_v(lane: u32, at: u32, first: u32, count: u32, arrangement: u32) {
    let quad = first + lane % QUADS;
    for (var row = lane / QUADS; row < BLOCK; row += LANES / QUADS) {
        var value = vec4<f32>();
        if row < count && quad < p.head_dim / 4u {
            value = v_quad(at + row * (p.kv_row / 4u) + quad);
        }
        store_tile(arrangement, row, lane % QUADS, value);
    }
}

// Adds the stretch of left·rightᵀ that begins at quad `first`: a column of `before` is a row of left, its elements are rows
// of right. The loop ends with the head. A constant end would let drivers unroll it, which costs registers.
fn multiply(lane: u32, first: u32, before: mat4x4<f32>) -> mat4x4<f32> {
    var sums = before;
    let quads = min(QUADS, p.head_dim / 4u - first);
    for (var quad = 0u; quad < quads; quad++) {
        let x = quad * PITCH + lane / 8u;
        let y = quad * PITCH + lane % 8u;
        let rows = mat4x4(right[y], right[y + 8u], right[y + 16u], right[y + 24u]);
        sums[0] += left[x] * rows;
        sums[1] += left[x + 8u] * rows;
        sums[2] += left[x + 16u] * rows;
        sums[3] += left[x + 24u] * rows;
    }
    return sums;
}

// Adds weights·right over `count` rows of right, for the four rows of a lane and its quad of the stretch. As in `multiply`,
// the end of the loop is not constant.
fn multiply_weights(lane: u32, count: u32, before: mat4x4<f32>) -> mat4x4<f32> {
    var sums = before;
    let end = (count + 3u) / 4u;
    for (var keys = 0u; keys < end; keys++) {
        let at = 4u * keys * QUADS + lane % 8u;
        let rows = mat4x4(right[at], right[at + QUADS], right[at + 2u * QUADS], right[at + 3u * QUADS]);
        let row = lane / 8u * 8u + keys;
        sums[0] += rows * weights[row];
        sums[1] += rows * weights[row + 64u];
        sums[2] += rows * weights[row + 128u];
        sums[3] += rows * weights[row + 192u];
    }
    return sums;
}

// Stores a lane's 4 × 4 of the weights of `multiply_weights`: a column of `values` is a row.
fn store_weights(lane: u32, values: mat4x4<f32>) {
    weights[lane] = values[0];
    weights[lane + 64u] = values[1];
    weights[lane + 128u] = values[2];
    weights[lane + 192u] = values[3];
}

// Stores the values of each lane for `row_max` and `row_sum`.
fn publish(lane: u32, values: vec4<f32>) {
    cells[lane] = values.x;
    cells[lane + 64u] = values.y;
    cells[lane + 128u] = values.z;
    cells[lane + 192u] = values.w;
}

// The maximum, or the sum, of the published values of the lanes, for each of four rows.
fn row_max(lane: u32) -> vec4<f32> {
    var top = vec4(LOWEST);
    for (var n = lane / 8u * 8u; n < lane / 8u * 8u + 8u; n++) {
        top = max(top, vec4(cells[n], cells[n + 64u], cells[n + 128u], cells[n + 192u]));
    }
    return top;
}

fn row_sum(lane: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var n = lane / 8u * 8u; n < lane / 8u * 8u + 8u; n++) {
        sum += vec4(cells[n], cells[n + 64u], cells[n + 128u], cells[n + 192u]);
    }
    return sum;
}

fn quad_max(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

// The scores of a row, LOWEST from key `seen` on, which are masked.
fn masked(scores: vec4<f32>, key: u32, seen: u32) -> vec4<f32> {
    return select(vec4(LOWEST), scores * p.scale, key + vec4(0u, 1u, 2u, 3u) < vec4(seen));
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + (wid.y + p.first_band) * groups.x;
    if group >= p.batch * ((p.queries + BLOCK - 1u) / BLOCK) * p.heads {
        return;
    }
    let block = block_of(group);
    // Keys visible to the lane's first query, and to the block's last.
    let visible = start[0] + block.query + lane / 8u + 1u;
    let seen = min(start[0] + block.query + block.queries, p.keys);
    var top = vec4(LOWEST);
    var total = vec4<f32>();
    var sums = array<mat4x4<f32>, STRETCHES>();
    for (var first = 0u; first < seen; first += BLOCK) {
        let count = min(BLOCK, seen - first);
        let at = block.kv_at + first * (p.kv_row / 4u);
        var scores = mat4x4<f32>();
        for (var quad = 0u; quad < p.head_dim / 4u; quad += QUADS) {
            workgroupBarrier();
            load_q(lane, block.q_at, quad, block.queries, LEFT);
            load_k(lane, at, quad, count, RIGHT);
            workgroupBarrier();
            scores = multiply(lane, quad, scores);
        }
        let key = first + 4u * (lane % 8u);
        for (var n = 0u; n < 4u; n++) {
            scores[n] = masked(scores[n], key, min(visible + 8u * n, seen));
        }
        publish(lane, vec4(quad_max(scores[0]), quad_max(scores[1]), quad_max(scores[2]), quad_max(scores[3])));
        workgroupBarrier();
        let new_max = max(top, row_max(lane));
        let rescale = exp(top - new_max);
        top = new_max;
        let unit = vec4(1.0);
        let probabilities = mat4x4(exp(scores[0] - top.x), exp(scores[1] - top.y), exp(scores[2] - top.z), exp(scores[3] - top.w));
        total = total * rescale + unit * probabilities;
        store_weights(lane, probabilities);
        for (var n = 0u; n < STRETCHES; n++) {
            if n * QUADS < p.head_dim / 4u {
                workgroupBarrier();
                load_v(lane, at, n * QUADS, count, RIGHT_ROWS);
                workgroupBarrier();
                sums[n] = multiply_weights(lane, count, mat4x4(sums[n][0] * rescale.x, sums[n][1] * rescale.y, sums[n][2] * rescale.z, sums[n][3] * rescale.w));
            }
        }
    }
    workgroupBarrier();
    publish(lane, total);
    workgroupBarrier();
    let totals = row_sum(lane);
    for (var n = 0u; n < 4u; n++) {
        let row = lane / 8u + 8u * n;
        let out = block.out_at + row * p.heads;
        for (var stretch = 0u; stretch < STRETCHES && row < block.queries; stretch++) {
            let quad = stretch * QUADS + lane % 8u;
            if quad < p.head_dim / 4u {
                o[out * (p.head_dim / 4u) + quad] = sums[stretch][n] / totals[n];
            }
        }
        if row < block.queries && lane % 8u == 0u {
            lse[out] = top[n] + log(totals[n]);
        }
    }
}

#if !f16
@group(0) @binding(4) var<storage, read> saved_lse: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> saved_o: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> delta_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> dq: array<vec4<f32>>;

fn load_dy(lane: u32, at: u32, first: u32, count: u32, arrangement: u32) {
    let quad = first + lane % QUADS;
    for (var row = lane / QUADS; row < BLOCK; row += LANES / QUADS) {
        var value = vec4<f32>();
        if row < count && quad < p.head_dim / 4u {
            value = dy[at + row * (p.heads * p.head_dim / 4u) + quad];
        }
        store_tile(arrangement, row, lane % QUADS, value);
    }
}

// Computes Δ of each query of a block, stores it for the next kernel, and returns the four of this lane.
fn deltas_of(lane: u32, block: Block) -> vec4<f32> {
    if lane < BLOCK {
        var sum = 0.0;
        if lane < block.queries {
            let row = block.out_at + lane * p.heads;
            for (var n = row * (p.head_dim / 4u); n < (row + 1u) * (p.head_dim / 4u); n++) {
                sum += dot(saved_o[n], dy[n]);
            }
            delta_out[row] = sum;
        }
        cells[lane] = sum;
    }
    workgroupBarrier();
    let row = lane / 8u;
    return vec4(cells[row], cells[row + 8u], cells[row + 16u], cells[row + 24u]);
}

// Computes dq, and Δ for the next kernel.
@compute @workgroup_size(64)
fn query_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + (wid.y + p.first_band) * groups.x;
    if group >= p.batch * ((p.queries + BLOCK - 1u) / BLOCK) * p.heads {
        return;
    }
    let block = block_of(group);
    let dy_at = block.out_at * (p.head_dim / 4u);
    let delta = deltas_of(lane, block);
    let visible = block.query + lane / 8u + 1u;
    let seen = min(block.query + block.queries, p.keys);
    var sums = array<mat4x4<f32>, STRETCHES>();
    for (var first = 0u; first < seen; first += BLOCK) {
        let count = min(BLOCK, seen - first);
        let at = block.kv_at + first * (p.kv_row / 4u);
        var scores = mat4x4<f32>();
        var dp = mat4x4<f32>();
        for (var quad = 0u; quad < p.head_dim / 4u; quad += QUADS) {
            workgroupBarrier();
            load_q(lane, block.q_at, quad, block.queries, LEFT);
            load_k(lane, at, quad, count, RIGHT);
            workgroupBarrier();
            scores = multiply(lane, quad, scores);
            workgroupBarrier();
            load_dy(lane, dy_at, quad, block.queries, LEFT);
            load_v(lane, at, quad, count, RIGHT);
            workgroupBarrier();
            dp = multiply(lane, quad, dp);
        }
        for (var n = 0u; n < 4u; n++) {
            let row = min(lane / 8u + 8u * n, block.queries - 1u);
            let score = masked(scores[n], first + 4u * (lane % 8u), min(visible + 8u * n, seen));
            scores[n] = exp(score - saved_lse[block.out_at + row * p.heads]) * (dp[n] - delta[n]) * p.scale;
        }
        store_weights(lane, scores);
        for (var n = 0u; n < STRETCHES; n++) {
            if n * QUADS < p.head_dim / 4u {
                workgroupBarrier();
                load_k(lane, at, n * QUADS, count, RIGHT_ROWS);
                workgroupBarrier();
                sums[n] = multiply_weights(lane, count, sums[n]);
            }
        }
    }
    for (var n = 0u; n < 4u; n++) {
        let row = lane / 8u + 8u * n;
        for (var stretch = 0u; stretch < STRETCHES && row < block.queries; stretch++) {
            let quad = stretch * QUADS + lane % 8u;
            if quad < p.head_dim / 4u {
                dq[block.q_at + row * (p.q_row / 4u) + quad] = sums[stretch][n];
            }
        }
    }
}

@group(0) @binding(6) var<storage, read_write> deltas: array<f32>;
@group(0) @binding(7) var<storage, read_write> dkv: array<vec4<f32>>;

// P and ds/√d of a lane's four keys (columns) and four queries.
struct Weights {
    probabilities: mat4x4<f32>,
    dp: mat4x4<f32>,
}

// Computes them from the scores and do·v of a tile of `count` queries that begins `after` queries past the
// block of keys; `row` is the index of the first in lse and Δ.
fn weights_of(lane: u32, scores: mat4x4<f32>, dp: mat4x4<f32>, after: u32, count: u32, row: u32) -> Weights {
    let query = 4u * (lane % 8u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(query, vec4(count - 1u)) * p.heads;
    let tops = vec4(saved_lse[at.x], saved_lse[at.y], saved_lse[at.z], saved_lse[at.w]);
    let delta = vec4(deltas[at.x], deltas[at.y], deltas[at.z], deltas[at.w]);
    var made: Weights;
    for (var n = 0u; n < 4u; n++) {
        // Keys up to the query's own position are visible.
        let sees = (query + vec4(after) >= vec4(lane / 8u + 8u * n)) & (query < vec4(count));
        let probabilities = select(vec4<f32>(), exp(scores[n] * p.scale - tops), sees);
        made.probabilities[n] = probabilities;
        made.dp[n] = probabilities * (dp[n] - delta) * p.scale;
    }
    return made;
}

// Computes dk and dv of 32 keys, from all queries that attend to them.
@compute @workgroup_size(64)
fn key_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + (wid.y + p.first_band) * groups.x;
    let blocks = (p.keys + BLOCK - 1u) / BLOCK;
    if group >= p.batch * blocks * p.kv_heads {
        return;
    }
    let kv_head = group % p.kv_heads;
    let sequence = group / p.kv_heads / blocks;
    let key = group / p.kv_heads % blocks * BLOCK;
    let keys = min(BLOCK, p.keys - key);
    let kv_at = ((sequence * p.keys + key) * p.kv_row + kv_head * p.head_dim) / 4u;
    var dk = array<mat4x4<f32>, STRETCHES>();
    var dv = array<mat4x4<f32>, STRETCHES>();
    let shared_by = p.heads / p.kv_heads;
    for (var head = kv_head * shared_by; head < (kv_head + 1u) * shared_by; head++) {
        for (var first = key; first < p.queries; first += BLOCK) {
            let count = min(BLOCK, p.queries - first);
            let row = (sequence * p.queries + first) * p.heads + head;
            let dy_at = row * (p.head_dim / 4u);
            let q_at = ((sequence * p.queries + first) * p.q_row + head * p.head_dim) / 4u;
            var scores = mat4x4<f32>();
            var dp = mat4x4<f32>();
            for (var quad = 0u; quad < p.head_dim / 4u; quad += QUADS) {
                workgroupBarrier();
                load_k(lane, kv_at, quad, keys, LEFT);
                load_q(lane, q_at, quad, count, RIGHT);
                workgroupBarrier();
                scores = multiply(lane, quad, scores);
                workgroupBarrier();
                load_v(lane, kv_at, quad, keys, LEFT);
                load_dy(lane, dy_at, quad, count, RIGHT);
                workgroupBarrier();
                dp = multiply(lane, quad, dp);
            }
            let made = weights_of(lane, scores, dp, first - key, count, row);
            store_weights(lane, made.probabilities);
            for (var n = 0u; n < STRETCHES; n++) {
                if n * QUADS < p.head_dim / 4u {
                    workgroupBarrier();
                    load_dy(lane, dy_at, n * QUADS, count, RIGHT_ROWS);
                    workgroupBarrier();
                    dv[n] = multiply_weights(lane, count, dv[n]);
                }
            }
            workgroupBarrier();
            store_weights(lane, made.dp);
            for (var n = 0u; n < STRETCHES; n++) {
                if n * QUADS < p.head_dim / 4u {
                    workgroupBarrier();
                    load_q(lane, q_at, n * QUADS, count, RIGHT_ROWS);
                    workgroupBarrier();
                    dk[n] = multiply_weights(lane, count, dk[n]);
                }
            }
        }
    }
    for (var n = 0u; n < 4u; n++) {
        let row = lane / 8u + 8u * n;
        for (var stretch = 0u; stretch < STRETCHES && row < keys; stretch++) {
            let quad = stretch * QUADS + lane % 8u;
            if quad < p.head_dim / 4u {
                dkv[p.k_first / 4u + kv_at + row * (p.kv_row / 4u) + quad] = dk[stretch][n];
                dkv[p.v_first / 4u + kv_at + row * (p.kv_row / 4u) + quad] = dv[stretch][n];
            }
        }
    }
}
#endif
