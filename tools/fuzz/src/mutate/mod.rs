//! Mutations of inputs: of any bytes, and of formats by their structure, in order to get past checksums, lengths and syntax.

pub mod chunks;
pub mod fields;
pub mod json;
pub mod safetensors;
pub mod tiff;

use fastrand::Rng;

/// A mutator's source of randomness and material.
pub struct Source<'a> {
    pub rng: &'a mut Rng,
    pub corpus: &'a [Vec<u8>],
}

/// Numbers at which sizes, offsets and counts change their meaning.
const EDGES: [u64; 34] = [
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    64,
    127,
    128,
    255,
    256,
    1024,
    4096,
    16_384,
    32_767,
    32_768,
    65_535,
    65_536,
    1 << 18,
    1 << 24,
    (1 << 28) + 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 63) - 1,
    u64::MAX,
];

impl Source<'_> {
    /// Below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.rng.usize(..n) }
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn edge(&mut self) -> u64 {
        EDGES[self.below(EDGES.len())]
    }

    /// A number for a field: mostly small or an edge.
    pub fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => self.rng.u64(..),
            1..=3 => self.rng.u64(..70),
            4 => self.edge().wrapping_add(self.rng.u64(..5)).wrapping_sub(2),
            _ => self.edge(),
        }
    }

    pub fn one_of<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }

    /// A small count; one is the most likely.
    pub fn few(&mut self) -> usize {
        1 + self.rng.u32(..).trailing_ones() as usize
    }

    /// Another input, or nothing.
    pub fn other(&mut self) -> &[u8] {
        let at = self.below(self.corpus.len());
        self.corpus.get(at).map_or(&[], Vec::as_slice)
    }

    /// `len` bytes of noise.
    pub fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.rng.u8(..)).collect()
    }
}

/// Mutations that need no knowledge of the format.
pub fn bytes(input: &mut Vec<u8>, source: &mut Source) {
    for _ in 0..source.few() {
        one(input, source);
    }
}

fn one(input: &mut Vec<u8>, source: &mut Source) {
    if input.is_empty() {
        input.push(0);
    }
    let len = input.len();
    let at = source.below(len);
    match source.below(13) {
        0 | 1 => input[at] ^= 1 << source.below(8),
        2 => input[at] = source.rng.u8(..),
        3 => input[at] = source.edge() as u8,
        4 => input[at] = input[at].wrapping_add(source.rng.u8(..9)).wrapping_sub(4),
        5 | 6 => {
            let width = *source.one_of(&[2, 4, 8]);
            let value = source.number();
            put(input, at, width, source.rng.bool(), value);
        }
        7 => {
            let end = at + 1 + source.below(64.min(len - at));
            input.drain(at..end);
        }
        8 => {
            let count = source.few() * 4;
            let noise = source.noise(count);
            input.splice(at..at, noise);
        }
        9 => {
            let end = at + 1 + source.below(512.min(len - at));
            let copy = input[at..end].to_vec();
            let to = source.below(len);
            input.splice(to..to, copy);
        }
        10 if source.once_in(4) => input.truncate(at),
        11 => {
            // A piece of another input, overwriting or inserted.
            let other = source.other().to_vec();
            let from = source.below(other.len());
            let count = source.below(256.min(other.len() - from) + 1);
            let end = if source.rng.bool() { (at + count).min(len) } else { at };
            input.splice(at..end, other[from..from + count].iter().copied());
        }
        12 => {
            let other = source.other().to_vec();
            let from = source.below(other.len());
            input.truncate(at);
            input.extend(&other[from..]);
        }
        _ => {
            let end = (at + 1 + source.below(16)).min(len);
            let value = *source.one_of(&[0, 0xff, b'0', b' ']);
            input[at..end].fill(value);
        }
    }
}

/// Writes the low `width` bytes of `value` at `at`, as far as they fit.
pub fn put(input: &mut [u8], at: usize, width: usize, big_endian: bool, value: u64) {
    let mut bytes = value.to_le_bytes();
    let bytes = &mut bytes[..width];
    if big_endian {
        bytes.reverse();
    }
    for (to, from) in input.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
