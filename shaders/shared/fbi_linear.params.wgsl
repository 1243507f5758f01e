// The parameters of FBI-Linear's products, and of its latent weights' gradient.
struct Params {
#import "shared/fbi_linear.fields.wgsl"
    // 1 if a residual is added.
    add: u32,
    // A long launch is dispatched in several bands of workgroups: the number of workgroups along y in earlier bands.
    first_band: u32,
}

struct Weight {
    outs: u32,
    ins: u32,
    tokens: u32,
    second_layer: u32,
    third_layer: u32,
    // The rows of the block of the gradient that is bound: first, and end.
    first: u32,
    end: u32,
    // A long launch is dispatched in several bands of workgroups: the number of workgroups along y in earlier bands.
    first_band: u32,
}
