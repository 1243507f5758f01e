#variants f16 q8
// The dense product out = op(a) (m, k) · op(b) (k, n), where op is a choice of strides; the f16 and
// q8 variants have b stored as (n, k) in f16 or 8-bit blocks. `tiled` has one workgroup per tile of the
// result; `few`, for at most 8 rows of a, one per column.
#import "shared/tile.wgsl"
#import "shared/matmul.params.wgsl"

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// Elements of op(a) and op(b), 0 past the edges.
fn a_at(row: u32, k: u32) -> f32 {
    if row < p.m && k < p.k {
        return a[row * p.a_row + k * p.a_col];
    }
    return 0.0;
}

#if f16
#import "shared/half.wgsl"
@group(0) @binding(2) var<storage, read> b: array<u32>;

fn b_at(k: u32, column: u32) -> f32 {
    if k < p.k && column < p.n {
        return half_of(b[column * half_row(p.k) + k / 2u], k);
    }
    return 0.0;
}
#else
#if q8
#import "shared/codes.wgsl"
@group(0) @binding(2) var<storage, read> b: array<u32>;

fn b_at(k: u32, column: u32) -> f32 {
    if k < p.k && column < p.n {
        let block = column * code_row(p.k) + code_block(k);
        return bitcast<f32>(b[block]) * code_of(b[block + code_word(k)], k);
    }
    return 0.0;
}
#else
@group(0) @binding(2) var<storage, read> b: array<f32>;

fn b_at(k: u32, column: u32) -> f32 {
    if k < p.k && column < p.n {
        return b[k * p.b_row + column * p.b_col];
    }
    return 0.0;
}
#endif
#endif

fn load_left(place: TilePosition, row: u32, k: u32) {
    let r = row + place.quad * 4u;
    let at = k + place.k;
    tile_left[tile_index(place)] = vec4(a_at(r, at), a_at(r + 1u, at), a_at(r + 2u, at), a_at(r + 3u, at));
}

fn load_right(place: TilePosition, column: u32, k: u32) {
    let c = column + place.quad * 4u;
    let at = k + place.k;
    tile_right[tile_index(place)] = vec4(b_at(at, c), b_at(at, c + 1u), b_at(at, c + 2u), b_at(at, c + 3u));
}

fn store(row: u32, column: u32, value: f32) {
    if row >= p.m || column >= p.n {
        return;
    }
    let at = row * p.n + column;
    if p.accumulate != 0u {
        out[at] += value;
    } else {
        out[at] = value;
    }
}

fn store_row(row: u32, column: u32, values: vec4<f32>) {
    store(row, column, values.x);
    store(row, column + 1u, values.y);
    store(row, column + 2u, values.z);
    store(row, column + 3u, values.w);
}

@compute @workgroup_size(256)
fn tiled(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (wid.y + p.first_band) * TILE;
    let column = wid.x * TILE;
    let left = tile_position(lane, p.a_col == 1u);
    let right = tile_position(lane, p.b_row == 1u);
    let x = lane % 16u;
    let y = lane / 16u;
    var sums = mat4x4<f32>();
    for (var k = 0u; k < p.k; k += STEP) {
        load_left(left, row, k);
        load_right(right, column, k);
        workgroupBarrier();
        sums = tile_multiply(sums, y, x);
        workgroupBarrier();
    }
    store_row(row + y * 4u, column + x * 4u, sums[0]);
    store_row(row + y * 4u + 1u, column + x * 4u, sums[1]);
    store_row(row + y * 4u + 2u, column + x * 4u, sums[2]);
    store_row(row + y * 4u + 3u, column + x * 4u, sums[3]);
}

// `few` reads each row of b once for all rows of a: 64 lanes share a column, and each has sums for four
// rows at a time.
const LANES: u32 = 64u;
var<workgroup> cells: array<vec4<f32>, 128>;

// Column k of a, rows first..first + 4; each test is uniform, so that absent rows are skipped.
fn rows_at(first: u32, k: u32) -> vec4<f32> {
    var x = vec4<f32>();
    if first < p.m {
        x.x = a[first * p.a_row + k];
    }
    if first + 1u < p.m {
        x.y = a[(first + 1u) * p.a_row + k];
    }
    if first + 2u < p.m {
        x.z = a[(first + 2u) * p.a_row + k];
    }
    if first + 3u < p.m {
        x.w = a[(first + 3u) * p.a_row + k];
    }
    return x;
}

@compute @workgroup_size(64)
fn few(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = wid.x + (wid.y + p.first_band) * groups.x;
    if column >= p.n {
        return;
    }
    var low = vec4<f32>();
    var high = vec4<f32>();
    for (var k = lane; k < p.k; k += LANES) {
        let weight = b_at(k, column);
        low += weight * rows_at(0u, k);
        if p.m > 4u {
            high += weight * rows_at(4u, k);
        }
    }
    cells[lane] = low;
    cells[LANES + lane] = high;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width >>= 1u) {
        if lane < width {
            cells[lane] += cells[lane + width];
            cells[LANES + lane] += cells[LANES + lane + width];
        }
        workgroupBarrier();
    }
    if lane < p.m {
        store(lane, column, cells[lane / 4u * LANES][lane % 4u]);
    }
}
