//! NumPy's file format, version 1.0 (`numpy.lib.format`).

/// What precedes the little-endian float32 values of an array `[height, width]`.
pub(crate) fn npy_header((width, height): (u32, u32)) -> Vec<u8> {
    // The magic, a version, the header's length, and a header that ends in a newline and brings all of it to a multiple
    // of 64 bytes.
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({height}, {width}), }}");
    let unpadded = 10 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}
