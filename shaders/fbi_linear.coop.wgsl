#variants wave64 small full
// The products of FBI-Linear (see fbi_linear.wgsl) with cooperative matrices. The number of inputs, and of outputs of
// each layer, is a multiple of four. Of W̃ = ±α + β, the matrices hold ±α, or ±1 backward; sums are in f32, and β is
// added in f32: Σ_i β[i]·x[i] to the outputs of a token, and β·Σ_o dy to dx. A dy that is too large for f16 becomes
// infinite, which the training guard detects; the loss scale keeps it from becoming 0.
#import "shared/cooperative.wgsl"
#import "shared/fbi_linear.params.wgsl"

alias FactorQuad = vec4<Factor>;

// `rows` and `columns` are those of the sign matrix: (out, in) forward, (in, out) backward.
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> signs: array<u32>;
@group(0) @binding(3) var<storage, read> alpha: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> residual: array<vec4<f32>>;

// Lanes that load a row of a tile, eight k each, and rows that are loaded at once: a lane loads up to four.
const ACROSS: u32 = STEP / 8u;
const ROWS: u32 = LANES / ACROSS;
// Σ β·x, or Σ dy, of each layer in the tile and each token.
var<workgroup> totals: array<f32, 3u * TILE>;
// The bits of the largest |α| of each layer.
var<workgroup> largest: array<atomic<u32>, 3>;

// Adds `value` to the n-th of a lane's sums.
fn add_to(sums: vec4<f32>, n: u32, value: f32) -> vec4<f32> {
    return sums + select(vec4<f32>(), vec4(value), vec4(n) == vec4(0u, 1u, 2u, 3u));
}

// Stores the totals of the n-th layer in the tile, from each lane's sums of its rows; uniform control flow only.
fn store_totals(lane: u32, layer: u32, sums: vec4<f32>) {
    workgroupBarrier();
    for (var n = 0u; n < TILE / ROWS; n++) {
        stage[n * LANES + lane] = sums[n];
    }
    workgroupBarrier();
    if lane < TILE {
        let at = lane * ACROSS;
        totals[layer * TILE + lane] = stage[at] + stage[at + 1u] + stage[at + 2u] + stage[at + 3u];
    }
    workgroupBarrier();
}

// Four columns of a token of x; 0 before column `first` and from `end` on. In `input`, dy is bound as `x`.
fn x_quad(token: u32, column: u32, first: u32, end: u32) -> vec4<f32> {
    if token < p.tokens && column >= first && column < end {
        return x[(token * p.columns + column) / 4u];
    }
    return vec4<f32>();
}

// The signs of eight columns of a row, in the low bits; `column` is a multiple of eight. Past the edges they are
// arbitrary: x is 0 there, or the result is not stored.
fn sign_bits(row: u32, column: u32) -> u32 {
    let at = min(row, p.rows - 1u) * p.row_words + min(column / 32u, p.row_words - 1u);
    return signs[at] >> (column & 31u);
}

// ± `values`, by four bits.
fn signed(values: FactorQuad, bits: u32) -> FactorQuad {
    return select(-values, values, (vec4(bits) & vec4(1u, 2u, 4u, 8u)) != vec4<u32>());
}

fn put_left_quad(at: u32, values: FactorQuad) {
    tile_left[at] = values.x;
    tile_left[at + 1u] = values.y;
    tile_left[at + 2u] = values.z;
    tile_left[at + 3u] = values.w;
}

fn put_right_quad(at: u32, values: FactorQuad) {
    tile_right[at] = values.x;
    tile_right[at + 1u] = values.y;
    tile_right[at + 2u] = values.z;
    tile_right[at + 3u] = values.w;
}

// The layer of a row of the sign matrix, forward.
fn layer_of(row: u32) -> u32 {
    return u32(row >= p.second_layer && p.second_layer < p.rows) + u32(row >= p.third_layer && p.third_layer < p.rows);
}

// Finds the largest |α| of some layers; uniform control flow only.
fn find_largest(lane: u32, first: u32, last: u32) {
    if lane < 3u {
        atomicStore(&largest[lane], 0u);
    }
    workgroupBarrier();
    for (var layer = first; layer <= last; layer++) {
        var bits = 0u;
        for (var i = lane * 4u; i < p.columns; i += LANES * 4u) {
            let size = bitcast<vec4<u32>>(alpha[(layer * p.columns + i) / 4u]) & vec4(0x7fffffffu);
            bits = max(max(bits, max(size.x, size.y)), max(size.z, size.w));
        }
        atomicMax(&largest[layer], bits);
    }
    workgroupBarrier();
}

