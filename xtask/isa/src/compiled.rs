//! A kernel as a compiler reports it: registers, memory, time, and the hot loop.

use crate::assembly::{Loop, hot_loop};
use serde::{Deserialize, Serialize};

/// Vector registers of an invocation, on all of AMD's GPUs.
pub(crate) const REGISTERS: u64 = 256;

/// A pipeline's report in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Compiled {
    /// Vector registers of an invocation.
    pub(crate) vgprs: u64,
    /// Scalar registers of a subgroup.
    pub(crate) sgprs: u64,
    /// Vector and scalar registers that are stored in memory for want of room.
    pub(crate) spills: u64,
    /// Bytes of private memory of an invocation: spilled registers, and arrays with variable indices.
    pub(crate) scratch_bytes: u64,
    /// Bytes of workgroup memory (LDS).
    pub(crate) workgroup_bytes: u64,
    /// Occupancy: subgroups that a SIMD holds at once.
    pub(crate) waves: u64,
    /// Invocations of a subgroup.
    pub(crate) subgroup: u32,
    /// Instructions.
    pub(crate) instructions: u64,
    /// Bytes of machine code.
    pub(crate) code_bytes: u64,
    /// The compiler's estimate of a subgroup's cycles from beginning to end.
    pub(crate) latency: u64,
    /// The compiler's estimate of the cycles that each subgroup costs where many run at once.
    pub(crate) inverse_throughput: u64,
    /// The loop in which it spends most of its time, by estimate; none for a kernel without loops.
    pub(crate) hot_loop: Option<Loop>,
    /// Seconds of compilation, translation by naga included.
    pub(crate) seconds: f64,
}

impl Compiled {
    /// Reads a driver's statistics and disassembly. Fails if the driver does not report one of them, so that a missing number
    /// is never read as 0.
    pub(crate) fn new(subgroup: u32, statistics: &[(String, u64)], assembly: &str, seconds: f64) -> Result<Self, String> {
        let value = |name: &str| {
            let found = statistics.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<&str> = statistics.iter().map(|(name, _)| &name[..]).collect();
                format!("the driver reports no {name:?}, only {}", names.join(", "))
            })
        };
        if !assembly.contains("s_endpgm") {
            return Err(format!("the driver reports no disassembly, but {:?}", assembly.chars().take(80).collect::<String>()));
        }
        Ok(Self {
            vgprs: value("VGPRs")?,
            sgprs: value("SGPRs")?,
            spills: value("Spilled VGPRs")? + value("Spilled SGPRs")?,
            scratch_bytes: value("Scratch size")?,
            workgroup_bytes: value("LDS size")?,
            waves: value("Subgroups per SIMD")?,
            subgroup,
            instructions: value("Instructions")?,
            code_bytes: value("Code size")?,
            latency: value("Latency")?,
            inverse_throughput: value("Inverse Throughput")?,
            hot_loop: hot_loop(assembly),
            seconds,
        })
    }

    /// Returns what a kernel must not have; `None` if it is fine.
    pub(crate) fn fault(&self) -> Option<String> {
        (self.spills > 0).then(|| format!("spills {} registers ({} bytes of scratch memory)", self.spills, self.scratch_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 10] =
        ["SGPRs", "VGPRs", "Spilled SGPRs", "Spilled VGPRs", "Scratch size", "LDS size", "Subgroups per SIMD", "Instructions", "Code size", "Latency"];

    fn statistics(values: [u64; 10]) -> Vec<(String, u64)> {
        let named = NAMES.into_iter().zip(values).map(|(name, value)| (name.to_owned(), value));
        named.chain([("Inverse Throughput".to_owned(), 7)]).collect()
    }

    #[test]
    fn a_spill_of_either_kind_is_a_fault() {
        let read = |values| Compiled::new(64, &statistics(values), "BB0:\n\ts_endpgm", 0.5).expect("complete");
        let fine = read([16, 84, 0, 0, 0, 4352, 9, 730, 4000, 5000]);
        assert_eq!((fine.sgprs, fine.vgprs, fine.workgroup_bytes, fine.waves, fine.inverse_throughput, fine.hot_loop), (16, 84, 4352, 9, 7, None));
        assert_eq!(fine.fault(), None);
        for values in [[106, 256, 3, 0, 0, 0, 4, 1, 1, 1], [106, 256, 0, 3, 12, 0, 4, 1, 1, 1]] {
            assert!(read(values).fault().is_some_and(|fault| fault.starts_with("spills 3 registers")), "{values:?}");
        }
    }

    #[test]
    fn a_number_or_a_disassembly_that_the_driver_does_not_report_is_an_error() {
        let whole = statistics([0; 10]);
        for (place, (name, _)) in whole.iter().enumerate() {
            let without: Vec<_> = whole.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, row)| row.clone()).collect();
            assert!(Compiled::new(64, &without, "s_endpgm", 0.0).is_err_and(|error| error.contains(name)), "{name}");
        }
        assert!(Compiled::new(64, &whole, "not supported", 0.0).is_err_and(|error| error.contains("not supported")));
    }
}
