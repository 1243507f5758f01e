//! Archives built byte by byte, each wrong in one place.

use super::*;

/// A zip archive of stored entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let stored: Vec<_> = entries.iter().map(|(name, data)| (*name, 0, data.len(), *data)).collect();
    archive_of(&stored)
}

/// A zip archive of entries: name, method, uncompressed length, and the bytes in the file.
fn archive_of(entries: &[(&str, u8, usize, &[u8])]) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for (name, method, length, data) in entries {
        let at = file.len() as u32;
        let sizes = [(data.len() as u32).to_le_bytes(), (*length as u32).to_le_bytes()].concat();
        let name_length = (name.len() as u16).to_le_bytes();
        file.extend([b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), &sizes, &name_length, &[2, 0], name.as_bytes(), &[0xfb; 2], data].concat());
        let start = [b"PK\x01\x02\0\0\0\0\0\0".as_slice(), &[*method, 0], &[0; 8]].concat();
        table.extend([&start[..], &sizes, &name_length, &[0; 12], &at.to_le_bytes(), name.as_bytes()].concat());
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
fn a_tensor_is_read_in_place() {
    let file = opened(whole()).unwrap();
    assert_eq!((file.names(), file.shape("w").unwrap(), file.dtype_name("w")), (vec!["w".to_string()], &[1, 2][..], Some("F32")));
    assert_eq!(file.floats("w", 1, 2).unwrap(), [2.0, 3.0]);
    assert!(file.floats("v", 1, 2).unwrap_err().to_string().contains("has no tensor v"));
}

#[test]
fn a_truncated_archive_is_refused() {
    let whole = whole();
    for length in 0..whole.len() {
        let problem = opened(whole[..length].to_vec()).err().unwrap_or_else(|| panic!("{length} bytes were taken"));
        assert!(problem.contains("m.bin: "), "{problem}");
    }
}

#[test]
fn invalid_tensors_are_refused_by_name() {
    for (shape, strides, offset, elements, word) in [
        (&b"K\x02K\x02\x86"[..], &b"K\x02K\x01\x86"[..], 1, 4, "larger than its storage"),
        (b"K\x02K\x02\x86", b"K\x03K\x01\x86", 0, 4, "larger than its storage"),
        (b"K\x02K\x02\x86", b"K\x02K\x01\x86", 0, 5, "but the file has only 16"),
        (b"K\x02K\x02\x86", b"K\x02\x85", 0, 4, "2 dimensions and 1 strides"),
        (b"J\xff\xff\xff\xffK\x02\x86", b"K\x02K\x01\x86", 0, 4, "a side of a tensor is -1"),
        (b"K\x02K\x02\x86", b"K\x02J\xff\xff\xff\xff\x86", 0, 4, "a stride is -1"),
        (b"\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40\x86", b"K\x02K\x01\x86", 0, 4, "larger than its storage"),
        (b"J\xff\xff\xff\x7fK\x02\x86", b"K\0K\x01\x86", 0, 4, "repeats the 4 elements"),
        (b"\x8a\x09\0\0\0\0\0\0\0\x40\0\x85", b"K\x01\x85", 0, 4, "a huge number"),
        (b"NN\x86", b"K\x02K\x01\x86", 0, 4, "is None, not a number"),
    ] {
        let pickle = pickle(shape, strides, offset, elements);
        let problem = open(&[("a/data.pkl", &pickle), ("a/data/0", &DATA)]).err().expect(word);
        assert!(problem.contains(word), "{problem}");
    }
    let missing = open(&[("a/data.pkl", &pickle(b"K\x02\x85", b"K\x01\x85", 0, 4))]).err().unwrap();
    assert!(missing.contains("tensor w is in storage \"0\""), "{missing}");
}

