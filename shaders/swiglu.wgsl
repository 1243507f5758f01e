// SwiGLU: out = silu(gate) ⊙ up, silu(x) = x·σ(x), σ(x) = 1 / (1 + e⁻ˣ). Backward:
// dgate = dy·up·σ·(1 + gate·(1 − σ)), dup = dy·gate·σ.
#import "shared/linear.wgsl"

struct Params {
    n: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_gate: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_up: array<f32>;

// The largest power below 2¹²⁶, up to which WGSL bounds the error of a division.
const MOST: f32 = 87.336;

// Past that it is 0, as its true value is subnormal; and no infinity appears, which a compiler may
// assume there is none of.
fn sigmoid(x: f32) -> f32 {
    return select(0.0, 1.0 / (1.0 + exp(min(-x, MOST))), x > -MOST);
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, lane);
    if i < p.n {
        out[i] = gate[i] * sigmoid(gate[i]) * up[i];
    }
}

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, lane);
    if i < p.n {
        let s = sigmoid(gate[i]);
        d_gate[i] = dy[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
        d_up[i] = dy[i] * gate[i] * s;
    }
}
