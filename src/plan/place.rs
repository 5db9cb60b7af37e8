//! Placement of values that a single run needs: their lifetimes, and the parts of shared buffers ("slots") that values take in turn.

use super::recorder::{Recording, Window};
use super::tensor::TensorId;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// A part of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub slot: usize,
    /// In bytes, a multiple of the adapter's alignment.
    pub offset: u64,
}

/// The minimum distance, in dispatches, between the uses of two values that lie side by side in one slot. First try a few: a driver that
/// waits for the last writer of a buffer makes neighbours wait for each other. Where that takes more memory, fall back to 1: no dispatch
/// may read a buffer that it writes, even at another offset.
const APART: [usize; 2] = [4, 1];

/// One dispatch's use of a value.
struct Use {
    dispatch: usize,
    /// In bytes.
    from: u64,
    to: u64,
    writes: bool,
}

/// A value's uses, in order.
struct Life {
    value: u32,
    bytes: u64,
    uses: Vec<Use>,
    /// It must exist from before the first dispatch until after the last.
    whole: bool,
}

impl Life {
    fn span(&self) -> (usize, usize) {
        match (self.whole, self.uses.first(), self.uses.last()) {
            (false, Some(first), Some(last)) => (first.dispatch, last.dispatch),
            _ => (0, usize::MAX),
        }
    }

    fn meets(&self, other: &Life) -> bool {
        let (a, b) = (self.span(), other.span());
        a.0 <= b.1 && b.0 <= a.1
    }

    /// Whether dispatches less than `apart` from each other use both, and one of them writes.
    fn collides(&self, other: &Life, apart: usize) -> bool {
        let mut first = 0;
        self.uses.iter().any(|a| {
            while other.uses.get(first).is_some_and(|b| b.dispatch + apart <= a.dispatch) {
                first += 1;
            }
            let near = other.uses[first..].iter().take_while(|b| b.dispatch < a.dispatch + apart);
            near.into_iter().any(|b| a.writes || b.writes)
        })
    }

    /// Whether it may take the place of `old`, byte by byte: it writes no byte before the last read of that byte of `old`.
    fn succeeds(&self, old: &Life) -> bool {
        let first = self.span().0;
        let late = || old.uses.iter().rev().take_while(|was| was.dispatch >= first);
        let spoils =
            |was: &Use, is: &Use| is.writes && is.dispatch <= was.dispatch && is.from < was.to && was.from < is.to;
        !self.whole
            && !old.whole
            && self.bytes == old.bytes
            && old.span().0 < first
            && !self.collides(old, 1)
            && late().all(|was| !self.uses.iter().any(|is| spoils(was, is)))
    }
}

fn id(of: TensorId) -> Option<u32> {
    match of {
        TensorId::Value(v) => Some(v),
        TensorId::Constant(..) => None,
    }
}

/// The values to place. Inputs and outputs have buffers of their own and are left out, except for those that are handed on.
fn lives(recording: &Recording) -> Vec<Life> {
    let mut uses: HashMap<u32, Vec<Use>> = HashMap::new();
    for (dispatch, recorded) in recording.dispatches.iter().enumerate() {
        let mut note = |windows: &[Window], writes| {
            for Window { tensor, offset, size } in windows {
                if let Some(value) = id(tensor.id) {
                    uses.entry(value).or_default().push(Use { dispatch, from: *offset, to: offset + size, writes });
                }
            }
        };
        note(&recorded.inputs, false);
        note(&recorded.outputs, true);
    }
    for outside in recording.inputs.iter().chain(&recording.outputs).filter_map(|t| id(t.id)) {
        uses.remove(&outside);
    }
    let handed: BTreeSet<u32> = recording.handed.iter().filter_map(|t| id(t.id)).collect();
    let life = |(value, uses)| {
        let bytes = recording.values[value as usize].bytes();
        Life { value, bytes, uses, whole: handed.contains(&value) }
    };
    uses.into_iter().map(life).collect()
}

/// Places the values, largest first, each into the first range that is free during its lifetime. `slots` exist already; more are added
/// where they do not suffice. Returns the bytes used of each slot, and the places.
pub(super) fn place(recording: &Recording, slots: &[u64]) -> (Vec<u64>, HashMap<u32, Place>) {
    let align = recording.limits.offset_alignment.max(1);
    let mut lives = lives(recording);
    lives.sort_by_key(|life| (Reverse(life.bytes), life.value));
    let mut slots: Vec<(u64, Vec<(&Life, u64)>)> = slots.iter().map(|bytes| (*bytes, Vec::new())).collect();
    let mut places = HashMap::new();
    for life in &lives {
        let found = APART.into_iter().find_map(|apart| {
            slots.iter().enumerate().find_map(|(slot, (bytes, taken))| {
                free(life, *bytes, taken, align, apart).map(|offset| Place { slot, offset })
            })
        });
        let place = found.unwrap_or(Place { slot: slots.len(), offset: 0 });
        if found.is_none() {
            slots.push((life.bytes, Vec::new()));
        }
        slots[place.slot].1.push((life, place.offset));
        places.insert(life.value, place);
    }
    let used = slots.iter().map(|(_, taken)| taken.iter().map(|(life, offset)| offset + life.bytes).max().unwrap_or(0));
    (used.collect(), places)
}

