#variants f16 half half.f16
// The dense product in tiles of 128 × 128 by 16 of k: a workgroup of 256 loads quads, and each
// invocation computes 8 × 8 of the result. The half variants store tiles in f16 and sum in f32.
#if half
enable f16;
alias Quad = vec4<f16>;
#else
alias Quad = vec4<f32>;
#endif
#import "shared/product.wgsl"
#import "shared/wide.wgsl"

@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

// The columns of a result are multiples of four: a quad is either within or past the edge.
fn store(row: u32, column: u32, value: vec4<f32>) {
    if row >= p.m || column >= p.n {
        return;
    }
    let at = (row * p.n + column) / 4u;
    if p.accumulate != 0u {
        out[at] += value;
    } else {
        out[at] = value;
    }
}

fn store_block(row: u32, column: u32, sums: mat4x4<f32>) {
    store(row, column, sums[0]);
    store(row + 1u, column, sums[1]);
    store(row + 2u, column, sums[2]);
    store(row + 3u, column, sums[3]);
}

// The first half of the lanes loads blocks of a, the second of b; neighbouring lanes load neighbouring memory.
fn load(lane: u32, row: u32, column: u32, k: u32) {
    let l = lane % 128u;
    let left = lane < 128u;
    let along_k = select(p.b_row == 1u, p.a_col == 1u, left);
    let quad = select(l % QUADS, l / 4u, along_k);
    let first = 4u * select(l / QUADS, l % 4u, along_k);
    if left {
        fill_left(quad, first, left_block(row + 4u * quad, k + first));
    } else {
        fill_right(quad, first, right_block(column + 4u * quad, k + first));
    }
}

@compute @workgroup_size(256)
fn tiled(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (wid.y + p.first_band) * TILE;
    let column = wid.x * TILE;
    let x = lane % 16u;
    let y = lane / 16u;
    var sums = Sums();
    for (var k = 0u; k < p.k; k += STEP) {
        load(lane, row, column, k);
        workgroupBarrier();
        sums = multiply(sums, y, x);
        workgroupBarrier();
    }
    store_block(row + y * 4u, column + x * 4u, sums.near);
    store_block(row + y * 4u, column + x * 4u + 64u, sums.right);
    store_block(row + y * 4u + 64u, column + x * 4u, sums.below);
    store_block(row + y * 4u + 64u, column + x * 4u + 64u, sums.far);
}
