//! COCO's RLE: column by column from the left, each from the top, background first.

use crate::image_io::Region;
use serde::Serialize;

/// `{"size": [height, width], "counts": "..."}`, the same bytes as `pycocotools.mask.encode` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rle {
    /// Height and width, in this order.
    pub size: [u32; 2],
    /// Compressed counts ([`compressed`]).
    pub counts: String,
}

impl Rle {
    /// The compressed RLE of a mask.
    pub fn of(region: &Region) -> Rle {
        let (width, height) = region.size();
        Rle { size: [height, width], counts: compressed(&counts(region)) }
    }
}

/// Lengths of runs of background and foreground, alternating, column by column; the first is 0 if the top left pixel is foreground.
/// Takes 8 bytes for each pixel that differs from its upper neighbour.
pub fn counts(region: &Region) -> Vec<u64> {
    let (width, height) = (u64::from(region.size().0), u64::from(region.size().1));
    let runs = region.runs();
    // The sequence changes at pixels that differ from the one above. If a column ends in foreground and the next begins with
    // foreground, both give a change at the same place, and they cancel.
    let mut changes: Vec<u64> = Vec::new();
    let mut columns: Vec<u32> = Vec::new();
    let row = |y: u64, from: usize| from + runs[from..].iter().take_while(|r| u64::from(r.y) == y).count();
    let (mut above, mut here) = (0..0, 0..row(0, 0));
    for y in 0..=height {
        // The sorted ends of both rows' runs: between each pair of them the rows differ.
        let both = [above.clone(), here.clone()];
        columns.extend(both.into_iter().flat_map(|r| &runs[r]).flat_map(|r| [r.start, r.end]));
        columns.sort_unstable();
        for pair in columns.chunks_exact(2) {
            changes.extend((u64::from(pair[0])..u64::from(pair[1])).map(|x| x * height + y));
        }
        columns.clear();
        let next = row(y + 1, here.end);
        (above, here) = (here.clone(), here.end..next);
    }
    changes.sort_unstable();
    let (mut counts, mut at) = (Vec::new(), 0);
    let mut changes = changes.into_iter().peekable();
    while let Some(change) = changes.next() {
        if changes.next_if_eq(&change).is_none() {
            counts.push(change - at);
            at = change;
        }
    }
    if at < width * height {
        counts.push(width * height - at);
    }
    counts
}

/// Encodes counts as text, from the fourth on as differences from the count two before: five bits per character from `0`, low bits first,
/// plus 32 if more follow (`rleToString` of COCO's API).
pub fn compressed(counts: &[u64]) -> String {
    let mut text = String::new();
    for (i, &count) in counts.iter().enumerate() {
        let mut left = count as i64 - if i > 2 { counts[i - 2] as i64 } else { 0 };
        loop {
            let bits = (left & 31) as u8;
            left >>= 5;
            // The highest bit of the last five is the sign.
            let more = left != if bits & 16 == 0 { 0 } else { -1 };
            text.push(char::from(48 + bits + if more { 32 } else { 0 }));
            if !more {
                break;
            }
        }
    }
    text
}

/// Decodes the text of [`compressed`].
///
/// # Errors
/// As text: invalid characters, an end within a number, numbers that are no counts.
pub fn counts_of(text: &str) -> Result<Vec<u64>, String> {
    let mut counts: Vec<u64> = Vec::new();
    let (mut value, mut shift) = (0_i64, 0_u32);
    for byte in text.bytes() {
        let bits = byte.checked_sub(48).filter(|bits| *bits < 64).ok_or("compressed RLE has an invalid character")?;
        if shift > 55 {
            return Err("compressed RLE has a number that is too large".into());
        }
        value |= i64::from(bits & 31) << shift;
        shift += 5;
        if bits & 32 != 0 {
            continue;
        }
        if bits & 16 != 0 {
            value |= -1 << shift;
        }
        let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
        let count = u64::try_from(value + before as i64).map_err(|_| "compressed RLE has a negative length")?;
        // Later lengths are added to it, and no picture has this many pixels.
        counts.push(if count < 1 << 48 {
            count
        } else {
            return Err("compressed RLE has a length that is too large".into());
        });
        (value, shift) = (0, 0);
    }
    if shift == 0 { Ok(counts) } else { Err("compressed RLE ends within a number".into()) }
}

/// Adds the foreground of runs to a mask `[height, width]`.
///
/// # Errors
/// As text: runs of another length than the picture.
pub fn add(counts: &[u64], (width, height): (u32, u32), mask: &mut [bool]) -> Result<(), String> {
    let (width, height) = (width as usize, height as usize);
    let total = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    if total != (width * height) as u64 || mask.len() != width * height {
        return Err(format!("the RLE has {total} pixels, but the picture has {}", width * height));
    }
    let mut at = 0;
    for (run, &count) in counts.iter().enumerate() {
        let end = at + count as usize;
        if run % 2 == 1 {
            (at..end).for_each(|pixel| mask[pixel % height * width + pixel / height] = true);
        }
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::drawn;

    /// The counts by a plain loop over the columns.
    fn plainly(region: &Region) -> Vec<u64> {
        let (w, h) = region.size();
        let (mut counts, mut kind, mut length) = (Vec::new(), false, 0);
        for pixel in (0..w).flat_map(|x| (0..h).map(move |y| region.contains(x, y))) {
            if pixel != kind {
                counts.push(std::mem::take(&mut length));
                kind = pixel;
            }
            length += 1;
        }
        counts.extend((length > 0).then_some(length));
        counts
    }

    #[test]
    fn columns_from_the_left() {
        assert_eq!(counts(&drawn(&["..#", ".##"])), [3, 3]);
        assert_eq!(counts(&drawn(&["#..", "#.#"])), [0, 2, 3, 1]);
        assert_eq!(counts(&drawn(&["...", "..."])), [6]);
        assert_eq!(counts(&drawn(&["###", "###"])), [0, 6]);
        assert_eq!(counts(&drawn(&["#"])), [0, 1]);
        assert_eq!(counts(&drawn(&[])), [0; 0]);
    }

    #[test]
    fn random_masks() {
        let mut rng = fastrand::Rng::with_seed(8);
        for n in 0..200 {
            let (w, h) = (rng.u32(1..12), rng.u32(1..12));
            let mask = crate::image_io::Mask::new(w, h, (0..w * h).map(|_| rng.u32(0..200) < n).collect()).unwrap();
            let region = Region::of(&mask);
            let made = counts(&region);
            assert_eq!(made, plainly(&region), "seed 8, mask {n}");
            assert_eq!(counts_of(&compressed(&made)), Ok(made.clone()));
            let mut back = vec![false; mask.foreground().len()];
            add(&made, (w, h), &mut back).unwrap();
            assert_eq!(back, mask.foreground());
        }
    }

    #[test]
    fn characters_of_five_bits() {
        // 100 is 0b11_00100; the last 4 is -96 from 100, 0b1_11101_00000.
        assert_eq!(compressed(&[3, 3]), "33");
        assert_eq!(compressed(&[16, 0]), "`00");
        assert_eq!(compressed(&[0, 100, 5, 4]), "0T35PM");
        for bad in ["T", " ", "o", "\u{e9}", "oooooooooooooooo0", "000@"] {
            assert!(counts_of(bad).is_err(), "{bad}");
        }
        assert!(
            add(&[1, 2], (2, 2), &mut [false; 4]).is_err() && add(&[u64::MAX, 5], (2, 2), &mut [false; 4]).is_err()
        );
    }
}
