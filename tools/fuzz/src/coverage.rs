//! Measures which edges an input covers, with counters that LLVM's coverage sanitizer inserts into the crates named in sancov.sh.

use std::slice;
use std::sync::Mutex;

/// Start and length of each crate's counters.
static COUNTERS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called before `main`, once per object with counters.
///
/// # Safety
/// Only the compiler's code may call it, with the two ends of a section.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    let range = (start as usize, end as usize - start as usize);
    if let Ok(mut all) = COUNTERS.lock()
        && range.1 > 0
        && !all.contains(&range)
    {
        all.push(range);
    }
}

/// The coverage so far.
pub struct Coverage {
    ranges: Vec<(usize, usize)>,
    /// For each counter, the orders of magnitude that it had, as bits.
    seen: Vec<Vec<u8>>,
    /// Counters that were not zero at least once.
    pub edges: usize,
}

/// The counters themselves. Release the slice before other code runs.
fn section<'a>(&(start, len): &(usize, usize)) -> &'a mut [u8] {
    // SAFETY: a section of bytes that lives as long as the process. The code that counts in it runs in this thread, between
    // calls of the functions below; these hold one slice of it at a time.
    unsafe { slice::from_raw_parts_mut(start as *mut u8, len) }
}

impl Coverage {
    pub fn new() -> Coverage {
        let ranges = COUNTERS.lock().map(|all| all.clone()).unwrap_or_default();
        let seen = ranges.iter().map(|r| vec![0; r.1]).collect();
        Coverage { ranges, seen, edges: 0 }
    }

    pub fn counters(&self) -> usize {
        self.ranges.iter().map(|r| r.1).sum()
    }

    pub fn clear(&mut self) {
        self.ranges.iter().for_each(|r| section(r).fill(0));
    }

    /// Whether the counters show something new, which then counts as seen.
    pub fn gained(&mut self) -> bool {
        let mut gained = false;
        for (range, seen) in self.ranges.iter().zip(&mut self.seen) {
            for (counters, seen) in section(range).chunks(16).zip(seen.chunks_mut(16)) {
                // Most are zero.
                if counters.iter().all(|&c| c == 0) {
                    continue;
                }
                for (&count, seen) in counters.iter().zip(seen) {
                    let magnitude = match count {
                        0 => continue,
                        1..=3 => 1 << (count - 1),
                        4..=7 => 1 << 3,
                        8..=15 => 1 << 4,
                        16..=31 => 1 << 5,
                        32..=127 => 1 << 6,
                        128.. => 1 << 7,
                    };
                    if *seen & magnitude == 0 {
                        self.edges += usize::from(*seen == 0);
                        *seen |= magnitude;
                        gained = true;
                    }
                }
            }
        }
        gained
    }
}
