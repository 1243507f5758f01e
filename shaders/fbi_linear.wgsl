// FBI-Linear: y = x·W̃ᵀ with W̃[o,i] = α[i]·s[o,i] + β[i], from the sign bits, for up to three stacked
// layers, each with its own α and β. Backward, for each layer with u = dy·S: dx += α⊙u + β·Σ_o dy,
// dα = Σ_b x⊙u, dβ = Σ_b x·Σ_o dy, and by the straight-through estimator dW = α ⊙ (dyᵀ·x).
#import "shared/tile.wgsl"
#import "shared/sign.wgsl"
#import "shared/linear.wgsl"
#import "shared/fbi_linear.params.wgsl"

// `rows` and `columns` are those of the sign matrix: (out, in) forward, (in, out) backward.
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> signs: array<u32>;
@group(0) @binding(3) var<storage, read> alpha: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// x, or dy in the backward pass, which has the same binding.
fn x_at(token: u32, column: u32) -> f32 {
    if token < p.tokens && column < p.columns {
        return x[token * p.columns + column];
    }
    return 0.0;
}

fn sign_at(row: u32, column: u32) -> f32 {
    if row < p.rows && column < p.columns {
        return sign_of(signs[row * p.row_words + column / 32u], column);
    }
    return 0.0;
}

// Four tokens of one column, and four rows of signs in it.
fn x_quad(token: u32, column: u32) -> vec4<f32> {
    return vec4(x_at(token, column), x_at(token + 1u, column), x_at(token + 2u, column), x_at(token + 3u, column));
}

fn sign_quad(row: u32, column: u32) -> vec4<f32> {
    return vec4(sign_at(row, column), sign_at(row + 1u, column), sign_at(row + 2u, column), sign_at(row + 3u, column));
}

// Offset of α and β of an output's layer.
fn scales_of(row: u32) -> u32 {
    return (u32(row >= p.second_layer && p.second_layer < p.rows) + u32(row >= p.third_layer && p.third_layer < p.rows)) * p.columns;
}

fn scales_quad(row: u32) -> vec4<u32> {
    return vec4(scales_of(row), scales_of(row + 1u), scales_of(row + 2u), scales_of(row + 3u));
}

// Four rows of W̃ in one column; any finite value past the edges, where x is 0.
fn weight_quad(row: u32, column: u32, scales: vec4<u32>) -> vec4<f32> {
    let i = scales + min(column, p.columns - 1u);
    let a = vec4(alpha[i.x], alpha[i.y], alpha[i.z], alpha[i.w]);
    let b = vec4(beta[i.x], beta[i.y], beta[i.z], beta[i.w]);
    return a * sign_quad(row, column) + b;
}

fn store_y(token: u32, row: u32, value: f32) {
    if token < p.tokens && row < p.rows {
        y[token * p.rows + row] = value;
    }
}

fn store_y_quad(token: u32, row: u32, values: vec4<f32>) {
    store_y(token, row, values.x);
    store_y(token, row + 1u, values.y);
    store_y(token, row + 2u, values.z);
    store_y(token, row + 3u, values.w);
}

@group(0) @binding(6) var<storage, read> residual: array<f32>;

fn store_sum(token: u32, row: u32, value: f32) {
    if token < p.tokens && row < p.rows {
        let at = token * p.rows + row;
        y[at] = select(value, residual[at] + value, p.add != 0u);
    }
}

fn store_sum_quad(token: u32, row: u32, values: vec4<f32>) {
    store_sum(token, row, values.x);
    store_sum(token, row + 1u, values.y);
    store_sum(token, row + 2u, values.z);
    store_sum(token, row + 3u, values.w);
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = tile_position(lane, true);
    let token = (wid.y + p.first_band) * TILE;
    let row = wid.x * TILE;
    let right = lane % 16u;
    let down = lane / 16u;
    let scales = scales_quad(row + place.quad * 4u);
    var sums = mat4x4<f32>();
    for (var k = 0u; k < p.columns; k += STEP) {
        tile_left[tile_index(place)] = x_quad(token + place.quad * 4u, k + place.k);
        tile_right[tile_index(place)] = weight_quad(row + place.quad * 4u, k + place.k, scales);
        workgroupBarrier();
        sums = tile_multiply(sums, down, right);
        workgroupBarrier();
    }
    store_sum_quad(token + down * 4u, row + right * 4u, sums[0]);
    store_sum_quad(token + down * 4u + 1u, row + right * 4u, sums[1]);
    store_sum_quad(token + down * 4u + 2u, row + right * 4u, sums[2]);
    store_sum_quad(token + down * 4u + 3u, row + right * 4u, sums[3]);
}

// `few`: 64 lanes share four rows, and each sign word is read once for all (at most 8) tokens.
const FEW_LANES: u32 = 64u;
var<workgroup> few_cells: array<vec4<f32>, 512>;