#[test]
fn a_view_has_the_elements_at_its_strides() {
    for (shape, strides, offset, rows, cols, values) in [
        (&b"K\x02K\x02\x86"[..], &b"K\x01K\x02\x86"[..], 0, 2, 2, &[1.0, 3.0, 2.0, 4.0][..]),
        (b"K\x03K\x02\x86", b"K\0K\x01\x86", 2, 3, 2, &[3.0, 4.0, 3.0, 4.0, 3.0, 4.0]),
        (b"K\x02K\x03\x86", b"K\x02K\0\x86", 1, 2, 3, &[2.0, 2.0, 2.0, 4.0, 4.0, 4.0]),
        (b"K\x02\x85", b"K\x03\x85", 0, 1, 2, &[1.0, 4.0]),
    ] {
        let pickle = pickle(shape, strides, offset, 4);
        let file = open(&[("a/data.pkl", &pickle), ("a/data/0", &DATA)]).unwrap();
        assert_eq!(file.floats("w", rows, cols).unwrap(), values);
        assert_eq!(file.read_finite("w", cols, rows - 1..rows).unwrap(), values[(rows - 1) * cols..]);
    }
}

#[test]
fn pickles_run_no_code() {
    for (pickle, word) in [
        (&b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."[..], "\"os.system\""),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "\"builtins.eval\""),
        (b"\x80\x02c__builtin__\ngetattr\n.", "\"__builtin__.getattr\""),
        (b"\x80\x02}X\x01\0\0\0wcsubprocess\nPopen\ns.", "subprocess.Popen"),
        (b"\x80\x02ctorch\nload\n.", "\"torch.load\""),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "would call Storage"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "would call Storage"),
        (b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nN)NtR.", "would call FromType"),
        (b"(S'x'\nios\nsystem\n.", "opcode 0x53"),
        (b"\x80\x02X\x05\0\0\0evilsQ.", "not a tuple"),
        (b"\x80\x06.", "protocol is later"),
        (b"\x80\x02}X\x01\0\0\0wK\x01s.", "no tensors"),
        (b"\x80\x02}X\x05\0\0\0model}s.", "training checkpoint"),
        (b"\x80\x02}K\x01K\x01s.", "no tensors"),
        (b"\x80\x02]q\0h\0a.", "holds a list"),
        (b"\x80\x02h\x05.", "memo index 5"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "memo index 2147483647"),
        (b"\x80\x02}(0.", "stack is empty"),
        (b"\x80\x02}(X\x01\0\0\0wu.", "no value"),
        (b"\x80\x02X\xff\xff\xff\xffw.", "ends too early"),
        (b"\x80\x02X\x01\0\0\0\xff.", "a text that is not UTF-8"),
        (b"\x80\x02", "ends too early"),
    ] {
        let problem = open(&[("a/data.pkl", pickle)]).err().expect(word);
        assert!(problem.contains(word), "{problem}");
    }
}

#[test]
fn an_archive_that_is_not_pytorchs_is_refused() {
    let valid = pickle(b"K\x02\x85", b"K\x01\x85", 0, 4);
    for (entries, word) in [
        (&[("a/data.pkl", &valid[..]), ("b/data.pkl", &valid[..])][..], "several data.pkl"),
        (&[("a/data.pkl", &valid[..]), ("a/data/0", &DATA[..]), ("a/data/0", &DATA[..])], "two entries named a/data/0"),
        (&[("a/data.pkl", &valid[..]), ("a/byteorder", b"middle"), ("a/data/0", &DATA[..])], "byte order, \"middle\""),
        (&[("a/weights", &DATA[..])], "no data.pkl"),
    ] {
        let problem = open(entries).err().expect(word);
        assert!(problem.contains(word), "{problem}");
    }
    let mut packed = whole();
    let table = packed.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    packed[table + 10] = 8;
    assert!(opened(packed.clone()).err().unwrap().contains("a compressed entry that is damaged"));
    packed[table + 10] = 12;
    assert!(opened(packed).err().unwrap().contains("entry a/data.pkl is encrypted, or compressed"));
    let mut far = whole();
    far[table + 45] = 0x7f;
    assert!(opened(far).err().unwrap().contains("header of entry a/data.pkl is at"));
}

#[test]
fn data_after_an_archive_is_ignored() {
    for trailing in [&[0; 512][..], &[0; 70_000], b"letters", b"PK\x05\x06 and no more", &[1; 60_000]] {
        let file = opened([&whole()[..], trailing].concat()).unwrap();
        assert_eq!(file.floats("w", 1, 2).unwrap(), [2.0, 3.0]);
    }
    assert!(opened([&whole()[..], &[1; 70_000]].concat()).err().unwrap().contains("does not end as a zip archive does"));
}

