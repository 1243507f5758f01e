// Sums and maxima over the LANES invocations of a workgroup, in a fixed order. The importing file
// declares LANES, a power of two. Uniform control flow only.
var<workgroup> reduce_cells: array<f32, LANES>;

// Σ over the lanes, for every lane.
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

// The maximum over the lanes, for every lane.
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
