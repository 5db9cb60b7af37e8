//! The values of a mask, their numbers of pixels, and whether they fill areas.

use std::collections::HashMap;

/// Marks a pixel that does not count.
pub(super) const HIDDEN: u32 = u32::MAX;

/// Most values to count; further ones add only to the total.
const MOST_VALUES: usize = 1 << 16;

/// A value and its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub value: u32,
    /// Number of pixels.
    pub count: u64,
    /// Number of inner pixels, whose neighbours all have the value, too: many in a label's area, few in a soft edge or a photograph.
    pub inner: u64,
}

/// The values of a mask, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub entries: Vec<Entry>,
    /// Number of pixels that count.
    pub total: u64,
}

impl Table {
    /// Counts `value` over the pixels of a picture; it may be [`HIDDEN`].
    pub fn new(width: usize, height: usize, value: impl Fn(usize) -> u32) -> Table {
        let mut places: HashMap<u32, usize> = HashMap::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut total = 0;
        let fill = |row: &mut Vec<u32>, y: usize| {
            row.clear();
            row.extend((y * width..(y + 1) * width).map(&value));
        };
        let (mut above, mut here, mut below) = (Vec::new(), Vec::new(), Vec::new());
        if height > 0 {
            fill(&mut below, 0);
        }
        let mut last: Option<(u32, usize)> = None;
        for y in 0..height {
            std::mem::swap(&mut above, &mut here);
            std::mem::swap(&mut here, &mut below);
            below.clear();
            if y + 1 < height {
                fill(&mut below, y + 1);
            }
            for (x, &this) in here.iter().enumerate() {
                if this == HIDDEN {
                    continue;
                }
                total += 1;
                let place = match last {
                    Some((value, place)) if value == this => place,
                    _ => {
                        let next = entries.len();
                        if next >= MOST_VALUES && !places.contains_key(&this) {
                            continue;
                        }
                        let place = *places.entry(this).or_insert(next);
                        if place == next {
                            entries.push(Entry { value: this, count: 0, inner: 0 });
                        }
                        last = Some((this, place));
                        place
                    }
                };
                let near = x.saturating_sub(1)..(x + 2).min(width);
                let like = |row: &[u32]| {
                    row.get(near.clone()).unwrap_or(&[]).iter().all(|&other| other == this || other == HIDDEN)
                };
                entries[place].count += 1;
                entries[place].inner += u64::from(like(&here) && like(&above) && like(&below));
            }
        }
        entries.sort_unstable_by_key(|entry| entry.value);
        Table { entries, total }
    }

    /// `count` in percent of all pixels.
    pub fn percent(&self, count: u64) -> f32 {
        (100.0 * count as f64 / self.total.max(1) as f64) as f32
    }
}

/// The fraction of inner pixels of these entries, from 0 to 1.
pub(super) fn flatness(entries: &[Entry]) -> f64 {
    let sum = |of: fn(&Entry) -> u64| entries.iter().map(of).sum::<u64>();
    sum(|e| e.inner) as f64 / sum(|e| e.count).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_with_what_lies_inside() {
        // A 3 x 3 square of 7 in the corner of a 5 x 4 picture of 0, with one hidden pixel.
        let at = |i: usize| match (i % 5, i / 5) {
            (4, 3) => HIDDEN,
            (0..=2, 0..=2) => 7,
            _ => 0,
        };
        let table = Table::new(5, 4, at);
        // Positions outside the picture and hidden pixels do not count as different.
        let seven = Entry { value: 7, count: 9, inner: 4 };
        let zero = Entry { value: 0, count: 10, inner: 3 };
        assert_eq!(table, Table { entries: vec![zero, seven], total: 19 });
        assert_eq!((flatness(&[seven]), flatness(&[])), (4.0 / 9.0, 0.0));
        assert_eq!(Table::new(0, 0, |_| 0).total, 0);
    }

    #[test]
    fn values_beyond_the_most_count_in_the_total_alone() {
        let table = Table::new(400, 400, |i| i as u32);
        assert_eq!((table.entries.len(), table.total), (MOST_VALUES, 160_000));
    }
}
