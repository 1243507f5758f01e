#variants f16 wave64 wave64.f16 small small.f16 full full.f16
// The dense product with cooperative matrices.
#import "shared/cooperative.wgsl"
#import "shared/product.wgsl"

alias FactorQuad = vec4<Factor>;

@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

// Four neighbouring k of a row of the left tile.
fn put_left(row: u32, k: u32, values: FactorQuad) {
    let at = row * PITCH + k;
    tile_left[at] = values.x;
    tile_left[at + 1u] = values.y;
    tile_left[at + 2u] = values.z;
    tile_left[at + 3u] = values.w;
}

// Four neighbouring k of a column of the right tile.
fn put_right(column: u32, k: u32, values: FactorQuad) {
    let at = column * PITCH + k;
    tile_right[at] = values.x;
    tile_right[at + 1u] = values.y;
    tile_right[at + 2u] = values.z;
    tile_right[at + 3u] = values.w;
}

// Loads both tiles, in blocks of four rows, or columns, by four k. Eight neighbouring lanes load the k of the same rows.
fn load(lane: u32, row: u32, column: u32, k: u32) {
    const BLOCKS: u32 = STEP / 4u;
    for (var i = lane; i < TILE / 4u * BLOCKS; i += LANES) {
        let first = i % BLOCKS * 4u;
        let quad = i / BLOCKS * 4u;
        let left = transpose(left_block(row + quad, k + first));
        put_left(quad, first, FactorQuad(left[0]));
        put_left(quad + 1u, first, FactorQuad(left[1]));
        put_left(quad + 2u, first, FactorQuad(left[2]));
        put_left(quad + 3u, first, FactorQuad(left[3]));
        let right = transpose(right_block(column + quad, k + first));
        put_right(quad, first, FactorQuad(right[0]));
        put_right(quad + 1u, first, FactorQuad(right[1]));
        put_right(quad + 2u, first, FactorQuad(right[2]));
        put_right(quad + 3u, first, FactorQuad(right[3]));
    }
}

// Stores the quads of a staged matrix of each part.
fn unload(lane: u32, share: Share, row: u32, column: u32, down: u32, right: u32) {
    for (var i = lane; i < 4u * QUADS; i += LANES) {
        let place = staged_at(i, down, right);
        let r = row + place.x;
        let c = column + place.y;
        if r < p.m && c < p.n {
            let at = (r * p.n + c) / 4u;
            if p.accumulate != 0u {
                out[at] += staged(i, share);
            } else {
                out[at] = staged(i, share);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn tiled(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
    let share = share_of(lane, subgroup, subgroups);
    let row = (wid.y + p.first_band) * TILE;
    let column = wid.x * TILE;
    var sums = Sums();
    for (var k = 0u; k < p.k; k += STEP) {
        load(lane, row, column, k);
        workgroupBarrier();
        multiply_tiles(&sums, share);
        workgroupBarrier();
    }
    stage_sum(sums[0], share);
    unload(lane, share, row, column, 0u, 0u);
    stage_sum(sums[1], share);
    unload(lane, share, row, column, 0u, 1u);
    stage_sum(sums[2], share);
    unload(lane, share, row, column, 0u, 2u);
    stage_sum(sums[3], share);
    unload(lane, share, row, column, 0u, 3u);
    stage_sum(sums[4], share);
    unload(lane, share, row, column, 1u, 0u);
    stage_sum(sums[5], share);
    unload(lane, share, row, column, 1u, 1u);
    stage_sum(sums[6], share);
    unload(lane, share, row, column, 1u, 2u);
    stage_sum(sums[7], share);
    unload(lane, share, row, column, 1u, 3u);
    stage_sum(sums[8], share);
    unload(lane, share, row, column, 2u, 0u);
    stage_sum(sums[9], share);
    unload(lane, share, row, column, 2u, 1u);
    stage_sum(sums[10], share);
    unload(lane, share, row, column, 2u, 2u);
    stage_sum(sums[11], share);
    unload(lane, share, row, column, 2u, 3u);
    stage_sum(sums[12], share);
    unload(lane, share, row, column, 3u, 0u);
    stage_sum(sums[13], share);
    unload(lane, share, row, column, 3u, 1u);
    stage_sum(sums[14], share);
    unload(lane, share, row, column, 3u, 2u);
    stage_sum(sums[15], share);
    unload(lane, share, row, column, 3u, 3u);
}
