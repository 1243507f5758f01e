//! Files built byte by byte, and their errors.

use super::super::TensorSource;
use super::{Gguf, MAGIC};
use std::sync::Arc;

/// A builder of a file.
#[derive(Clone)]
struct Builder {
    version: u32,
    values: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: Vec<u8>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn value(key: &str, code: u32, bytes: &[u8]) -> Vec<u8> {
    [&text(key)[..], &code.to_le_bytes(), bytes].concat()
}

fn tensor(name: &str, dimensions: &[u64], code: u32, offset: u64) -> Vec<u8> {
    let dimensions: Vec<u8> =
        [(dimensions.len() as u32).to_le_bytes().to_vec()].into_iter().chain(dimensions.iter().map(|side| side.to_le_bytes().to_vec())).flatten().collect();
    [&text(name)[..], &dimensions, &code.to_le_bytes(), &offset.to_le_bytes()].concat()
}

/// Two tensors of floats, 64 bytes each.
fn valid() -> Builder {
    Builder {
        version: 3,
        values: vec![value("answer", 4, &42u32.to_le_bytes())],
        tensors: vec![tensor("a", &[4, 4], 0, 64), tensor("b", &[16], 0, 0)],
        data: (0..32u32).flat_map(|n| (n as f32).to_le_bytes()).collect(),
    }
}

impl Builder {
    fn bytes(&self) -> Vec<u8> {
        let counts = [self.tensors.len() as u64, self.values.len() as u64].map(u64::to_le_bytes).concat();
        let mut bytes = [&MAGIC[..], &self.version.to_le_bytes(), &counts, &self.values.concat(), &self.tensors.concat()].concat();
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        [bytes, self.data.clone()].concat()
    }

