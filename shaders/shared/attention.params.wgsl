// The parameters of attention's kernels.
struct Params {
    batch: u32,
    queries: u32,
    keys: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    // Row strides of q, and of k and v; first columns of k and v.
    q_row: u32,
    kv_row: u32,
    k_first: u32,
    v_first: u32,
    scale: f32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}
