// The operands of a dense product whose row lengths are multiples of four: a quad in memory is four k of
// a row of a (column of b), or four rows (columns) of a k. Blocks are 4 × 4, and 0 past the edges. In the
// f16 variant b is stored as (n, k) in halves.
#import "shared/matmul.params.wgsl"

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;

// Four rows of a by four k: a column of the block is a k.
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    if p.a_col == 1u {
        if k < p.k {
            let at = (row * p.a_row + k) / 4u;
            let step = p.a_row / 4u;
            if row < p.m {
                block[0] = a[at];
            }
            if row + 1u < p.m {
                block[1] = a[at + step];
            }
            if row + 2u < p.m {
                block[2] = a[at + 2u * step];
            }
            if row + 3u < p.m {
                block[3] = a[at + 3u * step];
            }
        }
        return transpose(block);
    }
    if row < p.m {
        let at = (k * p.a_col + row) / 4u;
        let step = p.a_col / 4u;
        if k < p.k {
            block[0] = a[at];
        }
        if k + 1u < p.k {
            block[1] = a[at + step];
        }
        if k + 2u < p.k {
            block[2] = a[at + 2u * step];
        }
        if k + 3u < p.k {
            block[3] = a[at + 3u * step];
        }
    }
    return block;
}

#if f16
@group(0) @binding(2) var<storage, read> b: array<vec2<u32>>;

fn right_quad(at: u32) -> vec4<f32> {
    let pair = b[at];
    return vec4(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

#else
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

fn right_quad(at: u32) -> vec4<f32> {
    return b[at];
}

#endif
// Four columns of b by four k: a column of the block is a k.
fn right_block(column: u32, k: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    if p.b_row == 1u {
        if k < p.k {
            let at = (column * p.b_col + k) / 4u;
            let step = p.b_col / 4u;
            if column < p.n {
                block[0] = right_quad(at);
            }
            if column + 1u < p.n {
                block[1] = right_quad(at + step);
            }
            if column + 2u < p.n {
                block[2] = right_quad(at + 2u * step);
            }
            if column + 3u < p.n {
                block[3] = right_quad(at + 3u * step);
            }
        }
        return transpose(block);
    }
    if column < p.n {
        let at = (k * p.b_row + column) / 4u;
        let step = p.b_row / 4u;
        if k < p.k {
            block[0] = right_quad(at);
        }
        if k + 1u < p.k {
            block[1] = right_quad(at + step);
        }
        if k + 2u < p.k {
            block[2] = right_quad(at + 2u * step);
        }
        if k + 3u < p.k {
            block[3] = right_quad(at + 3u * step);
        }
    }
    return block;
}