    fn open(&self) -> Result<Gguf, String> {
        Gguf::owned("made", Arc::new(self.bytes())).map_err(|error| error.to_string())
    }
}

fn refused(change: impl FnOnce(&mut Builder), reason: &str) {
    let mut builder = valid();
    change(&mut builder);
    let problem = builder.open().err().unwrap_or_else(|| panic!("accepted what should be refused because {reason}"));
    assert!(problem.starts_with("made: ") && problem.contains(reason), "{problem}\nwas to say: {reason}");
}

#[test]
fn a_valid_file_is_read_in_both_versions() {
    for version in [2, 3] {
        let file = Builder { version, ..valid() }.open().unwrap();
        assert_eq!(file.names(), ["b", "a"]);
        assert_eq!(file.shape("a"), Some(&[4, 4][..]));
        assert_eq!(file.read_finite("a", 4, 1..2).unwrap(), [20.0, 21.0, 22.0, 23.0]);
        assert_eq!(file.metadata().count("answer").unwrap(), Some(42));
    }
}

#[test]
fn values_of_every_type_are_read() {
    let array = |code: u32, count: u64, bytes: &[u8]| [&code.to_le_bytes()[..], &count.to_le_bytes(), bytes].concat();
    let mut builder = valid();
    builder.values = vec![
        value("u8", 0, &[200]),
        value("i8", 1, &[0xff]),
        value("u16", 2, &[0, 1]),
        value("i16", 3, &[0xfe, 0xff]),
        value("i32", 5, &(-3i32).to_le_bytes()),
        value("f32", 6, &1e-5f32.to_le_bytes()),
        value("bool", 7, &[1]),
        value("text", 8, &text("ä")),
        value("u64", 10, &u64::MAX.to_le_bytes()),
        value("i64", 11, &(-4i64).to_le_bytes()),
        value("f64", 12, &0.1f64.to_le_bytes()),
        value("numbers", 9, &array(3, 2, &[1, 0, 0xff, 0xff])),
        value("texts", 9, &array(8, 2, &[text("x"), text("")].concat())),
        value("nested", 9, &array(9, 1, &array(0, 3, &[1, 2, 3]))),
        value("nan", 6, &f32::NAN.to_le_bytes()),
    ];
    let file = builder.open().unwrap();
    let metadata = file.metadata();
    let reals = ["u8", "i8", "u16", "i16", "i32", "f32", "i64", "f64"].map(|key| metadata.real(key).unwrap().unwrap());
    assert_eq!(reals, [200.0, -1.0, 256.0, -2.0, -3.0, 1e-5, -4.0, 0.1]);
    assert_eq!((metadata.flag("bool").unwrap(), metadata.text("text").unwrap(), metadata.count("absent").unwrap()), (Some(true), Some("ä"), None));
    assert_eq!(metadata.numbers("numbers").unwrap().unwrap(), [1.0, -1.0]);
    assert_eq!(metadata.texts("texts").unwrap().unwrap(), ["x", ""]);
    for (error, reason) in [
        (metadata.count("i8").err(), "metadata i8 is -1; a whole number that is not negative is needed"),
        (metadata.text("nested").err(), "metadata nested is an array of arrays; a text is needed"),
        (metadata.real("nan").err(), "metadata nan is NaN; a finite number is needed"),
        (metadata.texts("numbers").err(), "metadata numbers is an array of numbers"),
        (metadata.flag("u8").err(), "true or false is needed"),
        (metadata.numbers("texts").err(), "an array of numbers is needed"),
    ] {
        let error = error.expect(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn errors_name_the_problem() {
    refused(|builder| builder.version = 1, "is GGUF version 1");
    refused(|builder| builder.version = 3u32.swap_bytes(), "big-endian");
    let magic = Gguf::owned("made", Arc::new(b"GGML and more bytes".to_vec())).err().unwrap().to_string();
    assert!(magic.contains("is not a GGUF file: it begins with \"GGML\""), "{magic}");
    // Metadata.
    refused(|builder| builder.values.push(builder.values[0].clone()), "metadata answer is duplicated");
    refused(|builder| builder.values[0] = value("answer", 13, &[]), "metadata answer is of type 13");
    refused(|builder| builder.values[0] = value("answer", 8, &u64::MAX.to_le_bytes()), "the length of metadata answer is 18446744073709551615");
    refused(|builder| builder.values[0] = value("answer", 8, &[&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat()), "metadata answer is not UTF-8 text");
    let array = |code: u32, count: u64| [&code.to_le_bytes()[..], &count.to_le_bytes()].concat();
    refused(|builder| builder.values[0] = value("answer", 9, &array(12, u64::MAX / 8 + 2)), "the length of metadata answer is");
    refused(|builder| builder.values[0] = value("answer", 9, &array(9, 1).repeat(5)), "more than 4 deep");
    // Alignment.
    for alignment in [0u32, 24] {
        refused(
            |builder| builder.values.push(value("general.alignment", 4, &alignment.to_le_bytes())),
            &format!("general.alignment is {alignment}; a power of two"),
        );
    }
    refused(|builder| builder.values.push(value("general.alignment", 10, &(1u64 << 63).to_le_bytes())), "which is not a multiple of 9223372036854775808");
    // Tensors.
    refused(|builder| builder.tensors[1] = tensor("a", &[16], 0, 0), "tensor a is duplicated");
    refused(|builder| builder.tensors[1] = tensor("b", &[16], 0, 32), "tensors b and a overlap");
    refused(|builder| builder.tensors[1] = tensor("b", &[8], 0, 4), "tensor b begins at byte 4 of the data, which is not a multiple of 32");
    refused(|builder| builder.tensors[1] = tensor("b", &[16], 0, 96), "tensor b takes 64 bytes at byte 96 of the data, past the end of the file");
    refused(|builder| builder.tensors[1] = tensor("b", &[16], 0, u64::MAX - 31), "past the end of the file");
    refused(|builder| builder.tensors[1] = tensor("b", &[1 << 40, 1 << 40], 0, 0), "more than any file holds");
    refused(|builder| builder.tensors[1] = tensor("b", &[4, 0], 0, 0), "tensor b has dimensions [4, 0]");
    refused(|builder| builder.tensors[1] = tensor("b", &[], 0, 0), "tensor b has 0 dimensions");
    refused(|builder| builder.tensors[1] = tensor("b", &[1; 5], 0, 0), "tensor b has 5 dimensions");
    refused(|builder| builder.tensors[1] = tensor("b", &[48], 8, 0), "rows of Q8_0 must have a multiple of 32 elements");
    refused(|builder| builder.tensors[1] = tensor("b", &[16], 10, 0), "tensor b is stored as Q2_K, which Signet does not read");
    refused(|builder| builder.tensors[1] = tensor("b", &[16], 4711, 0), "tensor b is stored as type 4711");
}
