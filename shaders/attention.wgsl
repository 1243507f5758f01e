// Causal attention with grouped query heads: o = softmax(q·kᵀ/√d)·v in one pass over blocks of 64
// keys with a running maximum; the log-sum-exp of each row is kept. Backward, with
// P = exp(s − lse) and Δ = Σ do⊙o: ds = P ⊙ (do·vᵀ − Δ), dq = ds·k/√d, dk = dsᵀ·q/√d, dv = Pᵀ·do.
// A lane first works on one key (or query) of the block, then on one in 64 of the head's elements.
const LANES: u32 = 64u;
// Largest head: 4 elements a lane.
const HEAD: u32 = 256u;
const QUARTERS: u32 = 4u;
// Below every score, but far from overflowing when another score is taken from it.
const LOWEST: f32 = -1.0e30;

struct Params {
    batch: u32,
    queries: u32,
    keys: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> o: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

// The two rows a workgroup is about (q and do, or k and v), and two values of each of a block's
// keys (or queries).
var<workgroup> mine: array<f32, HEAD>;
var<workgroup> mine_too: array<f32, HEAD>;
var<workgroup> scores: array<f32, LANES>;
var<workgroup> weights: array<f32, LANES>;

// Where a query's sequence and head keep their keys: row j lies at first + j·stride.
struct Rows {
    first: u32,
    stride: u32,
}

fn key_rows(sequence: u32, head: u32) -> Rows {
    let stride = p.kv_heads * p.head_dim;
    let column = head / (p.heads / p.kv_heads) * p.head_dim;
    return Rows(sequence * p.keys * stride + column, stride);
}

fn query_rows(sequence: u32, head: u32) -> Rows {
    let stride = p.heads * p.head_dim;
    return Rows(sequence * p.queries * stride + head * p.head_dim, stride);
}

fn dot_q(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += mine[c] * q[at + c];
    }
    return sum;
}

fn dot_k(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += mine[c] * k[at + c];
    }
    return sum;
}

fn dot_v(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += mine_too[c] * v[at + c];
    }
    return sum;
}

// The largest of a block's scores; every lane looks for itself, which saves barriers.
fn block_top(count: u32) -> f32 {
    var top = scores[0];
    for (var j = 1u; j < count; j++) {
        top = max(top, scores[j]);
    }
    return top;
}

fn block_total(count: u32) -> f32 {
    var total = 0.0;
    for (var j = 0u; j < count; j++) {
        total += weights[j];
    }
    return total;
}

// Σ_j weights[j]·v[j, c] over a block's keys; `at` is element c of the first.
fn weighted_v(at: u32, stride: u32, count: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < count; j++) {
        sum += weights[j] * v[at + j * stride];
    }
    return sum;
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + wid.y * groups.x;
    if group >= p.batch * p.queries * p.heads {
        return;
    }
    let query = group / p.heads;
    let rows = key_rows(query / p.queries, group % p.heads);
    let seen = min(start[0] + query % p.queries + 1u, p.keys);
    for (var c = lane; c < p.head_dim; c += LANES) {
        mine[c] = q[group * p.head_dim + c];
    }
    workgroupBarrier();
    var top = LOWEST;
    var total = 0.0;
    var sums = array<f32, QUARTERS>();
    for (var first = 0u; first < seen; first += LANES) {
        let count = min(LANES, seen - first);
        var score = LOWEST;
        if lane < count {
            score = dot_k(rows.first + (first + lane) * rows.stride) * p.scale;
        }
        scores[lane] = score;
        workgroupBarrier();
        let new_top = max(top, block_top(count));
        let keep = exp(top - new_top);
        weights[lane] = exp(score - new_top);
        top = new_top;
        workgroupBarrier();
        total = total * keep + block_total(count);
        let at = rows.first + first * rows.stride;
        for (var c = lane; c < p.head_dim; c += LANES) {
            sums[c / LANES] = sums[c / LANES] * keep + weighted_v(at + c, rows.stride, count);
        }
    }
    for (var c = lane; c < p.head_dim; c += LANES) {
        o[group * p.head_dim + c] = sums[c / LANES] / total;
    }
    if lane == 0u {
        lse[group] = top + log(total);
    }
}

