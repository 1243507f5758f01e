//! The table of kernels that `build.rs` generates.

use wgpu::Features;

/// The access of a kernel to an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// Cooperative matrices of a kernel: `size × size`, with factors in f16 or f32 and sums in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows and columns.
    pub size: u32,
    /// True if factors are in f16.
    pub half: bool,
}

/// A field of a kernel's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamField {
    /// The name in the shader.
    pub name: &'static str,
    /// True for an f32, false for a u32.
    pub float: bool,
}

/// An entry point of a shader.
#[derive(Debug)]
pub struct Kernel {
    /// `file/entry` or `file/entry.variant`.
    pub name: &'static str,
    /// File and variant.
    pub unit: &'static str,
    /// The name of the entry point in the source.
    pub entry: &'static str,
    /// Expanded WGSL, shared by all entry points of a file and variant.
    pub source: &'static str,
    /// Required features beyond core WebGPU.
    pub features: Features,
    /// The cooperative matrices that it uses.
    pub cooperative: Option<Cooperative>,
    /// Minimum subgroups in a workgroup (the shader's constant SUBGROUPS).
    pub subgroups: u32,
    /// Workgroup size in each dimension.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Fields of the uniform block at binding 0, one word each, in order.
    pub params: &'static [ParamField],
    /// True if it can be dispatched in bands of workgroups along y; its parameter `first_band` is the offset of a band.
    pub bands: bool,
    /// True if its workgroups have a linear index, folded into x and y, so that any x and y that hold all
    /// of them will do.
    pub folded: bool,
    /// Access to the storage buffers, from binding 1 on.
    pub operands: &'static [Access],
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Finds a kernel by name.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.binary_search_by(|kernel| kernel.name.cmp(name)).ok().map(|index| &KERNELS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_name() {
        assert!(KERNELS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for row in KERNELS {
            assert_eq!(kernel(row.name).map(|found| found.name), Some(row.name));
        }
        assert!(kernel("no/such").is_none());
    }

    #[test]
    fn all_kernels_run_in_bands_but_those_that_are_short() {
        let short: Vec<&str> = KERNELS.iter().filter(|row| !row.bands).map(|row| row.name).collect();
        assert_eq!(short, ["distill/sum", "grad_norm/norm", "grad_norm/squares", "sample/choose"]);
        let folded = |name: &str| kernel(name).expect("there").folded;
        assert!(folded("adamw/signs") && folded("attention/forward") && !folded("matmul/tiled"));
    }
}
