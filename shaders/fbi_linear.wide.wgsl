// The products of FBI-Linear (see fbi_linear.wgsl) in tiles of 128 × 128. A quad is four
// neighbouring elements. The number of inputs, and of outputs of each layer, is a multiple of four, so a quad
// belongs to one layer, and its signs to one word.
#import "shared/wide.wgsl"
#import "shared/sign.wgsl"
#import "shared/fbi_linear.params.wgsl"

alias Quad = vec4<f32>;

// `rows` and `columns` are those of the sign matrix: (out, in) forward, (in, out) backward.
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> signs: array<u32>;
@group(0) @binding(3) var<storage, read> alpha: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> residual: array<vec4<f32>>;

// Four columns of a token of x; 0 from column `end` on. In `input`, dy is bound as `x`.
fn x_quad(token: u32, column: u32, end: u32) -> vec4<f32> {
    if token < p.tokens && column < end {
        return x[(token * p.columns + column) / 4u];
    }
    return vec4<f32>();
}

// x of four tokens at four columns k, the index that a product sums over. Each column vector of the mat4x4 is one
// k, for all four tokens.
fn x_block(token: u32, k: u32, end: u32) -> mat4x4<f32> {
    return transpose(mat4x4(x_quad(token, k, end), x_quad(token + 1u, k, end), x_quad(token + 2u, k, end), x_quad(token + 3u, k, end)));
}

// Four signs of a row. Past the edges they are arbitrary: x is 0 there, or the result is not stored.
fn sign_quad(row: u32, column: u32) -> vec4<f32> {
    let at = min(row, p.rows - 1u) * p.row_words + min(column / 32u, p.row_words - 1u);
    return signs_of(signs[at], column);
}

// Signs of four rows at four columns k. Each column vector of the mat4x4 is one k, for all four rows.
fn sign_block(row: u32, k: u32) -> mat4x4<f32> {
    return transpose(mat4x4(sign_quad(row, k), sign_quad(row + 1u, k), sign_quad(row + 2u, k), sign_quad(row + 3u, k)));
}

// Four rows of W̃ by four columns (k).
fn weight_block(row: u32, k: u32) -> mat4x4<f32> {
    let layer = u32(row >= p.second_layer && p.second_layer < p.rows) + u32(row >= p.third_layer && p.third_layer < p.rows);
    let at = (layer * p.columns + min(k, p.columns - 4u)) / 4u;
    let a = alpha[at];
    let b = beta[at];
    let signs = sign_block(row, k);
    return mat4x4(a.x * signs[0] + b.x, a.y * signs[1] + b.y, a.z * signs[2] + b.z, a.w * signs[3] + b.w);
}

fn store_sum(token: u32, row: u32, value: vec4<f32>) {
    if token < p.tokens && row < p.rows {
        let at = (token * p.rows + row) / 4u;
        if p.add != 0u {
            y[at] = residual[at] + value;
        } else {
            y[at] = value;
        }
    }
}

fn store_sums(token: u32, row: u32, block: mat4x4<f32>) {
    store_sum(token, row, block[0]);
    store_sum(token + 1u, row, block[1]);
    store_sum(token + 2u, row, block[2]);
    store_sum(token + 3u, row, block[3]);
}

// The first 128 invocations load x, the others compute weights. Four neighbouring invocations load four columns (k)
// each, of the same four rows.
@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quad = lane % 128u / 4u;
    let k_offset = lane % 4u * 4u;
    let right = lane % 16u;
    let down = lane / 16u;
    // Row of tiles of the whole product, which may be split into several dispatches.
    let tile_row = wid.y + p.first_band;
    var sums = Sums();
    for (var k = 0u; k < p.columns; k += STEP) {
        if lane < 128u {
            fill_left(quad, k_offset, x_block(tile_row * TILE + quad * 4u, k + k_offset, p.columns));
        } else {
            fill_right(quad, k_offset, weight_block(wid.x * TILE + quad * 4u, k + k_offset));
        }
        workgroupBarrier();
        sums = multiply(sums, down, right);
        workgroupBarrier();
    }
    let token = tile_row * TILE + down * 4u;
    let row = wid.x * TILE + right * 4u;
    store_sums(token, row, sums.near);
    store_sums(token, row + 64u, sums.right);
    store_sums(token + 64u, row, sums.below);
    store_sums(token + 64u, row + 64u, sums.far);
}

