#variants f16
// Causal attention with grouped query heads: o = softmax(q·kᵀ/√d)·v in one pass over blocks of 64
// keys with a running maximum; the log-sum-exp of each row is stored. Backward, with
// P = exp(s − lse) and Δ = Σ do⊙o: ds = P ⊙ (do·vᵀ − Δ), dq = ds·k/√d, dk = dsᵀ·q/√d, dv = Pᵀ·do.
// A lane first computes one key (or query) of the block, then every 64th element of the head.
const LANES: u32 = 64u;
// Largest head dimension: 4 elements per lane.
const HEAD: u32 = 256u;
const QUARTERS: u32 = 4u;
// Below every score, but not so low that subtracting a score overflows.
const LOWEST: f32 = -1.0e30;

#import "shared/attention.params.wgsl"

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
#if f16
// Keys and values of a KV cache in f16.
#import "shared/half.wgsl"
@group(0) @binding(2) var<storage, read> k: array<u32>;
@group(0) @binding(3) var<storage, read> v: array<u32>;

fn k_at(i: u32) -> f32 {
    return half_of(k[i / 2u], i);
}

fn v_at(i: u32) -> f32 {
    return half_of(v[i / 2u], i);
}
#else
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;

fn k_at(i: u32) -> f32 {
    return k[p.k_first + i];
}

fn v_at(i: u32) -> f32 {
    return v[p.v_first + i];
}
#endif
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> o: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

// The workgroup's own two rows (q and do, or k and v), and two values for each key (or query) of a block.
var<workgroup> own: array<f32, HEAD>;
var<workgroup> own_other: array<f32, HEAD>;
var<workgroup> scores: array<f32, LANES>;
var<workgroup> weights: array<f32, LANES>;

// Offsets of the keys of query head `head` (row j is p.kv_row·j further), of a query, and of a row of o.
fn keys_at(sequence: u32, head: u32) -> u32 {
    return sequence * p.keys * p.kv_row + head / (p.heads / p.kv_heads) * p.head_dim;
}

fn query_at(query: u32, head: u32) -> u32 {
    return query * p.q_row + head * p.head_dim;
}

fn out_at(query: u32, head: u32) -> u32 {
    return (query * p.heads + head) * p.head_dim;
}

fn dot_q(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += own[c] * q[at + c];
    }
    return sum;
}

fn dot_k(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += own[c] * k_at(at + c);
    }
    return sum;
}

fn dot_v(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += own_other[c] * v_at(at + c);
    }
    return sum;
}

// The largest score of a block; every lane computes it, which saves barriers.
fn block_max(count: u32) -> f32 {
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
fn weighted_v(at: u32, count: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < count; j++) {
        sum += weights[j] * v_at(at + j * p.kv_row);
    }
    return sum;
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + (wid.y + p.first_band) * groups.x;
    if group >= p.batch * p.queries * p.heads {
        return;
    }
    let query = group / p.heads;
    let rows = keys_at(query / p.queries, group % p.heads);
    let seen = min(start[0] + query % p.queries + 1u, p.keys);
    for (var c = lane; c < p.head_dim; c += LANES) {
        own[c] = q[query_at(query, group % p.heads) + c];
    }
    workgroupBarrier();
    var top = LOWEST;
    var total = 0.0;
    var sums = array<f32, QUARTERS>();
    for (var first = 0u; first < seen; first += LANES) {
        let count = min(LANES, seen - first);
        var score = LOWEST;
        if lane < count {
            score = dot_k(rows + (first + lane) * p.kv_row) * p.scale;
        }
        scores[lane] = score;
        workgroupBarrier();
        let new_max = max(top, block_max(count));
        let rescale = exp(top - new_max);
        weights[lane] = exp(score - new_max);
        top = new_max;
        workgroupBarrier();
        total = total * rescale + block_total(count);
        let at = rows + first * p.kv_row;
        for (var c = lane; c < p.head_dim; c += LANES) {
            sums[c / LANES] = sums[c / LANES] * rescale + weighted_v(at + c, count);
        }
    }
    for (var c = lane; c < p.head_dim; c += LANES) {
        o[group * p.head_dim + c] = sums[c / LANES] / total;
    }
    if lane == 0u {
        lse[group] = top + log(total);
    }
}

#if !f16
@group(0) @binding(4) var<storage, read> saved_lse: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read> saved_o: array<f32>;
@group(0) @binding(7) var<storage, read_write> delta_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> dq: array<f32>;

