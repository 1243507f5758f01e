//! The table of kernels that `build.rs` wrote.

use wgpu::Features;

/// How a kernel uses an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// The cooperative matrices of a kernel: all of `size × size`, factors in f16 or f32, sums in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows and columns.
    pub size: u32,
    /// Whether factors are in f16.
    pub half: bool,
}

/// A field of a kernel's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As the shader calls it.
    pub name: &'static str,
    /// True for an f32, false for a u32.
    pub float: bool,
}

/// An entry point of a shader.
#[derive(Debug)]
pub struct Kernel {
    /// `file/entry` or `file/entry.variant`.
    pub name: &'static str,
    /// File and variant, in words.
    pub unit: &'static str,
    /// The entry point's name in the source.
    pub entry: &'static str,
    /// WGSL, expanded; one text for all entry points of a file and variant.
    pub source: &'static str,
    /// What it needs beyond core WebGPU.
    pub features: Features,
    /// The cooperative matrices it multiplies.
    pub cooperative: Option<Cooperative>,
    /// Subgroups that a workgroup must have at least (the shader's constant SUBGROUPS).
    pub subgroups: u32,
    /// Invocations in each dimension.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Fields of the uniform block at binding 0, a word each, in their order.
    pub params: &'static [Field],
    /// True if it can be dispatched in bands of workgroups, one after the other along y: its field `first_band` says
    /// how many come before.
    pub bands: bool,
    /// Storage buffers from binding 1 on.
    pub operands: &'static [Access],
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The kernel of this name.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.binary_search_by(|kernel| kernel.name.cmp(name)).ok().map(|index| &KERNELS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found_by_name() {
        assert!(KERNELS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for row in KERNELS {
            assert_eq!(kernel(row.name).map(|found| found.name), Some(row.name));
        }
        assert!(kernel("no/such").is_none());
    }

    #[test]
    fn only_kernels_that_do_not_count_their_workgroups_are_cut() {
        let can = |name: &str| kernel(name).expect("there").bands;
        assert!(["matmul/tiled", "fbi_linear/forward", "fbi_linear/input", "fbi_linear/weight"].into_iter().all(can));
        assert!(!KERNELS.iter().any(|row| row.bands && row.entry == "few"));
    }
}
