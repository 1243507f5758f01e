//! Writes safetensors files with the checksums of their header and tensors in the metadata.

use super::super::sums::{HEADER_KEY, TENSORS_KEY};
use super::super::{Digest, header_digest};
use super::{HeaderEntry, TensorWriter, write_header};
use crate::platform::Output;
use std::collections::BTreeMap;
use std::io;

/// Writes a file tensor by tensor as [`TensorWriter`] does, then fills in the checksums in its header, which has
/// placeholders of the same length.
pub struct ChecksummedWriter<'a> {
    writer: TensorWriter<'a, dyn Output + 'a>,
    tensors: &'a [HeaderEntry],
    metadata: BTreeMap<String, String>,
    sums: BTreeMap<String, Digest>,
}

impl<'a> ChecksummedWriter<'a> {
    /// Writes the header; the tensors must follow in the same order.
    pub fn new(out: &'a mut (dyn Output + 'a), tensors: &'a [HeaderEntry], metadata: BTreeMap<String, String>) -> io::Result<Self> {
        let sums = tensors.iter().map(|(name, ..)| (name.clone(), Digest::UNKNOWN)).collect();
        let with_room = with_sums(&metadata, &sums, Digest::UNKNOWN);
        Ok(Self { writer: TensorWriter::new(out, tensors, &with_room)?, tensors, metadata, sums })
    }

    /// Writes the next tensor, little-endian and row-major; `name` guards against a wrong order.
    pub fn tensor(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.writer.tensor(name, bytes)?;
        self.sums.insert(name.into(), Digest::of(bytes));
        Ok(())
    }

    /// Checks that all tensors were written, and writes the checksums.
    pub fn finish(self) -> io::Result<()> {
        let Self { writer, tensors, metadata, sums } = self;
        let digest = digest_of(tensors, &with_sums(&metadata, &sums, Digest::UNKNOWN));
        let mut header = Vec::new();
        write_header(&mut header, tensors, &with_sums(&metadata, &sums, digest))?;
        writer.finish()?.rewrite(0, &header)
    }
}

/// Adds the header's checksum to its metadata, for files with another kind of checksums for tensors.
pub fn add_header_sum(tensors: &[HeaderEntry], metadata: &mut BTreeMap<String, String>) {
    let digest = digest_of(tensors, metadata);
    metadata.insert(HEADER_KEY.into(), digest.to_string());
}

fn digest_of(tensors: &[HeaderEntry], metadata: &BTreeMap<String, String>) -> Digest {
    let tensors = tensors.iter().map(|(name, dtype, shape)| (name.as_str(), *dtype, &shape[..]));
    header_digest(tensors, metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

fn with_sums(metadata: &BTreeMap<String, String>, sums: &BTreeMap<String, Digest>, header: Digest) -> BTreeMap<String, String> {
    let tensors = serde_json::to_string(sums).expect("texts");
    let own = [(TENSORS_KEY.to_string(), tensors), (HEADER_KEY.to_string(), header.to_string())];
    metadata.iter().map(|(key, value)| (key.clone(), value.clone())).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Dtype, TensorFile};
    use super::*;
    use crate::formats::TensorSource;
    use std::sync::Arc;

    fn sample() -> Vec<u8> {
        let tensors: Vec<HeaderEntry> = vec![("b".into(), Dtype::U32, vec![2, 1]), ("a".into(), Dtype::F16, vec![3]), ("none".into(), Dtype::F32, vec![0, 4])];
        let mut out = Vec::new();
        let mut writer = ChecksummedWriter::new(&mut out, &tensors, BTreeMap::from([("key".into(), "value \"quoted\"\n".into())])).unwrap();
        writer.tensor("b", bytemuck::cast_slice(&[7u32, 1 << 31])).unwrap();
        writer.tensor("a", &[0, 60, 0, 188, 0, 0]).unwrap();
        writer.tensor("none", &[]).unwrap();
        writer.finish().unwrap();
        out
    }

    /// Reads everything in a file; returns the first error.
    fn contents(bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, String> {
        let file = TensorFile::owned("file", Arc::new(bytes)).map_err(|error| error.to_string())?;
        let mut all = vec![file.metadata("key").unwrap_or_default().as_bytes().to_vec()];
        for name in ["b", "a", "none"] {
            let (dtype, shape, bytes) = file.raw(name).map_err(|error| error.to_string())?;
            all.push([format!("{dtype:?} {shape:?}").into_bytes(), bytes.into_owned()].concat());
        }
        Ok(all)
    }

    #[test]
    fn every_flipped_bit_is_detected_or_harmless() {
        let whole = sample();
        let right = contents(whole.clone()).unwrap();
        let mut harmless = 0;
        for bit in 0..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = contents(bytes) {
                assert!(read == right, "bit {bit} of {}", whole.len() * 8);
                harmless += 1;
            }
        }
        assert!(harmless < 16, "{harmless} flips were not noticed");
    }

    #[test]
    fn every_read_of_a_tensor_verifies_it() {
        let whole = sample();
        let mut bytes = whole.clone();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let file = TensorFile::owned("file", Arc::new(bytes)).unwrap();
        assert!(file.has_sums() && file.words("b", 2, 1).is_ok());
        let errors = [file.floats("a", 1, 3).unwrap_err(), file.read_finite("a", 3, 0..1).unwrap_err(), file.read_halves("a", 3, 0..1).unwrap_err()];
        assert!(errors.iter().all(|errors| errors.to_string().contains("tensor a is damaged")), "{errors:?}");
        assert!(file.verify("a").is_err() && file.verify("b").is_ok());
    }
}
