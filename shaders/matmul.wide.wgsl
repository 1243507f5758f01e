#variants f16 half half.f16
// The dense product in tiles of 128 × 128 by 16 of k: a workgroup of 256 loads whole quads, and each
// invocation makes 8 × 8 of the result. The half variants hold tiles in f16 and sum in f32.
#if half
enable f16;
alias Quad = vec4<f16>;
#else
alias Quad = vec4<f32>;
#endif
#import "shared/product.wgsl"

@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

const TILE: u32 = 128u;
const STEP: u32 = 16u;
// Quads of a k in a tile.
const QUADS: u32 = 32u;
var<workgroup> tile_left: array<Quad, 512>;
var<workgroup> tile_right: array<Quad, 512>;

// Where a quad of k lies. Lanes that write neighbouring blocks of k use different banks, so the
// quads of each block of four k are exchanged in a way of their own.
fn place(k: u32, quad: u32) -> u32 {
    return k * QUADS + (quad ^ (k / 4u * 2u));
}

fn rank_one(sums: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(sums[0] + x.x * y, sums[1] + x.y * y, sums[2] + x.z * y, sums[3] + x.w * y);
}

// Rows and columns of a result are quads: both are within or both past the edge.
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

// The first half of the lanes loads blocks of a, the second of b; neighbours follow memory.
fn load(lane: u32, row: u32, column: u32, k: u32) {
    let l = lane % 128u;
    let left = lane < 128u;
    let along_k = select(p.b_row == 1u, p.a_col == 1u, left);
    let quad = select(l % QUADS, l / 4u, along_k);
    let first = 4u * select(l / QUADS, l % 4u, along_k);
    if left {
        let block = left_block(row + 4u * quad, k + first);
        tile_left[place(first, quad)] = Quad(block[0]);
        tile_left[place(first + 1u, quad)] = Quad(block[1]);
        tile_left[place(first + 2u, quad)] = Quad(block[2]);
        tile_left[place(first + 3u, quad)] = Quad(block[3]);
    } else {
        let block = right_block(column + 4u * quad, k + first);
        tile_right[place(first, quad)] = Quad(block[0]);
        tile_right[place(first + 1u, quad)] = Quad(block[1]);
        tile_right[place(first + 2u, quad)] = Quad(block[2]);
        tile_right[place(first + 3u, quad)] = Quad(block[3]);
    }
}

@compute @workgroup_size(256)
fn tiled(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (wid.y + p.first_band) * TILE;
    let column = wid.x * TILE;
    let x = lane % 16u;
    let y = lane / 16u;
    var s00 = mat4x4<f32>();
    var s01 = mat4x4<f32>();
    var s10 = mat4x4<f32>();
    var s11 = mat4x4<f32>();
    for (var k = 0u; k < p.k; k += STEP) {
        load(lane, row, column, k);
        workgroupBarrier();
        for (var i = 0u; i < STEP; i++) {
            let a0 = vec4<f32>(tile_left[place(i, y)]);
            let a1 = vec4<f32>(tile_left[place(i, y + 16u)]);
            let b0 = vec4<f32>(tile_right[place(i, x)]);
            let b1 = vec4<f32>(tile_right[place(i, x + 16u)]);
            s00 = rank_one(s00, a0, b0);
            s01 = rank_one(s01, a0, b1);
            s10 = rank_one(s10, a1, b0);
            s11 = rank_one(s11, a1, b1);
        }
        workgroupBarrier();
    }
    store_block(row + y * 4u, column + x * 4u, s00);
    store_block(row + y * 4u, column + x * 4u + 64u, s01);
    store_block(row + y * 4u + 64u, column + x * 4u, s10);
    store_block(row + y * 4u + 64u, column + x * 4u + 64u, s11);
}
