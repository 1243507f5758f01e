// A product by cooperative matrices of SIZE × SIZE, with sums in f32: a workgroup computes TILE × TILE of the
// result, STEP of k, the index that it sums over, at a time. The tile has four parts of 4 × 4 matrices, and a subgroup
// computes a part: 16 multiplications for each eight matrices that it loads. Factors are 16 × 16 in f16, 8 × 8 in
// f16 (small), or 8 × 8 in f32 (full).
//
// A part needs a whole subgroup, so the workgroup has four subgroups of the largest size that the driver states: up to
// 32 lanes, or up to 64 (wave64). If they are smaller, wave64 has two subgroups for a part, each of which sums half of
// k; further subgroups repeat the work of another, since all must take part.
enable wgpu_cooperative_matrix;
#if full
alias Factor = f32;
alias Left = coop_mat8x8<f32, A>;
alias Right = coop_mat8x8<f32, B>;
alias Sum = coop_mat8x8<f32, C>;
const SIZE: u32 = 8u;
// Padding of rows, so that they begin on different banks.
const PAD: u32 = 4u;
#else
enable f16;
alias Factor = f16;
const PAD: u32 = 8u;
#if small
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
const SIZE: u32 = 8u;
#else
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;
const SIZE: u32 = 16u;
#endif
#endif
alias Sums = array<Sum, 16>;

// Subgroups that the workgroup must have.
const SUBGROUPS: u32 = 4u;
#if wave64
const LANES: u32 = 256u;
// Most subgroups that share a part.
const SLICES: u32 = 2u;
#else
const LANES: u32 = 128u;
const SLICES: u32 = 1u;
#endif
const PART: u32 = 4u * SIZE;
const TILE: u32 = 8u * SIZE;
const STEP: u32 = 32u;
// Elements from one row of the left tile, or column of the right tile, to the next. Their k are contiguous, as matrix
// units take them: in the other order, an AMD GPU loads every element by itself.
const PITCH: u32 = STEP + PAD;
// Quads of a matrix: four neighbouring columns of a row.
const QUADS: u32 = SIZE * SIZE / 4u;

var<workgroup> tile_left: array<Factor, TILE * PITCH>;
var<workgroup> tile_right: array<Factor, TILE * PITCH>;
// A matrix of each part, of each slice of k.
var<workgroup> stage: array<f32, SLICES * 4u * SIZE * SIZE>;
#if wave64
var<workgroup> shared_slices: u32;
#endif

// The work of a subgroup: its part begins at row `down` and column `right` of the tile, and it sums each `slices`-th
// matrix along k, from `slice` on.
struct Share {
    part: u32,
    down: u32,
    right: u32,
    slice: u32,
    slices: u32,
}

// The work of a subgroup; uniform control flow only.
fn share_of(lane: u32, subgroup: u32, subgroups: u32) -> Share {
    let part = subgroup % 4u;
#if wave64
    if lane == 0u {
        shared_slices = clamp(subgroups / 4u, 1u, SLICES);
    }
    let slices = workgroupUniformLoad(&shared_slices);
#else
    let slices = 1u;
#endif
    return Share(part, part / 2u * PART, part % 2u * PART, subgroup / 4u % slices, slices);
}

// Adds the products of the tiles to the sums of a subgroup, which are row by row.
fn multiply_tiles(sums: ptr<function, Sums>, share: Share) {
    for (var n = 0u; n < STEP / SIZE / share.slices; n++) {
        let k = (n * share.slices + share.slice) * SIZE;
        let a0 = coopLoadT<Left>(&tile_left[share.down * PITCH + k], PITCH);
        let a1 = coopLoadT<Left>(&tile_left[(share.down + SIZE) * PITCH + k], PITCH);
        let a2 = coopLoadT<Left>(&tile_left[(share.down + 2u * SIZE) * PITCH + k], PITCH);
        let a3 = coopLoadT<Left>(&tile_left[(share.down + 3u * SIZE) * PITCH + k], PITCH);
        let b0 = coopLoad<Right>(&tile_right[share.right * PITCH + k], PITCH);
        (*sums)[0] = coopMultiplyAdd(a0, b0, (*sums)[0]);
        (*sums)[4] = coopMultiplyAdd(a1, b0, (*sums)[4]);
        (*sums)[8] = coopMultiplyAdd(a2, b0, (*sums)[8]);
        (*sums)[12] = coopMultiplyAdd(a3, b0, (*sums)[12]);
        let b1 = coopLoad<Right>(&tile_right[(share.right + SIZE) * PITCH + k], PITCH);
        (*sums)[1] = coopMultiplyAdd(a0, b1, (*sums)[1]);
        (*sums)[5] = coopMultiplyAdd(a1, b1, (*sums)[5]);
        (*sums)[9] = coopMultiplyAdd(a2, b1, (*sums)[9]);
        (*sums)[13] = coopMultiplyAdd(a3, b1, (*sums)[13]);
        let b2 = coopLoad<Right>(&tile_right[(share.right + 2u * SIZE) * PITCH + k], PITCH);
        (*sums)[2] = coopMultiplyAdd(a0, b2, (*sums)[2]);
        (*sums)[6] = coopMultiplyAdd(a1, b2, (*sums)[6]);
        (*sums)[10] = coopMultiplyAdd(a2, b2, (*sums)[10]);
        (*sums)[14] = coopMultiplyAdd(a3, b2, (*sums)[14]);
        let b3 = coopLoad<Right>(&tile_right[(share.right + 3u * SIZE) * PITCH + k], PITCH);
        (*sums)[3] = coopMultiplyAdd(a0, b3, (*sums)[3]);
        (*sums)[7] = coopMultiplyAdd(a1, b3, (*sums)[7]);
        (*sums)[11] = coopMultiplyAdd(a2, b3, (*sums)[11]);
        (*sums)[15] = coopMultiplyAdd(a3, b3, (*sums)[15]);
    }
}

// Stores a matrix of each part; uniform control flow only.
fn stage_sum(sum: Sum, share: Share) {
    workgroupBarrier();
    coopStoreT(sum, &stage[(share.slice * 4u + share.part) * SIZE * SIZE], SIZE);
    workgroupBarrier();
}

// A quad of the staged matrices, which are those of the four parts in order.
fn staged(i: u32, share: Share) -> vec4<f32> {
    let value = vec4(stage[4u * i], stage[4u * i + 1u], stage[4u * i + 2u], stage[4u * i + 3u]);
#if wave64
    if share.slices > 1u {
        let far = 4u * (i + 4u * QUADS);
        return value + vec4(stage[far], stage[far + 1u], stage[far + 2u], stage[far + 3u]);
    }
#endif
    return value;
}

// Row and column in the tile of a quad of the staged matrices, which are those at row `down` and column `right`,
// counted in matrices, of their parts.
fn staged_at(i: u32, down: u32, right: u32) -> vec2<u32> {
    let part = i / QUADS;
    let row = part / 2u * PART + down * SIZE + i % QUADS / (SIZE / 4u);
    return vec2(row, part % 2u * PART + right * SIZE + i % (SIZE / 4u) * 4u);
}
