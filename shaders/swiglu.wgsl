// SwiGLU: out = silu(gate) ⊙ up, silu(x) = x·σ(x), σ(x) = 1 / (1 + e⁻ˣ). Backward:
// dgate = dy·up·σ·(1 + gate·(1 − σ)), dup = dy·gate·σ.
#import "shared/linear.wgsl"

struct Params {
    rows: u32,
    wide: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Each row is gate and up side by side.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// The largest power below 2¹²⁶, up to which WGSL bounds the error of a division.
const MAX_EXP: f32 = 87.336;

// Beyond that it is 0, since the exact value is subnormal. No infinity occurs, because compilers may
// assume that there is none.
fn sigmoid(x: f32) -> f32 {
    return select(0.0, 1.0 / (1.0 + exp(min(-x, MAX_EXP))), x > -MAX_EXP);
}

// Index of the gate of element `i` of the result; `up` is `wide` further.
fn gate_at(i: u32) -> u32 {
    return i + i / p.wide * p.wide;
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, p.first_band, lane);
    if i < p.rows * p.wide {
        let gate = x[gate_at(i)];
        out[i] = gate * sigmoid(gate) * x[gate_at(i) + p.wide];
    }
}

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, p.first_band, lane);
    if i < p.rows * p.wide {
        let gate = x[gate_at(i)];
        let s = sigmoid(gate);
        dx[gate_at(i)] = dy[i] * x[gate_at(i) + p.wide] * s * (1.0 + gate * (1.0 - s));
        dx[gate_at(i) + p.wide] = dy[i] * gate * s;
    }
}
