//! TIFF and BigTIFF: changes, adds and removes the directory's entries; the data that they point to stays in place.

use super::{Source, bytes, put};

/// Tags, with values that lead to different code. Value sizes by type: 3 is two bytes, 4 is four.
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

/// A file's number format.
#[derive(Clone, Copy)]
struct Form {
    big_endian: bool,
    /// Bytes of counts and offsets: 4, or 8 in a BigTIFF.
    word: usize,
}

impl Form {
    fn of(input: &[u8]) -> Option<Form> {
        let (big_endian, word) = match input.get(..4)? {
            b"II*\0" => (false, 4),
            b"MM\0*" => (true, 4),
            b"II+\0" => (false, 8),
            b"MM\0+" => (true, 8),
            _ => return None,
        };
        Some(Form { big_endian, word })
    }

    /// Position of the offset of the first directory, and bytes of a directory's count.
    fn head(self) -> (usize, usize) {
        if self.word == 8 { (8, 8) } else { (4, 2) }
    }

    fn entry(self) -> usize {
        4 + 2 * self.word
    }

    fn number(self, bytes: &[u8]) -> u64 {
        let push = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) }
    }

    fn put(self, to: &mut [u8], at: usize, width: usize, value: u64) {
        put(to, at, width, self.big_endian, value);
    }
}

pub fn mutate(input: &mut Vec<u8>, source: &mut Source) {
    let found = Form::of(input).and_then(|form| Some((form, entries(input, form)?)));
    let Some((form, mut entries)) = found.filter(|_| !source.once_in(4)) else { return bytes(input, source) };
    for _ in 0..source.few() {
        edit(&mut entries, form, source);
    }
    if !source.once_in(8) {
        entries.sort_by_key(|e| form.number(&e[..2]));
    }
    // Append a new directory; all offsets stay valid.
    input.resize(input.len() + input.len() % 2, 0);
    let (start, (first, count)) = (input.len(), form.head());
    form.put(input, first, form.word, start as u64);
    input.resize(start + count, 0);
    form.put(input, start, count, entries.len() as u64);
    input.extend(entries.concat());
    let (end, next) = (input.len(), if source.once_in(8) { source.number() } else { 0 });
    input.resize(end + form.word, 0);
    form.put(input, end, form.word, next);
}

fn edit(entries: &mut Vec<Vec<u8>>, form: Form, source: &mut Source) {
    let at = source.below(entries.len());
    match source.below(8) {
        0 if !entries.is_empty() => drop(entries.remove(at)),
        1 => {
            let &(tag, values) = source.one_of(&TAGS);
            let mut entry = vec![0; form.entry()];
            form.put(&mut entry, 0, 2, tag.into());
            form.put(&mut entry, 2, 2, if source.rng.bool() { 3 } else { 4 });
            form.put(&mut entry, 4, form.word, if source.once_in(4) { source.number() } else { 1 });
            set_value(&mut entry, values, form, source);
            entries.push(entry);
        }
        2 | 3 if !entries.is_empty() => {
            let (place, width) = *source.one_of(&[(2, 2), (4, form.word), (4 + form.word, form.word)]);
            let value = if place == 2 { source.rng.u64(..19) } else { source.number() };
            form.put(&mut entries[at], place, width, value);
        }
        _ if !entries.is_empty() => {
            let tag = form.number(&entries[at][..2]) as u16;
            let values = TAGS.iter().find(|(t, _)| *t == tag).map_or(&[][..], |(_, v)| v);
            set_value(&mut entries[at], values, form, source);
        }
        _ => {}
    }
}

fn set_value(entry: &mut [u8], values: &[u64], form: Form, source: &mut Source) {
    let value = if values.is_empty() || source.once_in(5) { source.number() } else { *source.one_of(values) };
    let width = match form.number(&entry[2..4]) {
        3 => 2,
        4 => 4,
        _ => form.word,
    };
    form.put(entry, 4 + form.word, width, value);
}

/// The entries of the first directory.
fn entries(input: &[u8], form: Form) -> Option<Vec<Vec<u8>>> {
    let (first, count) = form.head();
    let start = form.number(input.get(first..first + form.word)?) as usize;
    let table = start.checked_add(count)?;
    let size = (form.number(input.get(start..table)?) as usize).checked_mul(form.entry())?;
    let all = input.get(table..table.checked_add(size)?)?;
    Some(all.chunks_exact(form.entry()).map(<[u8]>::to_vec).collect())
}
