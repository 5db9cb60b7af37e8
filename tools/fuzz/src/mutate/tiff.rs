//! TIFF: the directory's entries are changed, added and taken out; what they point to stays where it is.

use super::{Source, bytes, put};

/// Tags with values that lead to other code. Size of a value by type: 3 is two bytes, 4 is four.
const TAGS: [(u16, &[u64]); 26] = [
    (254, &[0, 1, 2, 4]),
    (256, &[1, 7, 8, 24, 33, 100]),
    (257, &[1, 7, 8, 24, 33, 100]),
    (258, &[1, 2, 4, 8, 12, 16, 24, 32, 64]),
    (259, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 32_773, 32_946, 34_712, 50_000, 50_001]),
    (262, &[0, 1, 2, 3, 4, 5, 6, 8, 9, 32_803]),
    (266, &[1, 2]),
    (273, &[8, 9, 100]),
    (274, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    (277, &[1, 2, 3, 4, 5, 6, 64]),
    (278, &[1, 2, 8, 24, 1 << 31]),
    (279, &[0, 1, 100]),
    (284, &[1, 2, 3]),
    (317, &[1, 2, 3]),
    (320, &[8]),
    (322, &[0, 1, 8, 16, 24, 32, 256]),
    (323, &[0, 1, 8, 16, 24, 32, 256]),
    (324, &[8, 100]),
    (325, &[0, 100]),
    (330, &[8]),
    (338, &[0, 1, 2]),
    (339, &[1, 2, 3, 4, 5, 6]),
    (347, &[8]),
    (530, &[1, 2, 4]),
    (34_665, &[8]),
    (34_675, &[8]),
];

pub fn mutate(input: &mut Vec<u8>, source: &mut Source) {
    let big_endian = input.starts_with(b"MM\0*");
    let little_endian = input.starts_with(b"II*\0");
    let found = (big_endian || little_endian).then(|| entries(input, big_endian)).flatten();
    let Some(mut entries) = found.filter(|_| !source.once_in(4)) else { return bytes(input, source) };
    for _ in 0..source.few() {
        edit(&mut entries, big_endian, source);
    }
    if !source.once_in(8) {
        entries.sort_by_key(|e| number(&e[..2], big_endian));
    }
    // A new directory at the end; all offsets stay right.
    input.resize(input.len() + input.len() % 2, 0);
    let start = input.len();
    put(input, 4, 4, big_endian, start as u64);
    input.resize(start + 2, 0);
    put(input, start, 2, big_endian, entries.len() as u64);
    input.extend(entries.concat());
    let next = if source.once_in(8) { source.number() } else { 0 };
    input.extend([0; 4]);
    let end = input.len() - 4;
    put(input, end, 4, big_endian, next);
}

fn edit(entries: &mut Vec<[u8; 12]>, big_endian: bool, source: &mut Source) {
    let at = source.below(entries.len());
    match source.below(8) {
        0 if !entries.is_empty() => drop(entries.remove(at)),
        1 => {
            let &(tag, values) = source.one_of(&TAGS);
            let mut entry = [0; 12];
            put(&mut entry, 0, 2, big_endian, tag.into());
            put(&mut entry, 2, 2, big_endian, if source.rng.bool() { 3 } else { 4 });
            put(&mut entry, 4, 4, big_endian, if source.once_in(4) { source.number() } else { 1 });
            set_value(&mut entry, values, big_endian, source);
            entries.push(entry);
        }
        2 | 3 if !entries.is_empty() => {
            let (place, width) = *source.one_of(&[(2, 2), (4, 4), (8, 4)]);
            let value = if place == 2 { source.rng.u64(..19) } else { source.number() };
            put(&mut entries[at], place, width, big_endian, value);
        }
        _ if !entries.is_empty() => {
            let tag = number(&entries[at][..2], big_endian) as u16;
            let values = TAGS.iter().find(|(t, _)| *t == tag).map_or(&[][..], |(_, v)| v);
            set_value(&mut entries[at], values, big_endian, source);
        }
        _ => {}
    }
}

fn set_value(entry: &mut [u8; 12], values: &[u64], big_endian: bool, source: &mut Source) {
    let value = if values.is_empty() || source.once_in(5) { source.number() } else { *source.one_of(values) };
    let width = if number(&entry[2..4], big_endian) == 3 { 2 } else { 4 };
    put(entry, 8, width, big_endian, value);
}

/// The first directory's.
fn entries(input: &[u8], big_endian: bool) -> Option<Vec<[u8; 12]>> {
    let start = number(input.get(4..8)?, big_endian) as usize;
    let count = number(input.get(start..start + 2)?, big_endian) as usize;
    let all = input.get(start + 2..start + 2 + 12 * count)?;
    all.chunks_exact(12).map(|entry| entry.try_into().ok()).collect()
}

fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let push = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) }
}
