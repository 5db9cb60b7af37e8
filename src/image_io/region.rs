//! Masks as runs of pixels, which are small for large uniform areas.

use super::{BoundingBox, ImageError, Mask};

/// Adjacent foreground pixels in a row: `start <= x < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    pub y: u32,
    pub start: u32,
    pub end: u32,
}

/// A binary mask as runs of foreground: 12 bytes per run, at most one run for two pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    width: u32,
    height: u32,
    /// Row by row, from left to right; runs of a row do not touch.
    runs: Vec<Run>,
}

impl Region {
    /// The runs of a mask.
    pub fn of(mask: &Mask) -> Region {
        let (width, height) = mask.size();
        let mut runs = Vec::new();
        for (y, row) in mask.foreground().chunks_exact(width.max(1) as usize).enumerate() {
            let mut at = 0;
            while let Some(first) = row[at..].iter().position(|&f| f) {
                let start = at + first;
                at = row[start..].iter().position(|&f| !f).map_or(row.len(), |n| start + n);
                runs.push(Run { y: y as u32, start: start as u32, end: at as u32 });
            }
        }
        Region { width, height, runs }
    }

    /// A region from runs, sorted by row and then from left to right.
    ///
    /// # Errors
    /// [`ImageError::Runs`] if they are not sorted, touch or overlap in a row, are empty, or lie outside `width` x `height`.
    pub fn new(width: u32, height: u32, runs: Vec<Run>) -> Result<Region, ImageError> {
        let apart = |a: Run, b: Run| a.y < b.y || a.y == b.y && a.end < b.start;
        let inside = |r: &Run| r.y < height && r.start < r.end && r.end <= width;
        let wrong = (0..runs.len()).find(|&i| !inside(&runs[i]) || i > 0 && !apart(runs[i - 1], runs[i]));
        match wrong {
            Some(index) => Err(ImageError::Runs { index, width, height }),
            None => Ok(Region { width, height, runs }),
        }
    }

    /// For callers that guarantee valid runs.
    pub(super) fn from_parts(width: u32, height: u32, runs: Vec<Run>) -> Region {
        debug_assert!(Region::new(width, height, runs.clone()).is_ok());
        Region { width, height, runs }
    }

    /// Width and height of the mask in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Row by row from the top, each row from left to right.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Number of foreground pixels.
    pub fn area(&self) -> u64 {
        self.runs.iter().map(|r| u64::from(r.end - r.start)).sum()
    }

    /// The smallest rectangle around all foreground; `None` if there is none.
    pub fn bounding_box(&self) -> Option<BoundingBox> {
        let (first, last) = (self.runs.first()?, self.runs.last()?);
        let x = self.runs.iter().map(|r| r.start).min()?;
        let end = self.runs.iter().map(|r| r.end).max()?;
        Some(BoundingBox { x, y: first.y, width: end - x, height: last.y - first.y + 1 })
    }

    /// The same pixels as a mask.
    pub fn mask(&self) -> Mask {
        let mut foreground = vec![false; self.width as usize * self.height as usize];
        for run in &self.runs {
            foreground[at(self.width, run)].fill(true);
        }
        Mask::from_parts(self.width, self.height, foreground)
    }

    /// Whether the pixel is foreground; false outside the mask.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        let next = self.runs.partition_point(|r| (r.y, r.start) <= (y, x));
        next.checked_sub(1).is_some_and(|i| self.runs[i].y == y && x < self.runs[i].end)
    }

    /// The background's runs.
    pub(super) fn complement(&self) -> Region {
        let (width, mut runs) = (self.width, Vec::new());
        let mut gap = |y: u32, start: u32, end: u32| {
            if start < end {
                runs.push(Run { y, start, end });
            }
        };
        let mut next = 0;
        for y in 0..self.height {
            let mut from = 0;
            while let Some(run) = self.runs.get(next).filter(|r| r.y == y) {
                gap(y, from, run.start);
                from = run.end;
                next += 1;
            }
            gap(y, from, width);
        }
        Region { width, height: self.height, runs }
    }

    /// The connected component of each run, as the index of the component's first run. Pixels are connected at sides,
    /// and with `corners` also at corners.
    pub fn parts(&self, corners: bool) -> Vec<usize> {
        let runs = &self.runs;
        // A forest whose parents precede their children, so roots are first runs.
        let mut parents: Vec<usize> = (0..runs.len()).collect();
        let reach = u32::from(corners);
        // The first run of the row above that may touch this one.
        let mut above = 0;
        for i in 0..runs.len() {
            let run = runs[i];
            while above < i
                && (runs[above].y + 1 < run.y || runs[above].y + 1 == run.y && runs[above].end + reach <= run.start)
            {
                above += 1;
            }
            let mut j = above;
            while j < i && runs[j].y + 1 == run.y && runs[j].start < run.end + reach {
                let (a, b) = (root(&mut parents, i), root(&mut parents, j));
                parents[a.max(b)] = a.min(b);
                j += 1;
            }
        }
        for i in 0..parents.len() {
            parents[i] = parents[parents[i]];
        }
        parents
    }
}

