//! Headers with fields at fixed offsets.

use super::{Source, put};

/// Offset, bytes, and special values of a field.
pub type Field = (usize, usize, &'static [u64]);

/// Sets one or a few of `fields`.
pub fn set(input: &mut [u8], fields: &[Field], big_endian: bool, source: &mut Source) {
    for _ in 0..source.few() {
        let &(at, width, known) = source.one_of(fields);
        let value = if known.is_empty() || source.once_in(5) { source.number() } else { *source.one_of(known) };
        put(input, at, width, big_endian, value);
    }
}

const SIDE: &[u64] = &[1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 33, 64, 100];

/// A BMP's two headers.
pub const BMP: &[Field] = &[
    (10, 4, &[14, 26, 54, 66, 118, 122, 138, 1078]),
    (14, 4, &[12, 16, 40, 52, 56, 64, 108, 124]),
    (18, 4, SIDE),
    (22, 4, &[1, 2, 8, 24, 0xffff_ffff, 0xffff_ffe8]),
    (26, 2, &[0, 1, 2]),
    (28, 2, &[0, 1, 2, 4, 8, 16, 24, 32]),
    (30, 4, &[0, 1, 2, 3, 4, 5, 6]),
    (34, 4, &[]),
    (46, 4, &[0, 1, 2, 16, 255, 256, 257]),
    (50, 4, &[0, 256]),
    (54, 4, &[0xff, 0xff00, 0xff_0000, 0xf800, 0x7c00]),
    (58, 4, &[0xff00, 0x7e0, 0x3e0]),
    (62, 4, &[0xff, 0x1f]),
    (66, 4, &[0xff00_0000, 0]),
];

/// A GIF's screen, and a frame after a palette of two colours.
pub const GIF: &[Field] = &[
    (4, 1, &[0x37, 0x39]),
    (6, 2, SIDE),
    (8, 2, SIDE),
    (10, 1, &[0, 0x80, 0x81, 0xf7]),
    (11, 1, &[]),
    (19, 1, &[0x21, 0x2c, 0x3b]),
    (20, 2, SIDE),
    (22, 2, SIDE),
    (24, 2, SIDE),
    (26, 2, SIDE),
    (28, 1, &[0, 0x40, 0x80, 0xc0, 0x87]),
    (29, 1, &[1, 2, 3, 8, 9, 12, 13]),
];

/// PNG's IHDR, without its length and name.
pub const IHDR: &[Field] =
    &[(0, 4, SIDE), (4, 4, SIDE), (8, 1, &[1, 2, 4, 8, 16]), (9, 1, &[0, 2, 3, 4, 6]), (12, 1, &[0, 1])];

/// JPEG's frame header, without marker and length, of up to four components.
pub const SOF: &[Field] = &[
    (0, 1, &[8, 12]),
    (1, 2, SIDE),
    (3, 2, SIDE),
    (5, 1, &[1, 2, 3, 4]),
    (7, 1, SAMPLING),
    (10, 1, SAMPLING),
    (13, 1, SAMPLING),
    (16, 1, SAMPLING),
    (8, 1, &[0, 1, 2, 3]),
    (11, 1, &[0, 1, 2, 3]),
];
const SAMPLING: &[u64] = &[0x11, 0x12, 0x21, 0x22, 0x14, 0x41, 0x24, 0x42, 0x44, 0x31, 0x13];

/// VP8X of WebP: flags and the canvas.
pub const VP8X: &[Field] = &[(0, 1, &[0, 2, 4, 8, 16, 32, 18, 0x3e]), (4, 3, SIDE), (7, 3, SIDE)];
/// ANMF of WebP: a frame's position, size and flags.
pub const ANMF: &[Field] = &[(0, 3, SIDE), (3, 3, SIDE), (6, 3, SIDE), (9, 3, SIDE), (15, 1, &[0, 1, 2, 3])];
