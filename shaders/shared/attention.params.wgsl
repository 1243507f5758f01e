// The parameters of attention's kernels.
struct Params {
    batch: u32,
    queries: u32,
    keys: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    // Columns of a row that holds q, of one that holds k and v, and where in it k and v begin.
    q_row: u32,
    kv_row: u32,
    k_first: u32,
    v_first: u32,
    scale: f32,
}
