#variants f16
// Rotary position embedding, Hugging Face layout: element j of a head's first half is rotated with
// element j of its second half: y0 = x0·cos − x1·sin, y1 = x1·cos + x0·sin. The host computes the tables,
// because WGSL's sin and cos guarantee too little accuracy. `cache` writes k and v to the KV cache, which
// the f16 variant stores as halves, two per word.
#import "shared/linear.wgsl"

struct Params {
    rows: u32,
    query_heads: u32,
    kv_heads: u32,
    half_dim: u32,
    seq: u32,
    inverse: u32,
    positions: u32,
    capacity: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> cosines: array<f32>;
@group(0) @binding(3) var<storage, read> sines: array<f32>;
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

fn heads_in_row() -> u32 {
    return p.query_heads + 2u * p.kv_heads;
}

// Elements j of both halves of a head, rotated unless it is a value head.
fn rotated(row: u32, head: u32, j: u32) -> vec2<f32> {
    let low = (row * heads_in_row() + head) * 2u * p.half_dim + j;
    let pair = vec2(x[low], x[low + p.half_dim]);
    if head >= p.query_heads + p.kv_heads {
        return pair;
    }
    let angle = min(start[0] + row % p.seq, p.positions - 1u) * p.half_dim + j;
    let c = cosines[angle];
    let s = select(sines[angle], -sines[angle], p.inverse != 0u);
    return vec2(pair.x * c - pair.y * s, pair.y * c + pair.x * s);
}

#if !f16
@compute @workgroup_size(256)
fn rotate(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let pair = linear(wid, groups, p.first_band, lane);
    let head = pair / p.half_dim;
    if head >= p.rows * heads_in_row() {
        return;
    }
    let j = pair % p.half_dim;
    let values = rotated(head / heads_in_row(), head % heads_in_row(), j);
    y[head * 2u * p.half_dim + j] = values.x;
    y[head * 2u * p.half_dim + j + p.half_dim] = values.y;
}

@group(0) @binding(6) var<storage, read_write> keys: array<f32>;
@group(0) @binding(7) var<storage, read_write> values: array<f32>;

fn store_cache(at: u32, is_key: bool, pair: vec2<f32>) {
    if is_key {
        keys[at] = pair.x;
        keys[at + p.half_dim] = pair.y;
    } else {
        values[at] = pair.x;
        values[at + p.half_dim] = pair.y;
    }
}
#else
@group(0) @binding(6) var<storage, read_write> keys: array<u32>;
@group(0) @binding(7) var<storage, read_write> values: array<u32>;

// Stores elements j and j + 1 of both halves, j even: one word for each half.
fn store_cache_words(at: u32, is_key: bool, first: vec2<f32>, second: vec2<f32>) {
    let low = pack2x16float(vec2(first.x, second.x));
    let high = pack2x16float(vec2(first.y, second.y));
    if is_key {
        keys[at / 2u] = low;
        keys[(at + p.half_dim) / 2u] = high;
    } else {
        values[at / 2u] = low;
        values[(at + p.half_dim) / 2u] = high;
    }
}
#endif

// Index of an element of a query in the output, and of a key or value in the cache.
fn out_at(row: u32, head: u32, j: u32) -> u32 {
    return (row * p.query_heads + head) * 2u * p.half_dim + j;
}

fn cache_at(row: u32, head: u32, j: u32) -> u32 {
    return ((start[0] + row) * p.kv_heads + (head - p.query_heads) % p.kv_heads) * 2u * p.half_dim + j;
}

@compute @workgroup_size(256)
fn cache(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
#if f16
    let first = linear(wid, groups, p.first_band, lane) * 2u;
#else
    let first = linear(wid, groups, p.first_band, lane);
#endif
    let j = first % p.half_dim;
    let head = first / p.half_dim % heads_in_row();
    let row = first / p.half_dim / heads_in_row();
    if row >= p.rows {
        return;
    }
    let pair = rotated(row, head, j);
#if f16
    let next = rotated(row, head, j + 1u);
#endif
    if head < p.query_heads {
        let at = out_at(row, head, j);
        y[at] = pair.x;
        y[at + p.half_dim] = pair.y;
#if f16
        y[at + 1u] = next.x;
        y[at + 1u + p.half_dim] = next.y;
#endif
        return;
    }
    // Written so that it cannot wrap, as start + row could.
    if row >= p.capacity - min(start[0], p.capacity) {
        return;
    }
    let is_key = head < p.query_heads + p.kv_heads;
#if f16
    store_cache_words(cache_at(row, head, j), is_key, pair, next);
#else
    store_cache(cache_at(row, head, j), is_key, pair);
#endif
}
