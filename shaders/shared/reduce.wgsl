// Sums and maxima over the LANES invocations of a workgroup, always in the same order. The
// importing file declares LANES, a power of two. Call them from uniform control flow only.
var<workgroup> reduce_cells: array<f32, LANES>;

// Σ over the lanes, given to every lane.
fn reduce_sum(lane: u32, value: f32) -> f32 {
    reduce_cells[lane] = value;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width >>= 1u) {
        if lane < width {
            reduce_cells[lane] += reduce_cells[lane + width];
        }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&reduce_cells[0]);
}

// The largest of the lanes' values, given to every lane.
fn reduce_max(lane: u32, value: f32) -> f32 {
    reduce_cells[lane] = value;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width >>= 1u) {
        if lane < width {
            reduce_cells[lane] = max(reduce_cells[lane], reduce_cells[lane + width]);
        }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&reduce_cells[0]);
}