@group(0) @binding(1) var<storage, read> saved_o: array<f32>;
@group(0) @binding(2) var<storage, read> upstream: array<f32>;
@group(0) @binding(3) var<storage, read_write> delta_out: array<f32>;

// Δ of one row and head an invocation.
@compute @workgroup_size(64)
fn delta(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (wid.x + wid.y * groups.x) * LANES + lane;
    if i >= p.batch * p.queries * p.heads {
        return;
    }
    var sum = 0.0;
    for (var c = i * p.head_dim; c < (i + 1u) * p.head_dim; c++) {
        sum += saved_o[c] * upstream[c];
    }
    delta_out[i] = sum;
}

@group(0) @binding(4) var<storage, read> saved_lse: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> deltas: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;

// Σ_j scores[j]·k[j, c] over a block's keys.
fn scored_k(at: u32, stride: u32, count: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < count; j++) {
        sum += scores[j] * k[at + j * stride];
    }
    return sum;
}

@compute @workgroup_size(64)
fn query_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + wid.y * groups.x;
    if group >= p.batch * p.queries * p.heads {
        return;
    }
    let query = group / p.heads;
    let rows = key_rows(query / p.queries, group % p.heads);
    let seen = min(query % p.queries + 1u, p.keys);
    for (var c = lane; c < p.head_dim; c += LANES) {
        mine[c] = q[group * p.head_dim + c];
        mine_too[c] = dy[group * p.head_dim + c];
    }
    var sums = array<f32, QUARTERS>();
    for (var first = 0u; first < seen; first += LANES) {
        let count = min(LANES, seen - first);
        workgroupBarrier();
        if lane < count {
            let at = rows.first + (first + lane) * rows.stride;
            let probability = exp(dot_k(at) * p.scale - saved_lse[group]);
            scores[lane] = probability * (dot_v(at) - deltas[group]) * p.scale;
        }
        workgroupBarrier();
        let at = rows.first + first * rows.stride;
        for (var c = lane; c < p.head_dim; c += LANES) {
            sums[c / LANES] += scored_k(at + c, rows.stride, count);
        }
    }
    for (var c = lane; c < p.head_dim; c += LANES) {
        dq[group * p.head_dim + c] = sums[c / LANES];
    }
}

@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;

fn dot_dy(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += mine_too[c] * dy[at + c];
    }
    return sum;
}

// Σ_t scores[t]·q[t, c] and Σ_t weights[t]·do[t, c] over a block's queries.
fn scored_queries(at: u32, stride: u32, count: u32) -> vec2<f32> {
    var sums = vec2<f32>();
    for (var t = 0u; t < count; t++) {
        sums += vec2(scores[t] * q[at + t * stride], weights[t] * dy[at + t * stride]);
    }
    return sums;
}

@compute @workgroup_size(64)
fn key_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + wid.y * groups.x;
    if group >= p.batch * p.keys * p.kv_heads {
        return;
    }
    let sequence = group / p.kv_heads / p.keys;
    let key = group / p.kv_heads % p.keys;
    let shared_by = p.heads / p.kv_heads;
    for (var c = lane; c < p.head_dim; c += LANES) {
        mine[c] = k[group * p.head_dim + c];
        mine_too[c] = v[group * p.head_dim + c];
    }
    var sums = array<vec2<f32>, QUARTERS>();
    for (var n = 0u; n < shared_by; n++) {
        let head = group % p.kv_heads * shared_by + n;
        let rows = query_rows(sequence, head);
        for (var first = key; first < p.queries; first += LANES) {
            let count = min(LANES, p.queries - first);
            workgroupBarrier();
            if lane < count {
                let at = rows.first + (first + lane) * rows.stride;
                let saved = (sequence * p.queries + first + lane) * p.heads + head;
                let probability = exp(dot_q(at) * p.scale - saved_lse[saved]);
                weights[lane] = probability;
                scores[lane] = probability * (dot_dy(at) - deltas[saved]) * p.scale;
            }
            workgroupBarrier();
            let at = rows.first + first * rows.stride;
            for (var c = lane; c < p.head_dim; c += LANES) {
                sums[c / LANES] += scored_queries(at + c, rows.stride, count);
            }
        }
    }
    for (var c = lane; c < p.head_dim; c += LANES) {
        dk[group * p.head_dim + c] = sums[c / LANES].x;
        dv[group * p.head_dim + c] = sums[c / LANES].y;
    }
}