// Bindings of `input`, the gradient of x, in which `x` above is dy.
@group(0) @binding(5) var<storage, read> layer_input: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>;
// Partial sums of 64 tokens each: first those of dα, then those of dβ. In each half, row layer·chunks + c has the sums
// of a layer over its c-th chunk of 64 tokens.
@group(0) @binding(7) var<storage, read_write> partial: array<vec4<f32>>;

// Sums over some tokens for one layer's dα and dβ, at four inputs.
struct ScaleGradients {
    alpha: vec4<f32>,
    beta: vec4<f32>,
}

// Adds one layer's contribution to four columns of a token's dx; the first layer's is stored instead of added.
// Returns `gradients` with the token's contribution to dα and dβ added.
fn add_token(gradients: ScaleGradients, token: u32, i: u32, layer: u32, products: vec4<f32>, total: f32) -> ScaleGradients {
    if token >= p.tokens || i >= p.rows {
        return gradients;
    }
    let scale = (layer * p.rows + i) / 4u;
    let contribution = alpha[scale] * products + beta[scale] * total;
    let at = (token * p.rows + i) / 4u;
    if layer == 0u {
        dx[at] = contribution;
    } else {
        dx[at] += contribution;
    }
    let value = layer_input[at];
    return ScaleGradients(gradients.alpha + value * products, gradients.beta + value * total);
}

fn add_tokens(token: u32, i: u32, layer: u32, block: mat4x4<f32>, totals: vec4<f32>) -> ScaleGradients {
    var gradients = ScaleGradients();
    gradients = add_token(gradients, token, i, layer, block[0], totals.x);
    gradients = add_token(gradients, token + 1u, i, layer, block[1], totals.y);
    gradients = add_token(gradients, token + 2u, i, layer, block[2], totals.z);
    return add_token(gradients, token + 3u, i, layer, block[3], totals.w);
}

// Sums a layer's dα and dβ over 64 tokens (16 quads), in a fixed order, and stores the sums in `partial`: dα in row
// `chunk_row`, dβ `half` rows further down. `left` are the sums of the invocation's four columns, `right` of the four
// that are 64 columns further.
fn store_partial(lane: u32, first: u32, chunk_row: u32, half: u32, left: ScaleGradients, right: ScaleGradients) {
    workgroupBarrier();
    let at = lane / 16u * QUADS + lane % 16u;
    tile_left[at] = left.alpha;
    tile_left[at + 16u] = right.alpha;
    tile_right[at] = left.beta;
    tile_right[at + 16u] = right.beta;
    workgroupBarrier();
    let i = first + lane * 4u;
    if lane < QUADS && i < p.rows {
        var a = vec4<f32>();
        var b = vec4<f32>();
        for (var quad = 0u; quad < 16u; quad++) {
            a += tile_left[quad * QUADS + lane];
            b += tile_right[quad * QUADS + lane];
        }
        partial[(chunk_row * p.rows + i) / 4u] = a;
        partial[((half + chunk_row) * p.rows + i) / 4u] = b;
    }
}

// Σ_o dy of four tokens: each token's sum over the four lanes that loaded it.
fn token_totals(quad: u32) -> vec4<f32> {
    return tile_left[quad * 4u] + tile_left[quad * 4u + 1u] + tile_left[quad * 4u + 2u] + tile_left[quad * 4u + 3u];
}

