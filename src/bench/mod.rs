//! What the machine manages, timed on random data of the real shapes.

mod decode;

pub use decode::{DecodeBench, DecodeReport, DecodeSide, decode};