/// The first offset in a slot of `bytes` where `life` fits beside the values there, at that distance.
fn free(life: &Life, bytes: u64, taken: &[(&Life, u64)], align: u64, apart: usize) -> Option<u64> {
    let room = bytes.checked_sub(life.bytes)?;
    let beside: Vec<&(&Life, u64)> = taken.iter().filter(|(other, _)| life.meets(other)).collect();
    if beside.is_empty() {
        return Some(0);
    }
    let mut offsets = BTreeSet::from([0]);
    for (other, offset) in &beside {
        offsets.extend([*offset, (offset + other.bytes).next_multiple_of(align)]);
    }
    offsets.into_iter().take_while(|offset| *offset <= room).find(|&offset| {
        beside.iter().all(|(other, at)| match offset < at + other.bytes && *at < offset + life.bytes {
            false => !life.collides(other, apart),
            true => offset == *at && (life.succeeds(other) || other.succeeds(life)),
        })
    })
}

#[cfg(test)]
impl super::Schedule {
    /// Replays the dispatches, and tracks which value each byte of each slot holds.
    ///
    /// # Errors
    /// A dispatch reads another value than its own, or reads and writes one slot.
    #[cfg(all(test, feature = "embedded"))]
    pub(crate) fn prove(&self) -> Result<(), String> {
        let mut held: Vec<Vec<(u64, u64, u32)>> = vec![Vec::new(); self.slots.len()];
        let placed = |windows: &[Window]| -> Vec<(Place, u64, u64, u32)> {
            let place = |w: &Window| {
                let value = id(w.tensor.id)?;
                let place = *self.places.get(&value)?;
                Some((place, place.offset + w.offset, place.offset + w.offset + w.size, value))
            };
            windows.iter().filter_map(place).collect()
        };
        for (i, dispatch) in self.dispatches().iter().enumerate() {
            let (reads, writes) = (placed(&dispatch.inputs), placed(&dispatch.outputs));
            for (place, from, to, value) in &reads {
                let name = &self.recording.values[*value as usize].name;
                if writes.iter().any(|write| write.0.slot == place.slot) {
                    return Err(format!("dispatch {i} reads {name} from a buffer that it also writes"));
                }
                if *to > self.slots[place.slot] {
                    return Err(format!("{name} extends beyond its slot"));
                }
                let foreign = held[place.slot].iter().find(|(a, b, other)| a < to && from < b && other != value);
                if let Some((.., other)) = foreign {
                    let other = &self.recording.values[*other as usize].name;
                    return Err(format!("dispatch {i} reads {name}, but finds {other}"));
                }
            }
            for (place, from, to, value) in writes {
                let before = std::mem::take(&mut held[place.slot]);
                let cut = before.into_iter().flat_map(|(a, b, v)| [(a, b.min(from), v), (a.max(to), b, v)]);
                held[place.slot] = cut.filter(|(a, b, _)| a < b).chain([(from, to, value)]).collect();
            }
        }
        for tensor in &self.recording.handed {
            let Some((value, place)) = id(tensor.id).and_then(|v| Some((v, *self.places.get(&v)?))) else { continue };
            let (from, to) = (place.offset, place.offset + tensor.bytes());
            if held[place.slot].iter().any(|&(a, b, other)| a < to && from < b && other != value) {
                return Err(format!("{} is overwritten before it is handed on", tensor.name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(uses: &[(usize, (u64, u64), bool)]) -> Life {
        let uses = uses.iter().map(|&(dispatch, (from, to), writes)| Use { dispatch, from, to, writes });
        Life { value: 0, bytes: 1024, uses: uses.collect(), whole: false }
    }

    #[test]
    fn a_value_takes_anothers_place_part_by_part_only_behind_its_readers() {
        let (first, second, all) = ((0, 512), (512, 1024), (0, 1024));
        // Written as a whole, read in two halves.
        let old = life(&[(0, all, true), (1, first, false), (3, second, false)]);
        assert!(life(&[(2, first, true), (4, second, true), (5, all, false)]).succeeds(&old));
        // The second half is written before it is read.
        assert!(!life(&[(2, second, true), (4, first, true)]).succeeds(&old));
        // Overlapping halves.
        assert!(!life(&[(2, (0, 520), true), (4, second, true)]).succeeds(&old));
        // A dispatch that uses both.
        assert!(!life(&[(1, first, true), (4, second, true)]).succeeds(&old));
        // Another size, and a value that must exist to the end.
        assert!(!Life { bytes: 512, ..life(&[(2, first, true)]) }.succeeds(&old));
        assert!(!life(&[(2, first, true)]).succeeds(&Life { whole: true, ..old }));
    }

    #[test]
    fn neighbours_share_a_slot_only_where_they_must() {
        let all = (0, 1024);
        let a = life(&[(0, all, true), (20, all, false)]);
        let offset = |b: &Life| free(b, 4096, &[(&a, 0)], 256, 4);
        assert_eq!(offset(&life(&[(8, all, true), (12, all, false)])), Some(1024));
        // It is written too soon after the other. Its reader, soon before the other's writer, does no harm.
        assert_eq!(offset(&life(&[(2, all, true), (12, all, false)])), None);
        assert_eq!(offset(&life(&[(8, all, true), (19, all, false)])), Some(1024));
        assert_eq!(offset(&life(&[(21, all, true), (22, all, false)])), Some(0));
        // There is no room beside it.
        assert_eq!(free(&life(&[(8, all, true), (12, all, false)]), 2000, &[(&a, 0)], 256, 4), None);
        // Closer only where necessary, and never in one dispatch.
        assert_eq!(free(&life(&[(2, all, true), (12, all, false)]), 4096, &[(&a, 0)], 256, 1), Some(1024));
        assert_eq!(free(&life(&[(20, all, true), (22, all, false)]), 4096, &[(&a, 0)], 256, 1), None);
    }
}