#[test]
fn big_endian_elements_are_swapped() {
    let pickle = pickle(b"K\x02K\x02\x86", b"K\x02K\x01\x86", 0, 4);
    let data: Vec<u8> = DATA.chunks(4).flat_map(|bytes| bytes.iter().rev().copied()).collect();
    let file = open(&[("a/data.pkl", &pickle), ("a/byteorder", b"big"), ("a/data/0", &data)]).unwrap();
    assert_eq!(file.floats("w", 2, 2).unwrap(), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn decompression_bombs_are_refused() {
    use std::io::Write;
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflated.write_all(&[&DATA[..], &vec![0; (48 << 20) - DATA.len()]].concat()).unwrap();
    let deflated = deflated.finish().unwrap();
    let storage = |key: u8| {
        let key = [b'0' + key];
        let storage = [b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0".as_slice(), &key, b"X\x03\0\0\0cpuJ\0\0\xc0\0tQ"].concat();
        [b"X\x01\0\0\0".as_slice(), &key, b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage, b"K\0K\x02\x85K\x01\x85\x89}tRs"].concat()
    };
    let pickle = |count: u8| [b"\x80\x02}".as_slice(), &(0..count).flat_map(storage).collect::<Vec<u8>>(), b"."].concat();
    let open = |count: u8| {
        let pickle = pickle(count);
        let mut entries = vec![("a/data.pkl", 0, pickle.len(), &pickle[..])];
        entries.extend(["a/data/0", "a/data/1"].map(|name| (name, 8, 48 << 20, &deflated[..])));
        opened(archive_of(&entries))
    };
    assert_eq!(open(1).unwrap().floats("0", 1, 2).unwrap(), [1.0, 2.0]);
    let problem = open(2).err().unwrap();
    assert!(problem.contains("a compressed entry of 50331648 bytes, above the limit"), "{problem}");
}

#[test]
fn overlapping_entries_are_refused() {
    let mut shared = archive(&[("a/data.pkl", &pickle(b"K\x02\x85", b"K\x01\x85", 0, 4)), ("a/data/0", &DATA), ("a/data/1", &DATA)]);
    let heads: Vec<usize> = shared.windows(4).enumerate().filter(|(_, bytes)| **bytes == *b"PK\x01\x02").map(|(at, _)| at).collect();
    let [.., before, last] = heads[..] else { panic!() };
    shared.copy_within(before + 42..before + 46, last + 42);
    let problem = opened(shared).err().unwrap();
    assert!(problem.contains("overlap") && problem.contains("a/data/1"), "{problem}");
}

#[test]
fn a_dict_of_python_2_is_read() {
    // As Python 2 pickled an OrderedDict: the class, and a list of lists (or tuples) of two.
    let tensor = &pickle(b"K\x02\x85", b"K\x01\x85", 1, 4)[9..];
    let tensor = &tensor[..tensor.len() - 2];
    for (open_pair, close_pair) in [(&b"]("[..], &b"e"[..]), (b"", b"\x86")] {
        let pair = [open_pair, b"U\x01w", tensor, close_pair].concat();
        let dict = [b"\x80\x02ccollections\nOrderedDict\n](".as_slice(), &pair, b"e\x85R."].concat();
        let file = open(&[("a/data.pkl", &dict), ("a/data/0", &DATA)]).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(file.floats("w", 1, 2).unwrap(), [2.0, 3.0]);
    }
    for (pickle, word) in [
        (&b"\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R."[..], "a list with a number in it"),
        (b"\x80\x02ccollections\nOrderedDict\n](K\x01K\x02K\x03\x87e\x85R.", "a list with a tuple in it"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "a dict of a number"),
        (b"\x80\x02ccollections\nOrderedDict\n]q\0\x85R0ccollections\nOrderedDict\nh\0\x85R.", "a list that became a dict"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01K\x02\x86R.", "with 2 arguments"),
    ] {
        let problem = open(&[("a/data.pkl", pickle)]).err().expect(word);
        assert!(problem.contains(word), "{problem}");
    }
}
