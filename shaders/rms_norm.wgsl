// RMSNorm: y = g ⊙ x·r with r = 1/√(mean(x²) + ε). Backward: dx = r·(g⊙dy − x·r²·mean(x⊙g⊙dy)),
// dg = Σ_b dy⊙x·r.
#import "shared/reduce.wgsl"
#import "shared/columns.wgsl"
const LANES: u32 = 256u;

struct Params {
    rows: u32,
    width: u32,
    epsilon: f32,
    // 1 if dx is added to an earlier gradient of x.
    add: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

// r of the row that begins at `first`.
fn inverse_norm(first: u32, lane: u32) -> f32 {
    var squares = 0.0;
    for (var c = lane; c < p.width; c += LANES) {
        squares += x[first + c] * x[first + c];
    }
    return 1.0 / sqrt(reduce_sum(lane, squares) / f32(p.width) + p.epsilon);
}

@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + (wid.y + p.first_band) * groups.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.width;
    let inverse = inverse_norm(first, lane);
    for (var c = lane; c < p.width; c += LANES) {
        y[first + c] = x[first + c] * inverse * weight[c];
    }
}

@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> earlier: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> inverses: array<f32>;

@compute @workgroup_size(256)
fn input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = wid.x + (wid.y + p.first_band) * groups.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.width;
    let inverse = inverse_norm(first, lane);
    var product = 0.0;
    for (var c = lane; c < p.width; c += LANES) {
        product += x[first + c] * (weight[c] * dy[first + c]);
    }
    let projection = inverse * inverse * reduce_sum(lane, product) / f32(p.width);
    for (var c = lane; c < p.width; c += LANES) {
        let gradient = inverse * (weight[c] * dy[first + c] - x[first + c] * projection);
        dx[first + c] = select(gradient, earlier[first + c] + gradient, p.add != 0u);
    }
    if lane == 0u {
        inverses[row] = inverse;
    }
}

@group(0) @binding(2) var<storage, read> upstream: array<f32>;
@group(0) @binding(3) var<storage, read_write> saved_inverses: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_gain: array<f32>;

@compute @workgroup_size(256)
fn gain(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = (wid.x + (wid.y + p.first_band) * groups.x) * COLUMNS + lane % COLUMNS;
    var sum = 0.0;
    if column < p.width {
        for (var row = lane / COLUMNS; row < p.rows; row += ROW_LANES) {
            sum += upstream[row * p.width + column] * x[row * p.width + column] * saved_inverses[row];
        }
    }
    let total = column_sum(lane, sum);
    if lane < COLUMNS && column < p.width {
        d_gain[column] += total;
    }
}
