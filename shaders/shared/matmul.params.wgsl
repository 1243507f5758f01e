// The parameters of the dense product's kernels; strides are in elements.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_col: u32,
    b_row: u32,
    b_col: u32,
    accumulate: u32,
    // Workgroups along y in earlier bands.
    first_band: u32,
}