// Computes dx and the partial sums of dα and dβ, layer by layer, for 128 tokens × 128 inputs per workgroup.
// Rows of the sign matrix are inputs here, and columns are outputs.
@compute @workgroup_size(256)
fn input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quad = lane % 128u / 4u;
    let k_offset = lane % 4u * 4u;
    let right = lane % 16u;
    let down = lane / 16u;
    let tile_row = wid.y + p.first_band;
    let t = tile_row * TILE + down * 4u;
    let i = wid.x * TILE + right * 4u;
    let layers = 1u + u32(p.second_layer < p.columns) + u32(p.third_layer < p.columns);
    let chunks = (p.tokens + 63u) / 64u;
    for (var layer = 0u; layer < layers; layer++) {
        let layer_start = select(0u, select(p.second_layer, p.third_layer, layer == 2u), layer > 0u);
        let layer_end = select(p.columns, select(p.second_layer, p.third_layer, layer == 1u), layer + 1u < layers);
        // Sums of the elements of dy that this invocation loads, one for each token.
        var dy_sums = vec4<f32>();
        var sums = Sums();
        for (var k = layer_start; k < layer_end; k += STEP) {
            if lane < 128u {
                let block = x_block(tile_row * TILE + quad * 4u, k + k_offset, layer_end);
                dy_sums += block[0] + block[1] + block[2] + block[3];
                fill_left(quad, k_offset, block);
            } else {
                fill_right(quad, k_offset, sign_block(wid.x * TILE + quad * 4u, k + k_offset));
            }
            workgroupBarrier();
            sums = multiply(sums, down, right);
            workgroupBarrier();
        }
        if lane < 128u {
            tile_left[lane] = dy_sums;
        }
        workgroupBarrier();
        let above = token_totals(down);
        let below = token_totals(down + 16u);
        let chunk_row = layer * chunks + tile_row * 2u;
        store_partial(lane, wid.x * TILE, chunk_row, layers * chunks, add_tokens(t, i, layer, sums.near, above), add_tokens(t, i + 64u, layer, sums.right, above));
        let near = add_tokens(t + 64u, i, layer, sums.below, below);
        let far = add_tokens(t + 64u, i + 64u, layer, sums.far, below);
        if tile_row * 2u + 1u < chunks {
            store_partial(lane, wid.x * TILE, chunk_row + 1u, layers * chunks, near, far);
        }
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

// Adds α ⊙ `block` to the latent weight's gradient. `block` is dyᵀ·x of four outputs, which belong to one
// layer, and four inputs.
fn add_latent(o: u32, i: u32, block: mat4x4<f32>) {
    if o < w.end && i < w.ins {
        let layer = u32(o >= w.second_layer) + u32(o >= w.third_layer);
        let scale = latent_alpha[(layer * w.ins + i) / 4u];
        let at = ((o - w.first) * w.ins + i) / 4u;
        let row = w.ins / 4u;
        d_latent[at] += scale * block[0];
        d_latent[at + row] += scale * block[1];
        d_latent[at + 2u * row] += scale * block[2];
        d_latent[at + 3u * row] += scale * block[3];
    }
}

// Computes the gradient of the latent weight, 128 outputs × 128 inputs per workgroup. The first 128
// invocations load dy, the others x; neighbouring invocations load consecutive outputs of dy, and inputs of x.
@compute @workgroup_size(256)
fn weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quad = lane % QUADS;
    let k_offset = lane % 128u / QUADS * 4u;
    let right = lane % 16u;
    let down = lane / 16u;
    let tile_row = wid.y + w.first_band;
    var sums = Sums();
    for (var k = 0u; k < w.tokens; k += STEP) {
        let t = k + k_offset;
        if lane < 128u {
            let o = w.first + tile_row * TILE + quad * 4u;
            fill_left(quad, k_offset, mat4x4(dy_quad(t, o), dy_quad(t + 1u, o), dy_quad(t + 2u, o), dy_quad(t + 3u, o)));
        } else {
            let i = wid.x * TILE + quad * 4u;
            fill_right(quad, k_offset, mat4x4(layer_x_quad(t, i), layer_x_quad(t + 1u, i), layer_x_quad(t + 2u, i), layer_x_quad(t + 3u, i)));
        }
        workgroupBarrier();
        sums = multiply(sums, down, right);
        workgroupBarrier();
    }
    let o = w.first + tile_row * TILE + down * 4u;
    let i = wid.x * TILE + right * 4u;
    add_latent(o, i, sums.near);
    add_latent(o, i + 64u, sums.right);
    add_latent(o + 64u, i, sums.below);
    add_latent(o + 64u, i + 64u, sums.far);
}
