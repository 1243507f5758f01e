#variants f16 subgroup subgroup.f16
// At most 8 rows of a by four columns of b per workgroup: 64 lanes share k, a quad each. The subgroup
// variants sum within subgroups first, of any size and in any order of lanes.
#import "shared/product.wgsl"

@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const LANES: u32 = 64u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 4u;

// A row of a times a block of b: one sum per column. Absent rows are skipped.
fn times(block: mat4x4<f32>, row: u32, k: u32) -> vec4<f32> {
    if row < p.m {
        return block * a[(row * p.a_row + k) / 4u];
    }
    return vec4<f32>();
}

#if subgroup
// One sum per row and subgroup; there are at most 16 subgroups, a quarter of the lanes.
var<workgroup> cells: array<vec4<f32>, 128>;

fn store_sum(row: u32, subgroup: u32, first: bool, sum: vec4<f32>) {
    let whole = subgroupAdd(sum);
    if first {
        cells[row * 16u + subgroup] = whole;
    }
}

#else
var<workgroup> cells: array<vec4<f32>, 512>;

fn store_sum(row: u32, lane: u32, sum: vec4<f32>) {
    cells[row * LANES + lane] = sum;
}

#endif
@compute @workgroup_size(64)
fn few(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
#if subgroup
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) within: u32,
#endif
) {
    let column = (wid.x + (wid.y + p.first_band) * groups.x) * COLUMNS;
    if column >= p.n {
        return;
    }
    var sums: array<vec4<f32>, 8>;
    for (var k = 4u * lane; k < p.k; k += 4u * LANES) {
        let block = right_block(column, k);
        sums[0] += times(block, 0u, k);
        if p.m > 1u {
            sums[1] += times(block, 1u, k);
            sums[2] += times(block, 2u, k);
            sums[3] += times(block, 3u, k);
        }
        if p.m > 4u {
            sums[4] += times(block, 4u, k);
            sums[5] += times(block, 5u, k);
            sums[6] += times(block, 6u, k);
            sums[7] += times(block, 7u, k);
        }
    }
    let row = lane / COLUMNS;
    let at = column + lane % COLUMNS;
    var total = 0.0;
#if subgroup
    for (var r = 0u; r < ROWS; r++) {
        if r < p.m {
            store_sum(r, subgroup, within == 0u, sums[r]);
        }
    }
    workgroupBarrier();
    if row < p.m {
        for (var s = 0u; s < subgroups; s++) {
            total += cells[row * 16u + s][lane % COLUMNS];
        }
    }
#else
    for (var r = 0u; r < ROWS; r++) {
        if r < p.m {
            store_sum(r, lane, sums[r]);
        }
    }
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width >>= 1u) {
        if lane < width {
            for (var r = 0u; r < p.m; r++) {
                cells[r * LANES + lane] += cells[r * LANES + lane + width];
            }
        }
        workgroupBarrier();
    }
    if row < p.m {
        total = cells[row * LANES][lane % COLUMNS];
    }
#endif
    if row < p.m && at < p.n {
        let index = row * p.n + at;
        if p.accumulate != 0u {
            out[index] += total;
        } else {
            out[index] = total;
        }
    }
}
