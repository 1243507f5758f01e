// The tiled product: a workgroup of 256 computes 64 × 64 of the result, 16 of k at a time, and each
// invocation 4 × 4. The importing file fills both tiles, one vec4 (four rows, or four columns, of one k)
// per invocation, because writing single components of a shared vector is a race.
const TILE: u32 = 64u;
const STEP: u32 = 16u;
// Quads of neighbouring k are 17 apart, not 16, so that the lanes that write them use different banks.
const PITCH: u32 = 17u;
var<workgroup> tile_left: array<vec4<f32>, 272>;
var<workgroup> tile_right: array<vec4<f32>, 272>;

// The part of a tile that an invocation loads: a k and a quad of rows or columns.
struct TilePosition {
    k: u32,
    quad: u32,
}

// The position that an invocation loads, if k is contiguous in memory (`along_k`) or the quads are.
fn tile_position(lane: u32, along_k: bool) -> TilePosition {
    if along_k {
        return TilePosition(lane % 16u, lane / 16u);
    }
    return TilePosition(lane / 16u, lane % 16u);
}

fn tile_index(place: TilePosition) -> u32 {
    return place.k * PITCH + place.quad;
}

// sums + left · right over the 16 k in the tiles: column r of the matrix is row r of the result.
fn tile_multiply(sums: mat4x4<f32>, row: u32, column: u32) -> mat4x4<f32> {
    var out = sums;
    for (var k = 0u; k < STEP; k++) {
        let a = tile_left[k * PITCH + row];
        let b = tile_right[k * PITCH + column];
        out[0] += a.x * b;
        out[1] += a.y * b;
        out[2] += a.z * b;
        out[3] += a.w * b;
    }
    return out;
}
