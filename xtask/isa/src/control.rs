//! A kernel that needs more registers than any GPU has. Each run compiles it first: if the driver reports no spill for it, its
//! reports on other kernels prove nothing.

use crate::report::Outcome;
use signet::device::{Access, Kernel, ParamField};
use std::fmt::Write;
use wgpu::Features;

/// The name, which no kernel of the library has.
pub(crate) const NAME: &str = "control/spill";
/// Variables that are in use at once: more than [`REGISTERS`](crate::compiled::REGISTERS).
const VARIABLES: usize = 320;

/// Creates the kernel. Each run of its loop reads all variables and changes each, so that none can be computed later.
pub(crate) fn kernel() -> Kernel {
    let next = |variable: usize| (variable + 1) % VARIABLES;
    let lines = |line: &dyn Fn(usize) -> String| {
        (0..VARIABLES).map(line).fold(String::new(), |mut all, line| {
            writeln!(all, "{line}").expect("a string");
            all
        })
    };
    let source = format!(
        "struct Params {{ count: u32 }}\n@group(0) @binding(0) var<uniform> p: Params;\n@group(0) @binding(1) var<storage, read_write> x: array<f32>;\n\
         @compute @workgroup_size(64)\nfn spill(@builtin(global_invocation_id) id: vec3<u32>) {{\n{}for (var i = 0u; i < p.count; i++) {{\n{}}}\n{}}}\n",
        lines(&|variable| format!("var v{variable} = x[id.x + {}u];", 64 * variable)),
        lines(&|variable| format!("v{variable} = fma(v{variable}, v{}, 0.5);", next(variable))),
        lines(&|variable| format!("x[id.x + {}u] = v{variable};", 64 * variable)),
    );
    Kernel {
        name: NAME,
        unit: NAME,
        entry: "spill",
        source: source.leak(),
        features: Features::empty(),
        cooperative: None,
        subgroups: 0,
        workgroup: [64, 1, 1],
        workgroup_bytes: 0,
        params: &[ParamField { name: "count", float: false }],
        bands: false,
        folded: false,
        operands: &[Access::Write],
    }
}

/// Returns the vector registers that the compiler gave the kernel, all that it knows to use; an error if it did not spill.
pub(crate) fn registers(outcome: Outcome) -> Result<u64, String> {
    match outcome {
        Outcome::Compiled(compiled) if compiled.fault().is_some() => Ok(compiled.vgprs),
        Outcome::Failed(why) => Err(why),
        _ => Err(format!("does not spill, though it needs {VARIABLES} registers: the statistics of this driver prove nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compiled::Compiled;

    #[test]
    fn a_control_kernel_that_does_not_spill_is_a_failure() {
        let names = ["SGPRs", "VGPRs", "Scratch size", "LDS size", "Subgroups per SIMD", "Instructions", "Code size", "Latency", "Inverse Throughput"];
        let compiled = |spills| {
            let all = names.map(|name| (name, 132)).into_iter().chain([("Spilled SGPRs", 0), ("Spilled VGPRs", spills)]);
            let statistics: Vec<(String, u64)> = all.map(|(name, value)| (name.to_owned(), value)).collect();
            Outcome::Compiled(Compiled::new(64, &statistics, "s_endpgm", 0.0).expect("complete"))
        };
        assert_eq!(registers(compiled(70)), Ok(132));
        assert!(registers(compiled(0)).is_err_and(|why| why.starts_with("does not spill")));
        assert!(registers(Outcome::NotOffered("f16".into())).is_err_and(|why| why.starts_with("does not spill")));
        assert_eq!(registers(Outcome::Failed("out of memory".into())), Err("out of memory".into()));
    }

    #[test]
    fn the_control_kernel_is_valid() {
        let module = naga::front::wgsl::parse_str(kernel().source).expect("it is WGSL");
        assert_eq!(module.entry_points[0].name, kernel().entry);
    }
}
