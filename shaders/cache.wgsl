// Writes new keys or values into the KV cache: cache[start + r] = rows[r]; rows past its end are
// dropped.
#import "shared/linear.wgsl"

struct Params {
    rows: u32,
    width: u32,
    capacity: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read> start: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<f32>;

@compute @workgroup_size(256)
fn write(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, lane);
    // The two comparisons cannot wrap, as start + row could.
    let free = p.capacity - min(start[0], p.capacity);
    if i < p.rows * p.width && i / p.width < free {
        cache[start[0] * p.width + i] = rows[i];
    }
}