/// The indices of a run in `[height, width]`.
pub(super) fn at(width: u32, run: &Run) -> std::ops::Range<usize> {
    let row = run.y as usize * width as usize;
    row + run.start as usize..row + run.end as usize
}

/// Finds the root with path halving, which keeps paths short without recursion.
fn root(parents: &mut [usize], mut i: usize) -> usize {
    while parents[i] != i {
        parents[i] = parents[parents[i]];
        i = parents[i];
    }
    i
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows of `#` and `.`.
    pub fn drawn(rows: &[&str]) -> Mask {
        let foreground = rows.iter().flat_map(|r| r.bytes().map(|b| b == b'#')).collect();
        Mask::new(rows.first().map_or(0, |r| r.len() as u32), rows.len() as u32, foreground).unwrap()
    }

    #[test]
    fn runs_there_and_back() {
        let mask = drawn(&["##.#", "....", ".##.", "####"]);
        let region = Region::of(&mask);
        let run = |y, start, end| Run { y, start, end };
        assert_eq!(region.runs(), [run(0, 0, 2), run(0, 3, 4), run(2, 1, 3), run(3, 0, 4)]);
        assert_eq!((region.mask(), region.area()), (mask.clone(), 9));
        assert_eq!(region.bounding_box(), mask.bounding_box());
        assert_eq!(region.complement().mask(), drawn(&["..#.", "####", "#..#", "...."]));
        for (i, &f) in mask.foreground().iter().enumerate() {
            assert_eq!(region.contains(i as u32 % 4, i as u32 / 4), f, "{i}");
        }
        assert!(!region.contains(4, 0) && !region.contains(0, 9));
    }

    #[test]
    fn empty_masks_have_no_runs() {
        for (w, h) in [(0, 0), (0, 3), (3, 0), (3, 2)] {
            let region = Region::of(&Mask::new(w, h, vec![false; (w * h) as usize]).unwrap());
            assert_eq!((region.runs().len(), region.area(), region.bounding_box()), (0, 0, None));
            assert_eq!(region.complement().area(), u64::from(w * h));
        }
    }

    #[test]
    fn runs_out_of_order_are_refused() {
        let run = |y, start, end| Run { y, start, end };
        let told = |runs: &[Run]| Region::new(4, 3, runs.to_vec()).map(|r| r.area());
        assert_eq!(told(&[run(0, 0, 2), run(0, 3, 4), run(2, 0, 4)]).unwrap(), 7);
        for bad in [
            &[run(0, 2, 2)][..],
            &[run(0, 3, 5)],
            &[run(3, 0, 1)],
            &[run(0, 0, 2), run(0, 2, 3)],
            &[run(0, 0, 3), run(0, 2, 4)],
            &[run(1, 0, 1), run(0, 0, 1)],
        ] {
            assert!(matches!(told(bad), Err(ImageError::Runs { .. })), "{bad:?}");
        }
    }

    #[test]
    fn parts_touch_at_sides_and_where_asked_at_corners() {
        let region = Region::of(&drawn(&["#.#", ".#.", "...", "##.", ".##"]));
        assert_eq!(region.parts(true), [0, 0, 0, 3, 3]);
        assert_eq!(region.parts(false), [0, 1, 2, 3, 3]);
        // Components that meet only further down.
        let region = Region::of(&drawn(&["#.#.#", "#.#.#", "#.###", "###.."]));
        assert_eq!(region.parts(false), [0; 9]);
    }
}
