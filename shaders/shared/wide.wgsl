// A matrix product in tiles of 128 × 128 by 16 of k, the index that it sums over: a workgroup of 256 computes
// 128 × 128 of the result, and each invocation 8 × 8, in four blocks of 4 × 4 that are 64 apart. The importing
// file defines the type `Quad` of a tile's elements, and fills both tiles, one block (four rows, or columns, by
// four k) per invocation.
const TILE: u32 = 128u;
const STEP: u32 = 16u;
// Quads in a tile for each k.
const QUADS: u32 = 32u;
var<workgroup> tile_left: array<Quad, 512>;
var<workgroup> tile_right: array<Quad, 512>;

// The sums of an invocation's four blocks: the block at its position, the one 64 columns to the right, the one
// 64 rows below, and the one 64 columns to the right and 64 rows below.
struct Sums {
    near: mat4x4<f32>,
    right: mat4x4<f32>,
    below: mat4x4<f32>,
    far: mat4x4<f32>,
}

// Index of a quad of k. Quads are permuted differently in each block of four k, so that lanes that write
// neighbouring blocks use different banks.
fn quad_index(k: u32, quad: u32) -> u32 {
    return k * QUADS + (quad ^ (k / 4u * 2u));
}

// Stores a block of four k from `first` on, whose columns are one k each, in the left tile.
fn fill_left(quad: u32, first: u32, block: mat4x4<f32>) {
    tile_left[quad_index(first, quad)] = Quad(block[0]);
    tile_left[quad_index(first + 1u, quad)] = Quad(block[1]);
    tile_left[quad_index(first + 2u, quad)] = Quad(block[2]);
    tile_left[quad_index(first + 3u, quad)] = Quad(block[3]);
}

// As `fill_left`, in the right tile.
fn fill_right(quad: u32, first: u32, block: mat4x4<f32>) {
    tile_right[quad_index(first, quad)] = Quad(block[0]);
    tile_right[quad_index(first + 1u, quad)] = Quad(block[1]);
    tile_right[quad_index(first + 2u, quad)] = Quad(block[2]);
    tile_right[quad_index(first + 3u, quad)] = Quad(block[3]);
}

fn add_outer_product(sums: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(sums[0] + x.x * y, sums[1] + x.y * y, sums[2] + x.z * y, sums[3] + x.w * y);
}

// sums + left · right over the 16 k in the tiles, for row quad `row` and column quad `column`.
fn multiply(sums: Sums, row: u32, column: u32) -> Sums {
    var out = sums;
    for (var k = 0u; k < STEP; k++) {
        let a0 = vec4<f32>(tile_left[quad_index(k, row)]);
        let a1 = vec4<f32>(tile_left[quad_index(k, row + 16u)]);
        let b0 = vec4<f32>(tile_right[quad_index(k, column)]);
        let b1 = vec4<f32>(tile_right[quad_index(k, column + 16u)]);
        out.near = add_outer_product(out.near, a0, b0);
        out.right = add_outer_product(out.right, a0, b1);
        out.below = add_outer_product(out.below, a1, b0);
        out.far = add_outer_product(out.far, a1, b1);
    }
    return out;
}
