//! Initial inputs: the repository's own files, and generated ones.

use crate::mutate::put;
use std::fs;
use std::path::{Path, PathBuf};

/// Larger files only slow down the search.
const LARGEST: u64 = 1 << 16;

/// `path` in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Reads a file of the repository, which must exist.
pub fn read(path: &str) -> Vec<u8> {
    let path = repository(path);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Writes a file and creates its directories.
pub fn write(path: &Path, bytes: &[u8]) {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, bytes));
    made.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// All small files below `path`, in order.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    let small = |p: &Path| fs::metadata(p).is_ok_and(|m| m.len() <= LARGEST);
    let of = |p: PathBuf| if p.is_dir() { files(&p) } else { Vec::from_iter(small(&p).then_some(p)) };
    paths.into_iter().flat_map(of).collect()
}

/// The pictures of the tests that begin with `magic`.
pub fn pictures(magic: &[u8]) -> Vec<Vec<u8>> {
    let all = files(&repository("tests/golden/images"));
    all.iter().filter_map(|p| fs::read(p).ok()).filter(|bytes| bytes.starts_with(magic)).collect()
}

/// The tests' own, and plain ones of other kinds, in both byte orders.
pub fn tiff() -> Vec<Vec<u8>> {
    let mut all = [pictures(b"II"), pictures(b"MM")].concat();
    for big_endian in [false, true] {
        // Width, height, bits, compression, photometric, samples per pixel, strip's offset and length, rows per strip.
        for (bits, photometric, samples) in
            [(8, 1, 1), (8, 2, 3), (16, 1, 1), (1, 0, 1), (8, 3, 1), (8, 2, 4), (8, 5, 4)]
        {
            let mut file = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
            let data = 8 * 8 * samples * bits / 8;
            file.resize(8 + data, 0x5a);
            put(&mut file, 4, 4, big_endian, (8 + data) as u64);
            let mut entries = vec![
                (256, 8),
                (257, 8),
                (258, bits),
                (259, 1),
                (262, photometric),
                (273, 8),
                (277, samples),
                (278, 8),
                (279, data),
            ];
            if photometric == 3 {
                entries.push((320, 8));
            }
            let start = file.len();
            file.resize(start + 2 + 12 * entries.len() + 4, 0);
            put(&mut file, start, 2, big_endian, entries.len() as u64);
            for (i, (tag, value)) in entries.into_iter().enumerate() {
                let at = start + 2 + 12 * i;
                put(&mut file, at, 2, big_endian, tag);
                put(&mut file, at + 2, 2, big_endian, 4);
                put(&mut file, at + 4, 4, big_endian, 1);
                put(&mut file, at + 8, 4, big_endian, value as u64);
            }
            all.push(file);
        }
    }
    all
}

/// The tests' own; one with a single pixel; and one with two interlaced frames and a transparent colour.
pub fn gif() -> Vec<Vec<u8>> {
    let screen = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff";
    let frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
    let plain = [screen.as_slice(), frame, b";"].concat();
    let control = b"\x21\xf9\x04\x05\x0a\0\0\0";
    let interlaced = b"\x2c\0\0\0\0\x01\0\x01\0\x40\x02\x02\x4c\x01\0";
    let two = [screen.as_slice(), control, frame, control, interlaced, b";"].concat();
    [pictures(b"GIF8"), vec![plain, two]].concat()
}

/// The tests' own, and one for each bit depth and each header.
pub fn bmp() -> Vec<Vec<u8>> {
    let mut all = pictures(b"BM");
    for (bits, header, compression) in [
        (1, 40, 0),
        (4, 40, 0),
        (8, 40, 0),
        (16, 40, 0),
        (24, 40, 0),
        (32, 40, 0),
        (8, 40, 1),
        (4, 40, 2),
        (16, 56, 3),
        (32, 108, 3),
        (32, 124, 3),
    ] {
        let palette: usize = if bits <= 8 { 4 << bits } else { 0 };
        let start = 14 + header + palette;
        let data = (8_usize * bits).div_ceil(32) * 4 * 8;
        let mut file = b"BM".to_vec();
        file.resize(start + data, 0x11);
        let fields = [
            (2, start + data),
            (10, start),
            (14, header),
            (18, 8),
            (22, 8),
            (26, 1 | bits << 16),
            (30, compression),
            (34, data),
            (38, 0),
            (42, 0),
            (46, 0),
            (50, 0),
        ];
        for (at, value) in fields {
            put(&mut file, at, 4, false, value as u64);
        }
        if compression == 3 {
            for (at, value) in [(54, 0xf800), (58, 0x7e0), (62, 0x1f), (66, 0)] {
                put(&mut file, at, 4, false, value);
            }
        }
        all.push(file);
    }
    all
}

/// Small files of the tests, and one for each element type.
pub fn safetensors() -> Vec<Vec<u8>> {
    let small = files(&repository("tests/golden"));
    let mut all: Vec<Vec<u8>> = small
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .filter_map(|p| fs::read(p).ok())
        .collect();
    for (dtype, bytes) in [("F32", 4), ("F16", 2), ("BF16", 2), ("F64", 8), ("I64", 8), ("U8", 1), ("F8_E4M3", 1)] {
        let header = format!(
            r#"{{"__metadata__":{{"format":"pt"}},"a.weight":{{"dtype":"{dtype}","shape":[2,3],"data_offsets":[0,{0}]}},"b":{{"dtype":"{dtype}","shape":[],"data_offsets":[{0},{1}]}}}}"#,
            6 * bytes,
            7 * bytes
        );
        all.push(crate::mutate::safetensors::join(header.as_bytes(), &vec![0x3c; 7 * bytes]));
    }
    all
}
