// Rotary position embedding, Hugging Face layout: element j of a head's first half turns with
// element j of its second half: y0 = x0·cos − x1·sin, y1 = x1·cos + x0·sin. The tables come from
// the host, because WGSL's sin and cos promise too little.
#import "shared/linear.wgsl"

struct Params {
    rows: u32,
    heads: u32,
    half_dim: u32,
    seq: u32,
    inverse: u32,
    positions: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> cosines: array<f32>;
@group(0) @binding(3) var<storage, read> sines: array<f32>;
@group(0) @binding(4) var<storage, read> start: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn rotate(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let pair = linear(wid, groups, lane);
    if pair >= p.rows * p.heads * p.half_dim {
        return;
    }
    let j = pair % p.half_dim;
    let head = pair / p.half_dim;
    let row = head / p.heads;
    let angle = min(start[0] + row % p.seq, p.positions - 1u) * p.half_dim + j;
    let c = cosines[angle];
    let s = select(sines[angle], -sines[angle], p.inverse != 0u);
    let low = head * 2u * p.half_dim + j;
    let high = low + p.half_dim;
    y[low] = x[low] * c - x[high] * s;
    y[high] = x[high] * c + x[low] * s;
}
