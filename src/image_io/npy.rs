//! NumPy's file format, version 1.0 (`numpy.lib.format`).

/// The header of an array `[height, width]` of little-endian float32.
pub(crate) fn npy_header((width, height): (u32, u32)) -> Vec<u8> {
    // Magic, version, the header's length, and a header that ends in a newline and pads everything to a multiple
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