// Adds the products of four rows and tokens first..first + 4. The conditions are the same for all invocations.
fn add_tokens(sums: mat4x4<f32>, weights: vec4<f32>, first: u32, column: u32) -> mat4x4<f32> {
    var out = sums;
    let at = first * p.columns + column;
    out[0] += x[at] * weights;
    if first + 1u < p.tokens {
        out[1] += x[at + p.columns] * weights;
    }
    if first + 2u < p.tokens {
        out[2] += x[at + 2u * p.columns] * weights;
    }
    if first + 3u < p.tokens {
        out[3] += x[at + 3u * p.columns] * weights;
    }
    return out;
}

fn store_lane_sums(lane: u32, first: u32, sums: mat4x4<f32>) {
    few_cells[first * FEW_LANES + lane] = sums[0];
    few_cells[(first + 1u) * FEW_LANES + lane] = sums[1];
    few_cells[(first + 2u) * FEW_LANES + lane] = sums[2];
    few_cells[(first + 3u) * FEW_LANES + lane] = sums[3];
}

// Sums the lanes of every token, in a fixed order.
fn fold_lanes(lane: u32) {
    for (var width = FEW_LANES / 2u; width > 0u; width >>= 1u) {
        workgroupBarrier();
        if lane < width {
            for (var token = 0u; token < p.tokens; token++) {
                few_cells[token * FEW_LANES + lane] += few_cells[token * FEW_LANES + lane + width];
            }
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(64)
fn few(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (wid.x + (wid.y + p.first_band) * groups.x) * 4u;
    if row >= p.rows {
        return;
    }
    let scales = scales_quad(row);
    var low = mat4x4<f32>();
    var high = mat4x4<f32>();
    for (var column = lane; column < p.columns; column += FEW_LANES) {
        let weights = weight_quad(row, column, scales);
        low = add_tokens(low, weights, 0u, column);
        if p.tokens > 4u {
            high = add_tokens(high, weights, 4u, column);
        }
    }
    store_lane_sums(lane, 0u, low);
    store_lane_sums(lane, 4u, high);
    fold_lanes(lane);
    if lane < p.tokens {
        store_y_quad(lane, row, few_cells[lane * FEW_LANES]);
    }
}

// Bindings of `input`, the gradient of x, in which `x` above is dy.
@group(0) @binding(5) var<storage, read> layer_input: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
// Partial sums of 64 tokens each: first those of dα, then those of dβ. In each half, row layer·chunks + c has the sums
// of a layer over its c-th chunk of 64 tokens.
@group(0) @binding(7) var<storage, read_write> partial: array<f32>;

// Adds one layer's part of four columns of dx; the first layer sets them.
fn add_dx(token: u32, i: u32, layer: u32, products: vec4<f32>, total: f32) {
    for (var n = 0u; n < 4u; n++) {
        if token < p.tokens && i + n < p.rows {
            let scale = layer * p.rows + i + n;
            let share = alpha[scale] * products[n] + beta[scale] * total;
            let at = token * p.rows + i + n;
            if layer == 0u {
                dx[at] = share;
            } else {
                dx[at] += share;
            }
        }
    }
}

// Four columns of x of one token, 0 past the edges.
fn input_quad(token: u32, i: u32) -> vec4<f32> {
    var quad = vec4<f32>();
    for (var n = 0u; n < 4u; n++) {
        if token < p.tokens && i + n < p.rows {
            quad[n] = layer_input[token * p.rows + i + n];
        }
    }
    return quad;
}

// Σ_o dy of four tokens, from `seen`, each lane's sum of the elements of dy that it loaded.
fn token_totals(place: TilePosition, seen: vec4<f32>, quad: u32) -> vec4<f32> {
    tile_left[tile_index(place)] = seen;
    workgroupBarrier();
    var total = vec4<f32>();
    for (var k = 0u; k < STEP; k++) {
        total += tile_left[k * PITCH + quad];
    }
    return total;
}

// Sums a layer's dα and dβ over the 16 token quads of the tile, in order.
fn store_partial(lane: u32, row: u32, place: u32, dbeta_at: u32, dalpha: vec4<f32>, dbeta: vec4<f32>) {
    workgroupBarrier();
    tile_left[lane] = dalpha;
    tile_right[lane] = dbeta;
    workgroupBarrier();
    if lane < 16u {
        var a = vec4<f32>();
        var b = vec4<f32>();
        for (var quad = 0u; quad < 16u; quad++) {
            a += tile_left[quad * 16u + lane];
            b += tile_right[quad * 16u + lane];
        }
        for (var n = 0u; n < 4u; n++) {
            let i = row + lane * 4u + n;
            if i < p.rows {
                partial[place * p.rows + i] = a[n];
                partial[(dbeta_at + place) * p.rows + i] = b[n];
            }
        }
    }
    workgroupBarrier();
}

// Computes dx and the partial sums of dα and dβ, layer by layer, for 64 tokens × 64 inputs per workgroup.
// Rows of the sign matrix are inputs here, and columns are outputs.
@compute @workgroup_size(256)
fn input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = tile_position(lane, true);
    let right = lane % 16u;
    let down = lane / 16u;
    // Row of tiles of the whole product, which may be split into several dispatches.
    let tile_row = wid.y + p.first_band;
    let t = tile_row * TILE + down * 4u;
    let i = wid.x * TILE + right * 4u;
    let layers = 1u + u32(p.second_layer < p.columns) + u32(p.third_layer < p.columns);
    for (var layer = 0u; layer < layers; layer++) {
        let first = select(0u, select(p.second_layer, p.third_layer, layer == 2u), layer > 0u);
        let end = select(p.columns, select(p.second_layer, p.third_layer, layer == 1u), layer + 1u < layers);
        var seen = vec4<f32>();
        var sums = mat4x4<f32>();
        for (var k = first; k < end; k += STEP) {
            var quad = vec4<f32>();
            if k + place.k < end {
                quad = x_quad(tile_row * TILE + place.quad * 4u, k + place.k);
            }
            seen += quad;
            tile_left[tile_index(place)] = quad;
            tile_right[tile_index(place)] = sign_quad(wid.x * TILE + place.quad * 4u, k + place.k);
            workgroupBarrier();
            sums = tile_multiply(sums, down, right);
            workgroupBarrier();
        }
        let totals = token_totals(place, seen, down);
        var dalpha = vec4<f32>();
        var dbeta = vec4<f32>();
        for (var n = 0u; n < 4u; n++) {
            add_dx(t + n, i, layer, sums[n], totals[n]);
            let values = input_quad(t + n, i);
            dalpha += values * sums[n];
            dbeta += values * totals[n];
        }
        let chunks = (p.tokens + TILE - 1u) / TILE;
        store_partial(lane, wid.x * TILE, layer * chunks + tile_row, layers * chunks, dalpha, dbeta);
    }
}

struct Scales {
    layers: u32,
    chunks: u32,
    width: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}

@group(0) @binding(0) var<uniform> scaled: Scales;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> d_alpha: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_beta: array<f32>;

// Sums the partial sums of one column of one layer per invocation.
@compute @workgroup_size(256)
fn scales(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear(wid, groups, scaled.first_band, lane);
    if i >= scaled.layers * scaled.width {
        return;
    }
    let half = scaled.layers * scaled.chunks * scaled.width;
    let first = i / scaled.width * scaled.chunks * scaled.width + i % scaled.width;
    var da = 0.0;
    var db = 0.0;
    for (var chunk = 0u; chunk < scaled.chunks; chunk++) {
        da += partials[first + chunk * scaled.width];
        db += partials[half + first + chunk * scaled.width];
    }
    d_alpha[i] += da;
    d_beta[i] += db;
}

@group(0) @binding(0) var<uniform> w: Weight;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> layer_x: array<f32>;
@group(0) @binding(3) var<storage, read> latent_alpha: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_latent: array<f32>;

fn dy_at(token: u32, o: u32) -> f32 {
    if token < w.tokens && o < w.outs {
        return dy[token * w.outs + o];
    }
    return 0.0;
}

fn layer_x_at(token: u32, i: u32) -> f32 {
    if token < w.tokens && i < w.ins {
        return layer_x[token * w.ins + i];
    }
    return 0.0;
}

fn add_latent(o: u32, i: u32, sum: f32) {
    if o < w.end && i < w.ins {
        let layer = u32(o >= w.second_layer) + u32(o >= w.third_layer);
        d_latent[(o - w.first) * w.ins + i] += latent_alpha[layer * w.ins + i] * sum;
    }
}

fn add_latent_quad(o: u32, i: u32, sums: vec4<f32>) {
    add_latent(o, i, sums.x);
    add_latent(o, i + 1u, sums.y);
    add_latent(o, i + 2u, sums.z);
    add_latent(o, i + 3u, sums.w);
}

@compute @workgroup_size(256)
fn weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = tile_position(lane, false);
    let right = lane % 16u;
    let down = lane / 16u;
    let tile_row = wid.y + w.first_band;
    let o = w.first + tile_row * TILE + place.quad * 4u;
    let i = wid.x * TILE + place.quad * 4u;
    var sums = mat4x4<f32>();
    for (var k = 0u; k < w.tokens; k += STEP) {
        let t = k + place.k;
        tile_left[tile_index(place)] = vec4(dy_at(t, o), dy_at(t, o + 1u), dy_at(t, o + 2u), dy_at(t, o + 3u));
        tile_right[tile_index(place)] = vec4(layer_x_at(t, i), layer_x_at(t, i + 1u), layer_x_at(t, i + 2u), layer_x_at(t, i + 3u));
        workgroupBarrier();
        sums = tile_multiply(sums, down, right);
        workgroupBarrier();
    }
    let row = w.first + tile_row * TILE + down * 4u;
    let column = wid.x * TILE + right * 4u;
    add_latent_quad(row, column, sums[0]);
    add_latent_quad(row + 1u, column, sums[1]);
    add_latent_quad(row + 2u, column, sums[2]);
    add_latent_quad(row + 3u, column, sums[3]);
}
