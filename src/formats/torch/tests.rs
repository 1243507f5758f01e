//! Archives made here byte by byte, so that each can be wrong in one place.

use super::*;

/// A zip archive of stored entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let at = file.len() as u32;
        let sizes = [(data.len() as u32).to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        let name_length = (name.len() as u16).to_le_bytes();
        file.extend([b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), &sizes, &name_length, &[2, 0], name.as_bytes(), &[0xfb; 2], data].concat());
        let head = [b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), &sizes, &name_length, &[0; 12], &at.to_le_bytes(), name.as_bytes()];
        table.extend(head.concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let ends = [(table.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes()].concat();
    [&file[..], &table, b"PK\x05\x06\0\0\0\0", &count, &count, &ends, &[0, 0]].concat()
}

/// The pickle of a state dict with one tensor `w` of f32; `shape` and `strides` are pickled.
fn pickle(shape: &[u8], strides: &[u8], offset: u8, elements: u8) -> Vec<u8> {
    let storage = [b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK".as_slice(), &[elements], b"tQ"].concat();
    [
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        &storage,
        b"K",
        &[offset],
        shape,
        strides,
        b"\x89ccollections\nOrderedDict\n)RtRs.",
    ]
    .concat()
}

fn open(entries: &[(&str, &[u8])]) -> Result<TorchFile, String> {
    opened(archive(entries))
}

fn opened(bytes: Vec<u8>) -> Result<TorchFile, String> {
    TorchFile::owned("m.bin", Arc::new(bytes)).map_err(|error| error.to_string())
}

/// Four floats: 1, 2, 3, 4.
const DATA: [u8; 16] = [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64];

fn whole() -> Vec<u8> {
    let pickle = pickle(b"K\x01K\x02\x86", b"K\x02K\x01\x86", 1, 4);
    archive(&[("a/data.pkl", &pickle), ("a/byteorder", b"little"), ("a/data/0", &DATA)])
}

#[test]
fn a_tensor_is_read_where_it_lies() {
    let file = opened(whole()).unwrap();
    assert_eq!((file.names(), file.shape("w").unwrap(), file.stored_as("w")), (vec!["w".to_string()], &[1, 2][..], Some("F32")));
    assert_eq!(file.floats("w", 1, 2).unwrap(), [2.0, 3.0]);
    assert!(file.floats("v", 1, 2).unwrap_err().to_string().contains("has no tensor v"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = whole();
    for length in 0..whole.len() {
        let problem = opened(whole[..length].to_vec()).err().unwrap_or_else(|| panic!("{length} bytes were taken"));
        assert!(problem.starts_with("m.bin: "), "{problem}");
    }
}

#[test]
fn what_a_tensor_cannot_be_is_refused_by_its_name() {
    for (shape, strides, offset, elements, word) in [
        (&b"K\x02K\x02\x86"[..], &b"K\x01K\x02\x86"[..], 0, 4, ".contiguous()"),
        (b"K\x02K\x02\x86", b"K\x02K\x01\x86", 1, 4, "larger than its storage"),
        (b"K\x02K\x02\x86", b"K\x02K\x01\x86", 0, 5, "of which the file has 4"),
        (b"K\x02K\x02\x86", b"K\x02\x85", 0, 4, "2 dimensions and 1 strides"),
        (b"J\xff\xff\xff\xffK\x02\x86", b"K\x02K\x01\x86", 0, 4, "a side of a tensor is -1"),
        (b"\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40\x86", b"K\x02K\x01\x86", 0, 4, "larger than its storage"),
        (b"\x8a\x09\0\0\0\0\0\0\0\x40\0", b"K\x01\x85", 0, 4, "a number of 9 bytes"),
        (b"NN\x86", b"K\x02K\x01\x86", 0, 4, "is None, not a number"),
    ] {
        let pickle = pickle(shape, strides, offset, elements);
        let problem = open(&[("a/data.pkl", &pickle), ("a/data/0", &DATA)]).err().expect(word);
        assert!(problem.contains(word), "{problem}");
    }
    let missing = open(&[("a/data.pkl", &pickle(b"K\x02\x85", b"K\x01\x85", 0, 4))]).err().unwrap();
    assert!(missing.contains("tensor w lies in storage \"0\""), "{missing}");
}

#[test]
fn nothing_of_a_pickle_is_run() {
    for (pickle, word) in [
        (&b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."[..], "\"os.system\""),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "\"builtins.eval\""),
        (b"\x80\x02}X\x01\0\0\0wcsubprocess\nPopen\ns.", "subprocess.Popen"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "opcode 0x81"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "would call Storage(F32)"),
        (b"(S'x'\nios\nsystem\n.", "opcode 0x53"),
        (b"\x80\x02X\x05\0\0\0evilsQ.", "not a tuple"),
        (b"\x80\x06.", "later protocol"),
        (b"\x80\x02}X\x01\0\0\0wK\x01s.", "\"w\" is a number"),
        (b"\x80\x02}X\x05\0\0\0model}s.", "checkpoint of a training"),
        (b"\x80\x02}K\x01K\x01s.", "name is a number"),
        (b"\x80\x02]q\0h\0a.", "holds a list"),
        (b"\x80\x02h\x05.", "recalls value 5"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "as number 2147483647"),
        (b"\x80\x02}(0.", "stack is empty"),
        (b"\x80\x02}(X\x01\0\0\0wu.", "no value"),
        (b"\x80\x02X\xff\xff\xff\xffw.", "ends too early"),
        (b"\x80\x02X\x01\0\0\0\xff.", "no UTF-8"),
        (b"\x80\x02", "ends too early"),
    ] {
        let problem = open(&[("a/data.pkl", pickle)]).err().expect(word);
        assert!(problem.contains(word), "{problem}");
    }
}

#[test]
fn an_archive_that_is_not_pytorchs_is_refused() {
    let good = pickle(b"K\x02\x85", b"K\x01\x85", 0, 4);
    for (entries, word) in [
        (&[("a/data.pkl", &good[..]), ("b/data.pkl", &good[..])][..], "several data.pkl"),
        (&[("a/data.pkl", &good[..]), ("a/data/0", &DATA[..]), ("a/data/0", &DATA[..])], "two entries called a/data/0"),
        (&[("a/data.pkl", &good[..]), ("a/byteorder", b"big"), ("a/data/0", &DATA[..])], "another order of bytes"),
        (&[("a/weights", &DATA[..])], "no data.pkl"),
    ] {
        let problem = open(entries).err().expect(word);
        assert!(problem.contains(word), "{problem}");
    }
    let mut packed = whole();
    let table = packed.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    packed[table + 10] = 8;
    assert!(opened(packed).err().unwrap().contains("a/data.pkl is compressed"));
    let mut far = whole();
    far[table + 45] = 0x7f;
    assert!(opened(far).err().unwrap().contains("header of entry a/data.pkl would lie at"));
    assert!(opened(OLD.to_vec()).err().unwrap().contains("python -c"));
}