// Δ of the row in own_other; every lane computes it, which saves barriers.
fn delta_of(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += saved_o[at + c] * own_other[c];
    }
    return sum;
}

// Σ_j scores[j]·k[j, c] over a block's keys.
fn scored_k(at: u32, count: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < count; j++) {
        sum += scores[j] * k_at(at + j * p.kv_row);
    }
    return sum;
}

// Computes dq, and Δ for the next kernel.
@compute @workgroup_size(64)
fn query_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + (wid.y + p.first_band) * groups.x;
    if group >= p.batch * p.queries * p.heads {
        return;
    }
    let query = group / p.heads;
    let rows = keys_at(query / p.queries, group % p.heads);
    let own_at = query_at(query, group % p.heads);
    let seen = min(query % p.queries + 1u, p.keys);
    for (var c = lane; c < p.head_dim; c += LANES) {
        own[c] = q[own_at + c];
        own_other[c] = dy[group * p.head_dim + c];
    }
    workgroupBarrier();
    let delta = delta_of(group * p.head_dim);
    if lane == 0u {
        delta_out[group] = delta;
    }
    var sums = array<f32, QUARTERS>();
    for (var first = 0u; first < seen; first += LANES) {
        let count = min(LANES, seen - first);
        workgroupBarrier();
        if lane < count {
            let at = rows + (first + lane) * p.kv_row;
            let probability = exp(dot_k(at) * p.scale - saved_lse[group]);
            scores[lane] = probability * (dot_v(at) - delta) * p.scale;
        }
        workgroupBarrier();
        let at = rows + first * p.kv_row;
        for (var c = lane; c < p.head_dim; c += LANES) {
            sums[c / LANES] += scored_k(at + c, count);
        }
    }
    for (var c = lane; c < p.head_dim; c += LANES) {
        dq[own_at + c] = sums[c / LANES];
    }
}

@group(0) @binding(6) var<storage, read_write> deltas: array<f32>;
@group(0) @binding(7) var<storage, read_write> dkv: array<f32>;

fn dot_dy(at: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < p.head_dim; c++) {
        sum += own_other[c] * dy[at + c];
    }
    return sum;
}

// Σ_t scores[t]·q[t, c] and Σ_t weights[t]·do[t, c] over a block's queries.
fn scored_queries(at: u32, upstream_at: u32, count: u32) -> vec2<f32> {
    var sums = vec2<f32>();
    for (var t = 0u; t < count; t++) {
        sums += vec2(scores[t] * q[at + t * p.q_row], weights[t] * dy[upstream_at + t * p.heads * p.head_dim]);
    }
    return sums;
}

@compute @workgroup_size(64)
fn key_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x + (wid.y + p.first_band) * groups.x;
    if group >= p.batch * p.keys * p.kv_heads {
        return;
    }
    let row = group / p.kv_heads;
    let sequence = row / p.keys;
    let key = row % p.keys;
    let shared_by = p.heads / p.kv_heads;
    let column = group % p.kv_heads * p.head_dim;
    for (var c = lane; c < p.head_dim; c += LANES) {
        own[c] = k_at(row * p.kv_row + column + c);
        own_other[c] = v_at(row * p.kv_row + column + c);
    }
    var sums = array<vec2<f32>, QUARTERS>();
    for (var n = 0u; n < shared_by; n++) {
        let head = group % p.kv_heads * shared_by + n;
        for (var first = key; first < p.queries; first += LANES) {
            let count = min(LANES, p.queries - first);
            let query = sequence * p.queries + first;
            workgroupBarrier();
            if lane < count {
                let saved = (query + lane) * p.heads + head;
                let probability = exp(dot_q(query_at(query + lane, head)) * p.scale - saved_lse[saved]);
                weights[lane] = probability;
                scores[lane] = probability * (dot_dy(out_at(query + lane, head)) - deltas[saved]) * p.scale;
            }
            workgroupBarrier();
            for (var c = lane; c < p.head_dim; c += LANES) {
                sums[c / LANES] += scored_queries(query_at(query, head) + c, out_at(query, head) + c, count);
            }
        }
    }
    for (var c = lane; c < p.head_dim; c += LANES) {
        dkv[row * p.kv_row + p.k_first + column + c] = sums[c / LANES].x;
        dkv[row * p.kv_row + p.v_first + column + c] = sums[c / LANES].y;
    }
}
#endif
