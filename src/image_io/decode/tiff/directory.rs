//! A TIFF's directories and the values of their tags. EXIF is a TIFF without a picture and is read here, too.

/// Most directories of a chain, which may be long (a stack of pages) or a loop.
const MOST_DIRECTORIES: usize = 4096;
/// Most tags of all directories of a chain: in a hostile file they overlap, each as large as the file allows.
const MOST_TAGS: usize = 1 << 18;

/// The bytes of a TIFF, and its number formats.
#[derive(Clone, Copy)]
pub struct File<'a> {
    pub bytes: &'a [u8],
    pub big_endian: bool,
    /// Whether offsets and counts have 8 bytes (BigTIFF).
    big: bool,
}

/// A directory: tag, type, count and value position of each entry.
pub struct Directory<'a> {
    file: File<'a>,
    entries: Vec<(u16, u16, &'a [u8])>,
}

impl<'a> File<'a> {
    /// `None` if the bytes do not begin like a TIFF.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let mut file = Self { bytes, big_endian, big: false };
        file.big = match file.number(2, 2)? {
            42 => false,
            43 if file.number(4, 2)? == 8 => true,
            _ => return None,
        };
        Some(file)
    }

    /// The unsigned number of `size` bytes at the start of `bytes`.
    pub fn unsigned(self, bytes: &[u8]) -> u64 {
        let shift = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) }
    }

    fn number(self, at: u64, size: u64) -> Option<u64> {
        Some(self.unsigned(self.slice(at, size)?))
    }

    /// `length` bytes from `at` on; `None` if the file does not hold all of them.
    pub fn slice(self, at: u64, length: u64) -> Option<&'a [u8]> {
        let (begin, end) = (usize::try_from(at).ok()?, usize::try_from(at.checked_add(length)?).ok()?);
        self.bytes.get(begin..end)
    }

    /// The chain of directories from the file's header. An unreadable one ends it.
    pub fn directories(self) -> Vec<Directory<'a>> {
        let first = if self.big { self.number(8, 8) } else { self.number(4, 4) };
        let mut seen = Vec::new();
        let mut found = Vec::new();
        let mut next = first;
        let mut tags = 0;
        while let Some(at) = next.filter(|&at| at != 0 && seen.len() < MOST_DIRECTORIES && !seen.contains(&at)) {
            seen.push(at);
            let Some((directory, following)) = self.directory(at) else { break };
            tags += directory.entries.len();
            if tags > MOST_TAGS && !found.is_empty() {
                break;
            }
            found.push(directory);
            next = following;
        }
        found
    }

    /// The directory at `at`, and the position of the next one. Skips entries whose values lie outside the file.
    pub fn directory(self, at: u64) -> Option<(Directory<'a>, Option<u64>)> {
        let (head, entry, word) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(at, head)?;
        let table = self.slice(at.checked_add(head)?, count.checked_mul(entry)?)?;
        let read = |entry: &'a [u8]| {
            let (tag, kind) = (self.unsigned(&entry[..2]) as u16, self.unsigned(&entry[2..4]) as u16);
            let (count, value) = entry[4..].split_at(word);
            let length = self.unsigned(count).checked_mul(size_of_kind(kind)?)?;
            let values = match value.get(..usize::try_from(length).ok()?) {
                Some(inside) => inside,
                None => self.slice(self.unsigned(value), length)?,
            };
            Some((tag, kind, values))
        };
        let entries = table.chunks_exact(entry as usize).filter_map(read).collect();
        let next = self.number(at + head + count * entry, word as u64);
        Some((Directory { file: self, entries }, next))
    }
}

/// Bytes of a value of a type.
fn size_of_kind(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}

impl<'a> Directory<'a> {
    /// A tag's raw bytes.
    pub fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.entries.iter().find(|entry| entry.0 == tag).map(|entry| entry.2)
    }

    /// A tag's values, if they are integers of any size.
    pub fn numbers(&self, tag: u16) -> Option<impl ExactSizeIterator<Item = u64> + 'a> {
        let &(_, kind, bytes) = self.entries.iter().find(|entry| entry.0 == tag)?;
        let file = self.file;
        let whole = matches!(kind, 1 | 3 | 4 | 6 | 7 | 8 | 9 | 13 | 16 | 17 | 18);
        let size = size_of_kind(kind).filter(|_| whole)?;
        Some(bytes.chunks_exact(size as usize).map(move |bytes| file.unsigned(bytes)))
    }

    /// A tag's values, if they are 8-byte floating-point numbers.
    pub fn doubles(&self, tag: u16) -> Option<impl ExactSizeIterator<Item = f64> + 'a> {
        let &(_, kind, bytes) = self.entries.iter().find(|entry| entry.0 == tag)?;
        let file = self.file;
        (kind == 12).then(|| bytes.chunks_exact(8).map(move |bytes| f64::from_bits(file.unsigned(bytes))))
    }

    /// A tag's first value.
    pub fn number(&self, tag: u16) -> Option<u64> {
        self.numbers(tag)?.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        // One entry: tag 256, a SHORT of 7; then this directory again.
        bytes.extend(b"\x01\0\x00\x01\x03\0\x01\0\0\0\x07\0\0\0\x08\0\0\0");
        let found = File::new(&bytes).unwrap().directories();
        assert_eq!((found.len(), found[0].number(256)), (1, Some(7)));
        assert_eq!(found[0].number(257), None);
    }

    #[test]
    fn directories_that_overlap_do_not_fill_the_memory() {
        // Each begins 12 bytes after the previous one and has 20,000 tags, followed by the position of the next one.
        let (tags, count) = (20_000_u32, 1000);
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        for i in 0..=tags + count {
            // The number of tags, and most of a tag: number and type (BYTE) or the next position, one value.
            let place = if i < tags { 0x1_0100 } else { 8 + 12 * (i - tags + 1) };
            bytes.extend((tags as u16).to_le_bytes());
            bytes.extend(place.to_le_bytes());
            bytes.extend(b"\x01\0\0\0\0\0");
        }
        let found = File::new(&bytes).unwrap().directories();
        let held: usize = found.iter().map(|directory| directory.entries.len()).sum();
        assert!(found.len() > 1 && held <= MOST_TAGS, "{} directories, {held} tags", found.len());
    }

    #[test]
    fn values_beyond_the_file_are_none() {
        let mut bytes = b"MM\0*\0\0\0\x08".to_vec();
        bytes.extend(b"\0\x02\x01\0\0\x04\xff\xff\xff\xff\0\0\0\0\x01\x01\0\x04\0\0\0\x01\0\0\0\x05\0\0\0\0");
        let found = File::new(&bytes).unwrap().directories();
        assert_eq!((found[0].number(256), found[0].number(257)), (None, Some(5)));
        assert!(File::new(b"MM\0*").unwrap().directories().is_empty());
        // More entries than the file holds.
        assert!(File::new(b"II*\0\x08\0\0\0\xff\xff").unwrap().directories().is_empty());
        assert!(File::new(b"II+\0\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff").unwrap().directories().is_empty());
    }
}
