// Sums over the columns of a matrix: 256 invocations are 16 columns × 16 lanes of rows; neighbours are in
// one row, so that they read contiguous memory.
const COLUMNS: u32 = 16u;
const ROW_LANES: u32 = 16u;
var<workgroup> column_cells: array<f32, 256>;

// Σ over the row lanes, in order, for the first COLUMNS invocations; uniform control flow only.
fn column_sum(lane: u32, value: f32) -> f32 {
    column_cells[lane] = value;
    workgroupBarrier();
    var total = 0.0;
    if lane < COLUMNS {
        for (var n = 0u; n < ROW_LANES; n++) {
            total += column_cells[n * COLUMNS + lane];
        }
    }
    workgroupBarrier();
    return total;
}