// A power of two that brings a layer's largest |α| to at least 2¹⁴ and below 2¹⁵, and its inverse. So no α is too
// large for f16, and only one below 2⁻²⁸ of the largest is not a normal f16.
fn alpha_scale(layer: u32) -> vec2<f32> {
    let exponent = atomicLoad(&largest[layer]) >> 23u;
    if exponent == 0u || exponent == 255u {
        return vec2(1.0);
    }
    let up = min(268u - exponent, 227u);
    return vec2(bitcast<f32>(up << 23u), bitcast<f32>((254u - up) << 23u));
}

fn scaled_alpha(layer: u32, column: u32, scale: f32) -> FactorQuad {
    return FactorQuad(alpha[(layer * p.columns + min(column, p.columns - 4u)) / 4u] * scale);
}

// β·x of eight columns of a layer.
fn beta_dot(layer: u32, column: u32, near: vec4<f32>, far: vec4<f32>) -> f32 {
    let row = layer * p.columns;
    let last = p.columns - 4u;
    return dot(beta[(row + min(column, last)) / 4u], near) + dot(beta[(row + min(column + 4u, last)) / 4u], far);
}

// Stores the quads of a staged matrix of each part, with β's sums.
fn store_y(lane: u32, share: Share, token: u32, row: u32, first: u32, down: u32, right: u32) {
    for (var i = lane; i < 4u * QUADS; i += LANES) {
        let place = staged_at(i, down, right);
        let t = token + place.x;
        let o = row + place.y;
        if t < p.tokens && o < p.rows {
            let layer = layer_of(o);
            let value = staged(i, share) * alpha_scale(layer).y + totals[(layer - first) * TILE + place.x];
            let at = (t * p.rows + o) / 4u;
            if p.add != 0u {
                y[at] = residual[at] + value;
            } else {
                y[at] = value;
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
    let share = share_of(lane, subgroup, subgroups);
    let token = (wid.y + p.first_band) * TILE;
    let row = wid.x * TILE;
    let first = layer_of(row);
    let last = layer_of(min(row + TILE, p.rows) - 1u);
    find_largest(lane, first, last);
    let eighth = lane % ACROSS * 8u;
    var shift0 = vec4<f32>();
    var shift1 = vec4<f32>();
    var shift2 = vec4<f32>();
    var sums = Sums();
    for (var k = 0u; k < p.columns; k += STEP) {
        let column = k + eighth;
        for (var n = 0u; n < TILE / ROWS; n++) {
            let r = n * ROWS + lane / ACROSS;
            let near = x_quad(token + r, column, 0u, p.columns);
            let far = x_quad(token + r, column + 4u, 0u, p.columns);
            put_left_quad(r * PITCH + eighth, FactorQuad(near));
            put_left_quad(r * PITCH + eighth + 4u, FactorQuad(far));
            shift0 = add_to(shift0, n, beta_dot(first, column, near, far));
            if last > first {
                shift1 = add_to(shift1, n, beta_dot(first + 1u, column, near, far));
            }
            if last > first + 1u {
                shift2 = add_to(shift2, n, beta_dot(last, column, near, far));
            }
        }
        var layer = first;
        var scale = alpha_scale(layer).x;
        var near = scaled_alpha(layer, column, scale);
        var far = scaled_alpha(layer, column + 4u, scale);
        for (var r = lane / ACROSS; r < TILE; r += ROWS) {
            let own = min(layer_of(row + r), last);
            if own != layer {
                layer = own;
                scale = alpha_scale(layer).x;
                near = scaled_alpha(layer, column, scale);
                far = scaled_alpha(layer, column + 4u, scale);
            }
            let bits = sign_bits(row + r, column);
            put_right_quad(r * PITCH + eighth, signed(near, bits));
            put_right_quad(r * PITCH + eighth + 4u, signed(far, bits >> 4u));
        }
        workgroupBarrier();
        multiply_tiles(&sums, share);
        workgroupBarrier();
    }
    store_totals(lane, 0u, shift0);
    if last > first {
        store_totals(lane, 1u, shift1);
    }
    if last > first + 1u {
        store_totals(lane, 2u, shift2);
    }
    stage_sum(sums[0], share);
    store_y(lane, share, token, row, first, 0u, 0u);
    stage_sum(sums[1], share);
    store_y(lane, share, token, row, first, 0u, 1u);
    stage_sum(sums[2], share);
    store_y(lane, share, token, row, first, 0u, 2u);
    stage_sum(sums[3], share);
    store_y(lane, share, token, row, first, 0u, 3u);
    stage_sum(sums[4], share);
    store_y(lane, share, token, row, first, 1u, 0u);
    stage_sum(sums[5], share);
    store_y(lane, share, token, row, first, 1u, 1u);
    stage_sum(sums[6], share);
    store_y(lane, share, token, row, first, 1u, 2u);
    stage_sum(sums[7], share);
    store_y(lane, share, token, row, first, 1u, 3u);
    stage_sum(sums[8], share);
    store_y(lane, share, token, row, first, 2u, 0u);
    stage_sum(sums[9], share);
    store_y(lane, share, token, row, first, 2u, 1u);
    stage_sum(sums[10], share);
    store_y(lane, share, token, row, first, 2u, 2u);
    stage_sum(sums[11], share);
    store_y(lane, share, token, row, first, 2u, 3u);
    stage_sum(sums[12], share);
    store_y(lane, share, token, row, first, 3u, 0u);
    stage_sum(sums[13], share);
    store_y(lane, share, token, row, first, 3u, 1u);
    stage_sum(sums[14], share);
    store_y(lane, share, token, row, first, 3u, 2u);
    stage_sum(sums[15], share);
    store_y(lane, share, token, row, first, 3u, 3u);
}

// Bindings of `input`, the gradient of x, in which `x` above is dy.
@group(0) @binding(5) var<storage, read> layer_input: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>;
// Partial sums of 64 tokens each: first those of dα, then those of dβ. In each half, row layer·chunks + c has the sums
// of a layer over its c-th chunk of 64 tokens.
@group(0) @binding(7) var<storage, read_write> partial: array<vec4<f32>>;

// Partial sums in a tile, and parts below each other that a partial sum has.
const PARTIALS: u32 = TILE / 64u;
const PARTS: u32 = 2u / PARTIALS;

// One layer's contribution to dα and dβ of four columns.
struct ScaleGradients {
    alpha: vec4<f32>,
    beta: vec4<f32>,
}

// Adds one layer's contribution to a quad of dx; the first layer's is stored instead of added. Returns `gradients` with the
// contribution to dα and dβ added. `place` is the quad's row and column in the tile, `i` its place in the staged
// matrices.
fn add_quad(gradients: ScaleGradients, i: u32, share: Share, token: u32, column: u32, layer: u32, place: vec2<u32>) -> ScaleGradients {
    let t = token + place.x;
    let c = column + place.y;
    if i >= 4u * QUADS || t >= p.tokens || c >= p.rows {
        return gradients;
    }
    let products = staged(i, share);
    let total = totals[place.x];
    let scale = (layer * p.rows + c) / 4u;
    let value = alpha[scale] * products + beta[scale] * total;
    let at = (t * p.rows + c) / 4u;
    if layer == 0u {
        dx[at] = value;
    } else {
        dx[at] += value;
    }
    let own = layer_input[at];
    return ScaleGradients(gradients.alpha + own * products, gradients.beta + own * total);
}

// Stages a quad for `column_sum`.
fn stage_quad(i: u32, value: vec4<f32>) {
    if i < 4u * QUADS {
        stage[4u * i] = value.x;
        stage[4u * i + 1u] = value.y;
        stage[4u * i + 2u] = value.z;
        stage[4u * i + 3u] = value.w;
    }
}

// Sums four columns of the staged quads over the rows of a partial sum, in order; `right` is a column of parts, `quad`
// a column of quads in it.
fn column_sum(block: u32, right: u32, quad: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var n = 0u; n < PARTS * SIZE; n++) {
        let part = (block * PARTS + n / SIZE) * 2u + right;
        let at = 4u * (part * QUADS + n % SIZE * (SIZE / 4u) + quad);
        sum += vec4(stage[at], stage[at + 1u], stage[at + 2u], stage[at + 3u]);
    }
    return sum;
}

// The place of a tile of `input`.
struct Tile {
    token: u32,
    column: u32,
    tile_row: u32,
    layer: u32,
    layers: u32,
}

// Stores dx, and the partial sums of dα and dβ, of a column of matrices of each part; uniform control flow only.
fn store_column(lane: u32, share: Share, tile: Tile, s0: Sum, s1: Sum, s2: Sum, s3: Sum, right: u32) {
    var near = ScaleGradients();
    var far = ScaleGradients();
    stage_sum(s0, share);
    near = add_quad(near, lane, share, tile.token, tile.column, tile.layer, staged_at(lane, 0u, right));
    far = add_quad(far, lane + LANES, share, tile.token, tile.column, tile.layer, staged_at(lane + LANES, 0u, right));
    stage_sum(s1, share);
    near = add_quad(near, lane, share, tile.token, tile.column, tile.layer, staged_at(lane, 1u, right));
    far = add_quad(far, lane + LANES, share, tile.token, tile.column, tile.layer, staged_at(lane + LANES, 1u, right));
    stage_sum(s2, share);
    near = add_quad(near, lane, share, tile.token, tile.column, tile.layer, staged_at(lane, 2u, right));
    far = add_quad(far, lane + LANES, share, tile.token, tile.column, tile.layer, staged_at(lane + LANES, 2u, right));
    stage_sum(s3, share);
    near = add_quad(near, lane, share, tile.token, tile.column, tile.layer, staged_at(lane, 3u, right));
    far = add_quad(far, lane + LANES, share, tile.token, tile.column, tile.layer, staged_at(lane + LANES, 3u, right));
    let chunks = (p.tokens + 63u) / 64u;
    // Of a block, the columns of matrices at `right` in both parts beside each other, in quads.
    const WIDTH: u32 = 2u * SIZE / 4u;
    let block = lane / WIDTH;
    let part = lane % WIDTH / (SIZE / 4u);
    let quad = lane % (SIZE / 4u);
    let c = tile.column + part * PART + right * SIZE + quad * 4u;
    let own = tile.tile_row * PARTIALS + block;
    let stored = block < PARTIALS && own < chunks && c < p.rows;
    let place = tile.layer * chunks + own;
    workgroupBarrier();
    stage_quad(lane, near.alpha);
    stage_quad(lane + LANES, far.alpha);
    workgroupBarrier();
    if stored {
        partial[(place * p.rows + c) / 4u] = column_sum(block, part, quad);
    }
    workgroupBarrier();
    stage_quad(lane, near.beta);
    stage_quad(lane + LANES, far.beta);
    workgroupBarrier();
    if stored {
        partial[((tile.layers * chunks + place) * p.rows + c) / 4u] = column_sum(block, part, quad);
    }
}

// Computes dx and the partial sums of dα and dβ, layer by layer, for a tile of tokens × inputs. Rows of the sign
// matrix are inputs here, and columns are outputs.
@compute @workgroup_size(LANES)
fn input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
    let share = share_of(lane, subgroup, subgroups);
    let tile_row = wid.y + p.first_band;
    let token = tile_row * TILE;
    let row = wid.x * TILE;
    let eighth = lane % ACROSS * 8u;
    let one = FactorQuad(1.0);
    let layers = 1u + u32(p.second_layer < p.columns) + u32(p.third_layer < p.columns);
    for (var layer = 0u; layer < layers; layer++) {
        let first = select(0u, select(p.second_layer, p.third_layer, layer == 2u), layer > 0u);
        let end = select(p.columns, select(p.second_layer, p.third_layer, layer == 1u), layer + 1u < layers);
        var seen = vec4<f32>();
        var sums = Sums();
        // From a multiple of 32 on, where a word of signs begins.
        for (var k = first / STEP * STEP; k < end; k += STEP) {
            let column = k + eighth;
            for (var n = 0u; n < TILE / ROWS; n++) {
                let r = n * ROWS + lane / ACROSS;
                let near = x_quad(token + r, column, first, end);
                let far = x_quad(token + r, column + 4u, first, end);
                put_left_quad(r * PITCH + eighth, FactorQuad(near));
                put_left_quad(r * PITCH + eighth + 4u, FactorQuad(far));
                let both = near + far;
                seen = add_to(seen, n, both.x + both.y + both.z + both.w);
                let bits = sign_bits(row + r, column);
                put_right_quad(r * PITCH + eighth, signed(one, bits));
                put_right_quad(r * PITCH + eighth + 4u, signed(one, bits >> 4u));
            }
            workgroupBarrier();
            multiply_tiles(&sums, share);
            workgroupBarrier();
        }
        store_totals(lane, 0u, seen);
        let tile = Tile(token, row, tile_row, layer, layers);
        store_column(lane, share, tile, sums[0], sums[4], sums[8], sums[12], 0u);
        store_column(lane, share, tile, sums[1], sums[5], sums[9], sums[13], 1u);
        store_column(lane, share, tile, sums[2], sums[6], sums[10], sums[14], 2u);
        store_column(lane, share, tile, sums[3], sums[7], sums[11], sums[15], 3u);
        workgroupBarrier();
    }
}

@group(0) @binding(0) var<uniform> w: Weight;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> layer_x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> latent_alpha: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> d_latent: array<vec4<f32>>;

// Four outputs of a token of dy; 0 past the edges.
fn dy_quad(token: u32, o: u32) -> vec4<f32> {
    if token < w.tokens && o < w.outs {
        return dy[(token * w.outs + o) / 4u];
    }
    return vec4<f32>();
}

// Four inputs of a token of x; 0 past the edges.
fn layer_x_quad(token: u32, i: u32) -> vec4<f32> {
    if token < w.tokens && i < w.ins {
        return layer_x[(token * w.ins + i) / 4u];
    }
    return vec4<f32>();
}

// Adds α ⊙ the quads of a staged matrix of each part to the latent weight's gradient.
fn add_latent(lane: u32, share: Share, o: u32, i: u32, down: u32, right: u32) {
    for (var n = lane; n < 4u * QUADS; n += LANES) {
        let place = staged_at(n, down, right);
        let row = o + place.x;
        let column = i + place.y;
        if row < w.end && column < w.ins {
            let layer = u32(row >= w.second_layer) + u32(row >= w.third_layer);
            d_latent[((row - w.first) * w.ins + column) / 4u] += latent_alpha[(layer * w.ins + column) / 4u] * staged(n, share);
        }
    }
}

// Blocks of four tokens in a step.
const BLOCKS: u32 = STEP / 4u;

// Computes the gradient of the latent weight, for a tile of outputs × inputs.
@compute @workgroup_size(LANES)
fn weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
    let share = share_of(lane, subgroup, subgroups);
    let o = w.first + (wid.y + w.first_band) * TILE;
    let i = wid.x * TILE;
    var sums = Sums();
    for (var k = 0u; k < w.tokens; k += STEP) {
        // A lane loads blocks of four tokens by four outputs, or inputs.
        for (var n = lane; n < TILE / 4u * BLOCKS; n += LANES) {
            let t = n % BLOCKS * 4u;
            let quad = n / BLOCKS * 4u;
            let left = transpose(mat4x4(dy_quad(k + t, o + quad), dy_quad(k + t + 1u, o + quad), dy_quad(k + t + 2u, o + quad), dy_quad(k + t + 3u, o + quad)));
            put_left_quad(quad * PITCH + t, FactorQuad(left[0]));
            put_left_quad((quad + 1u) * PITCH + t, FactorQuad(left[1]));
            put_left_quad((quad + 2u) * PITCH + t, FactorQuad(left[2]));
            put_left_quad((quad + 3u) * PITCH + t, FactorQuad(left[3]));
            let right = transpose(mat4x4(layer_x_quad(k + t, i + quad), layer_x_quad(k + t + 1u, i + quad), layer_x_quad(k + t + 2u, i + quad), layer_x_quad(k + t + 3u, i + quad)));
            put_right_quad(quad * PITCH + t, FactorQuad(right[0]));
            put_right_quad((quad + 1u) * PITCH + t, FactorQuad(right[1]));
            put_right_quad((quad + 2u) * PITCH + t, FactorQuad(right[2]));
            put_right_quad((quad + 3u) * PITCH + t, FactorQuad(right[3]));
        }
        workgroupBarrier();
        multiply_tiles(&sums, share);
        workgroupBarrier();
    }
    stage_sum(sums[0], share);
    add_latent(lane, share, o, i, 0u, 0u);
    stage_sum(sums[1], share);
    add_latent(lane, share, o, i, 0u, 1u);
    stage_sum(sums[2], share);
    add_latent(lane, share, o, i, 0u, 2u);
    stage_sum(sums[3], share);
    add_latent(lane, share, o, i, 0u, 3u);
    stage_sum(sums[4], share);
    add_latent(lane, share, o, i, 1u, 0u);
    stage_sum(sums[5], share);
    add_latent(lane, share, o, i, 1u, 1u);
    stage_sum(sums[6], share);
    add_latent(lane, share, o, i, 1u, 2u);
    stage_sum(sums[7], share);
    add_latent(lane, share, o, i, 1u, 3u);
    stage_sum(sums[8], share);
    add_latent(lane, share, o, i, 2u, 0u);
    stage_sum(sums[9], share);
    add_latent(lane, share, o, i, 2u, 1u);
    stage_sum(sums[10], share);
    add_latent(lane, share, o, i, 2u, 2u);
    stage_sum(sums[11], share);
    add_latent(lane, share, o, i, 2u, 3u);
    stage_sum(sums[12], share);
    add_latent(lane, share, o, i, 3u, 0u);
    stage_sum(sums[13], share);
    add_latent(lane, share, o, i, 3u, 1u);
    stage_sum(sums[14], share);
    add_latent(lane, share, o, i, 3u, 2u);
    stage_sum(sums[15], share);
    add_latent(lane, share, o, i, 3u, 3u);
}
