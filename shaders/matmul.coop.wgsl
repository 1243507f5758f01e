#variants f16 small small.f16 full full.f16
// The dense product with cooperative matrices: each of SUBGROUPS subgroups computes 2 × 2 of them from
// tiles in workgroup memory, and sums in f32. Factors are 16 × 16 in f16, 8 × 8 in f16 (small), or
// 8 × 8 in f32 (full).
enable wgpu_cooperative_matrix;
#if full
alias Factor = f32;
alias Left = coop_mat8x8<f32, A>;
alias Right = coop_mat8x8<f32, B>;
alias Sum = coop_mat8x8<f32, C>;
const SIZE: u32 = 8u;
var<workgroup> tile_left: array<f32, 1152>;
var<workgroup> tile_right: array<f32, 1152>;
var<workgroup> stage: array<f32, 256>;
#else
enable f16;
alias Factor = f16;
#if small
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
const SIZE: u32 = 8u;
var<workgroup> tile_left: array<f16, 1280>;
var<workgroup> tile_right: array<f16, 1280>;
var<workgroup> stage: array<f32, 256>;
#else
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;
const SIZE: u32 = 16u;
var<workgroup> tile_left: array<f16, 2560>;
var<workgroup> tile_right: array<f16, 2304>;
var<workgroup> stage: array<f32, 1024>;
#endif
#endif
#import "shared/product.wgsl"

@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

// A workgroup of 128 has at least this many subgroups of up to 32 lanes. If subgroups are smaller, the
// additional ones repeat the work of another, since all must take part.
const SUBGROUPS: u32 = 4u;
const LANES: u32 = 128u;
const TILE: u32 = 4u * SIZE;
const STEP: u32 = 32u;
// Row strides of the tiles, padded so that rows begin on different banks.
#if full
const LEFT_PITCH: u32 = STEP + 4u;
const RIGHT_PITCH: u32 = TILE + 4u;
#else
const LEFT_PITCH: u32 = STEP + 8u;
const RIGHT_PITCH: u32 = TILE + 8u;
#endif

// Stores four rows by four k of the left tile.
fn put_left(row: u32, k: u32, block: mat4x4<f32>) {
    for (var r = 0u; r < 4u; r++) {
        let at = (row + r) * LEFT_PITCH + k;
        tile_left[at] = Factor(block[0][r]);
        tile_left[at + 1u] = Factor(block[1][r]);
        tile_left[at + 2u] = Factor(block[2][r]);
        tile_left[at + 3u] = Factor(block[3][r]);
    }
}

// Stores four columns of one k of the right tile.
fn put_right(column: u32, k: u32, values: vec4<f32>) {
    let at = k * RIGHT_PITCH + column;
    tile_right[at] = Factor(values.x);
    tile_right[at + 1u] = Factor(values.y);
    tile_right[at + 2u] = Factor(values.z);
    tile_right[at + 3u] = Factor(values.w);
}

fn load(lane: u32, row: u32, column: u32, k: u32) {
    const ACROSS: u32 = TILE / 4u;
    const ALONG: u32 = STEP / 4u;
    for (var i = lane; i < ACROSS * ALONG; i += LANES) {
        let quad = 4u * select(i % ACROSS, i / ALONG, p.a_col == 1u);
        let first = 4u * select(i / ACROSS, i % ALONG, p.a_col == 1u);
        put_left(quad, first, left_block(row + quad, k + first));
    }
    for (var i = lane; i < ACROSS * ALONG; i += LANES) {
        let quad = 4u * select(i % ACROSS, i / ALONG, p.b_row == 1u);
        let first = 4u * select(i / ACROSS, i % ALONG, p.b_row == 1u);
        let block = right_block(column + quad, k + first);
        put_right(quad, first, block[0]);
        put_right(quad, first + 1u, block[1]);
        put_right(quad, first + 2u, block[2]);
        put_right(quad, first + 3u, block[3]);
    }
}

// Writes the staged matrix of every subgroup, which begins at (down, right) in its part.
fn unload(lane: u32, row: u32, column: u32, down: u32, right: u32) {
    const QUADS: u32 = SIZE * SIZE / 4u;
    for (var i = lane; i < SUBGROUPS * QUADS; i += LANES) {
        let part = i / QUADS;
        let r = row + part / 2u * 2u * SIZE + down + i % QUADS / (SIZE / 4u);
        let c = column + part % 2u * 2u * SIZE + right + i % (SIZE / 4u) * 4u;
        if r < p.m && c < p.n {
            let value = vec4(stage[4u * i], stage[4u * i + 1u], stage[4u * i + 2u], stage[4u * i + 3u]);
            let at = (r * p.n + c) / 4u;
            if p.accumulate != 0u {
                out[at] += value;
            } else {
                out[at] = value;
            }
        }
    }
}

@compute @workgroup_size(128)
fn tiled(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {
    let row = (wid.y + p.first_band) * TILE;
    let column = wid.x * TILE;
    let part = subgroup % SUBGROUPS;
    let down = part / 2u * 2u * SIZE;
    let right = part % 2u * 2u * SIZE;
    var s00 = Sum();
    var s01 = Sum();
    var s10 = Sum();
    var s11 = Sum();
    for (var k = 0u; k < p.k; k += STEP) {
        load(lane, row, column, k);
        workgroupBarrier();
        for (var i = 0u; i < STEP; i += SIZE) {
            let a0 = coopLoadT<Left>(&tile_left[down * LEFT_PITCH + i], LEFT_PITCH);
            let a1 = coopLoadT<Left>(&tile_left[(down + SIZE) * LEFT_PITCH + i], LEFT_PITCH);
            let b0 = coopLoadT<Right>(&tile_right[i * RIGHT_PITCH + right], RIGHT_PITCH);
            let b1 = coopLoadT<Right>(&tile_right[i * RIGHT_PITCH + right + SIZE], RIGHT_PITCH);
            s00 = coopMultiplyAdd(a0, b0, s00);
            s01 = coopMultiplyAdd(a0, b1, s01);
            s10 = coopMultiplyAdd(a1, b0, s10);
            s11 = coopMultiplyAdd(a1, b1, s11);
        }
        workgroupBarrier();
    }
    // Subgroups of one part store the same values.
    coopStoreT(s00, &stage[part * SIZE * SIZE], SIZE);
    workgroupBarrier();
    unload(lane, row, column, 0u, 0u);
    workgroupBarrier();
    coopStoreT(s01, &stage[part * SIZE * SIZE], SIZE);
    workgroupBarrier();
    unload(lane, row, column, 0u, SIZE);
    workgroupBarrier();
    coopStoreT(s10, &stage[part * SIZE * SIZE], SIZE);
    workgroupBarrier();
    unload(lane, row, column, SIZE, 0u);
    workgroupBarrier();
    coopStoreT(s11, &stage[part * SIZE * SIZE], SIZE);
    workgroupBarrier();
    unload(lane, row, column, SIZE, SIZE);
}
