//! The null device of systems without RADV: there is none.

use signet::device::{Cooperative, Kernel};

/// A pipeline as a driver reports it.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    pub(crate) subgroup: u32,
    pub(crate) statistics: Vec<(String, u64)>,
    pub(crate) assembly: String,
}

/// No device.
pub(crate) enum NullDevice {}

impl NullDevice {
    pub(crate) fn open() -> Result<Self, String> {
        Err("cannot open RADV's null device: it needs Linux".into())
    }

    pub(crate) fn description(&self) -> String {
        match *self {}
    }

    pub(crate) fn cooperative(&self) -> Vec<Cooperative> {
        match *self {}
    }

    pub(crate) fn missing(&self, _: &Kernel) -> Option<String> {
        match *self {}
    }

    pub(crate) fn compile(&self, _: &'static Kernel) -> Result<Pipeline, String> {
        match *self {}
    }
}
