// Copies columns of one matrix to columns of another (concatenation and slicing).
#import "shared/linear.wgsl"

struct Params {
    rows: u32,
    cols: u32,
    source_width: u32,
    source_first: u32,
    target_width: u32,
    target_first: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(256)
fn copy(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, p.first_band, lane);
    if i < p.rows * p.cols {
        let row = i / p.cols;
        let column = i % p.cols;
        out[row * p.target_width + p.target_first + column] = source[row * p.source_width + p.source_first + column];
    }
}
