// The linear index of an invocation in a grid of groups folded into two dimensions.
fn linear(wid: vec3<u32>, groups: vec3<u32>, first_band: u32, lane: u32) -> u32 {
    return (wid.x + (wid.y + first_band) * groups.x) * 256u + lane;
}
