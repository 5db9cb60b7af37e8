//! Objects of masks larger than memory. A source reads the rows from the top, once for each pass.
//!
//! A union-find over runs keeps a number for each part and nothing for a pixel. A run takes the number of the part that it touches in the row
//! above, or a new number; parts that meet are joined. The same rows give the same numbers, so a later pass finds each run's part again.

use super::{BoundingBox, ImageError, Object, ObjectOptions, Region, Run};
use std::cmp::Reverse;

/// Limit of numbered parts in a mask; each takes 44 bytes.
const MOST_PARTS: usize = 1 << 23;
/// Limit of runs in all regions; each takes 12 bytes.
const MOST_RUNS: usize = 1 << 25;

/// Reads the next row: the map's values, and whether each pixel is foreground.
pub type Rows<'a> = Box<dyn FnMut() -> Result<(Vec<f32>, Vec<bool>), ImageError> + 'a>;

/// Starts a pass over the rows from the top.
pub type RowSource<'a> = &'a dyn Fn() -> Result<Rows<'a>, ImageError>;

/// A connected part, without its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowObject {
    /// In pixels.
    pub area: u64,
    /// In pixels from the picture's top left corner.
    pub bounding_box: BoundingBox,
    /// The mean of the map inside.
    pub score: f32,
}

/// Objects of a mask that is read by rows: the same as [`find_objects`](super::find_objects) finds, in the same order.
pub struct RowObjects {
    size: (u32, u32),
    /// Whether each numbered part of the background reaches the border; only if holes are filled.
    open: Option<Vec<bool>>,
    /// The object that each numbered part belongs to.
    object: Vec<Option<u32>>,
    objects: Vec<RowObject>,
}

/// Numbers the runs of successive rows by connected part.
struct Numbers {
    /// 1 if corners connect, else 0.
    reach: u32,
    /// A forest in which no parent is larger than its child.
    parents: Vec<u32>,
    /// The previous row.
    above: Vec<(Run, u32)>,
}

impl Numbers {
    fn new(corners: bool) -> Numbers {
        Numbers { reach: u32::from(corners), parents: Vec::new(), above: Vec::new() }
    }

    fn root(&mut self, mut number: u32) -> u32 {
        while self.parents[number as usize] != number {
            self.parents[number as usize] = self.parents[self.parents[number as usize] as usize];
            number = self.parents[number as usize];
        }
        number
    }

    /// The runs of the next row with their numbers.
    fn row(&mut self, runs: impl IntoIterator<Item = Run>) -> Result<&[(Run, u32)], ImageError> {
        let (above, reach) = (std::mem::take(&mut self.above), self.reach);
        let mut numbered = Vec::with_capacity(above.len());
        let mut first = 0;
        for run in runs {
            while above.get(first).is_some_and(|(other, _)| other.end + reach <= run.start) {
                first += 1;
            }
            let mut own: Option<u32> = None;
            for (_, number) in above[first..].iter().take_while(|(other, _)| other.start < run.end + reach) {
                let root = self.root(*number);
                own = Some(match own {
                    None => root,
                    Some(own) => {
                        self.parents[own.max(root) as usize] = own.min(root);
                        own.min(root)
                    }
                });
            }
            let number = match own {
                Some(number) => number,
                None if self.parents.len() == MOST_PARTS => {
                    return Err(ImageError::Parts { what: "parts", most: MOST_PARTS });
                }
                None => {
                    self.parents.push(self.parents.len() as u32);
                    self.parents.len() as u32 - 1
                }
            };
            numbered.push((run, number));
        }
        self.above = numbered;
        Ok(&self.above)
    }

    /// The first number of each number's part.
    fn roots(mut self) -> Vec<u32> {
        for number in 0..self.parents.len() {
            self.parents[number] = self.parents[self.parents[number] as usize];
        }
        self.parents
    }
}

/// The runs of a row that equal `wanted`.
fn runs(row: &[bool], y: u32, wanted: bool) -> impl Iterator<Item = Run> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + row.get(at..)?.iter().position(|&value| value == wanted)?;
        at = row[start..].iter().position(|&value| value != wanted).map_or(row.len(), |n| start + n);
        Some(Run { y, start: start as u32, end: at as u32 })
    })
}

/// The extent of a part so far.
#[derive(Clone, Copy)]
struct Extent {
    area: u64,
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

impl Extent {
    fn of(run: Run) -> Extent {
        Extent { area: u64::from(run.end - run.start), left: run.start, right: run.end, top: run.y, bottom: run.y + 1 }
    }

    fn join(&mut self, other: Extent) {
        *self = Extent {
            area: self.area + other.area,
            left: self.left.min(other.left),
            right: self.right.max(other.right),
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
        };
    }
}

impl RowObjects {
    /// Reads all rows of a picture of (width, height) twice, and a third time to fill holes.
    ///
    /// # Errors
    /// Errors of the rows; [`ImageError::Parts`] if the mask has too many parts.
    pub fn find(size: (u32, u32), options: &ObjectOptions, source: RowSource) -> Result<RowObjects, ImageError> {
        let open = if options.fill_holes { Some(open_parts(size, source)?) } else { None };
        let mut found = RowObjects { size, open, object: Vec::new(), objects: Vec::new() };
        let (mut next, mut filler, mut numbers) = (source()?, found.filler(), Numbers::new(true));
        let mut extents: Vec<Extent> = Vec::new();
        for y in 0..size.1 {
            let row = filler.fill(next()?.1, y)?;
            for &(run, number) in numbers.row(runs(&row, y, true))? {
                match extents.get_mut(number as usize) {
                    Some(extent) => extent.join(Extent::of(run)),
                    None => extents.push(Extent::of(run)),
                }
            }
        }
        let roots = numbers.roots();
        for number in (0..roots.len()).rev().filter(|&number| roots[number] as usize != number) {
            let own = extents[number];
            extents[roots[number] as usize].join(own);
        }
        let first = |number: &usize| roots[*number] as usize == *number;
        let largest = (0..roots.len()).filter(first).map(|number| extents[number].area).max().unwrap_or(0);
        let least = options.min_area.max(if options.largest { largest } else { 1 });
        let mut kept: Vec<usize> = (0..roots.len()).filter(first).filter(|&n| extents[n].area >= least).collect();
        // The sort is stable, as in find_objects: equal parts stay in the order of their first pixels.
        kept.sort_by_key(|&number| (Reverse(extents[number].area), extents[number].top, extents[number].left));
        if options.largest {
            kept.truncate(1);
        }
        let mut of_root: Vec<Option<u32>> = vec![None; roots.len()];
        (0..).zip(&kept).for_each(|(place, &number)| of_root[number] = Some(place));
        found.object = roots.iter().map(|&root| of_root[root as usize]).collect();
        found.objects = kept.iter().map(|&number| RowObject::of(extents[number])).collect();
        drop((extents, of_root, roots));
        // Sums in the order of pixels, as find_objects adds, give the same bits.
        let mut sums = vec![0.0_f64; found.objects.len()];
        let (mut next, mut replay) = (source()?, found.replay());
        for _ in 0..size.1 {
            let (values, row) = next()?;
            for (run, object) in replay.row(row)? {
                let values = &values[run.start as usize..run.end as usize];
                values.iter().for_each(|&value| sums[object as usize] += f64::from(value));
            }
        }
        drop(replay);
        for (object, sum) in found.objects.iter_mut().zip(sums) {
            object.score = (sum / object.area as f64) as f32;
        }
        Ok(found)
    }

    /// Sorted by area, largest first, then by the top and the left of their boxes.
    pub fn objects(&self) -> &[RowObject] {
        &self.objects
    }

    /// Finds the objects' runs in a further pass over the same rows.
    pub fn replay(&self) -> Replay<'_> {
        Replay { found: self, filler: self.filler(), numbers: Numbers::new(true), y: 0 }
    }

    fn filler(&self) -> Filler<'_> {
        Filler { open: self.open.as_deref(), numbers: Numbers::new(false) }
    }

    /// The objects with their pixels. Reads all rows again.
    ///
    /// # Errors
    /// Errors of the rows; [`ImageError::Parts`] if the objects have too many runs.
    pub fn with_regions(&self, source: RowSource) -> Result<Vec<Object>, ImageError> {
        let (mut next, mut replay, mut count) = (source()?, self.replay(), 0);
        let mut all: Vec<Vec<Run>> = vec![Vec::new(); self.objects.len()];
        for _ in 0..self.size.1 {
            for (run, object) in replay.row(next()?.1)? {
                all[object as usize].push(run);
                count += 1;
            }
            if count > MOST_RUNS {
                return Err(ImageError::Parts { what: "rows of objects", most: MOST_RUNS });
            }
        }
        let object = |(own, runs): (&RowObject, Vec<Run>)| Object {
            region: Region::from_parts(self.size.0, self.size.1, runs),
            area: own.area,
            bounding_box: own.bounding_box,
            score: Some(own.score),
        };
        Ok(self.objects.iter().zip(all).map(object).collect())
    }
}

impl RowObject {
    fn of(extent: Extent) -> RowObject {
        let Extent { area, left, right, top, bottom } = extent;
        let bounding_box = BoundingBox { x: left, y: top, width: right - left, height: bottom - top };
        RowObject { area, bounding_box, score: 0.0 }
    }
}

/// Whether each numbered part of the background reaches the border.
fn open_parts((width, height): (u32, u32), source: RowSource) -> Result<Vec<bool>, ImageError> {
    let (mut next, mut numbers, mut open) = (source()?, Numbers::new(false), Vec::new());
    for y in 0..height {
        let row = next()?.1;
        for &(run, number) in numbers.row(runs(&row, y, false))? {
            open.resize(open.len().max(number as usize + 1), false);
            open[number as usize] |= y == 0 || y + 1 == height || run.start == 0 || run.end == width;
        }
    }
    let roots = numbers.roots();
    for (number, &root) in roots.iter().enumerate().rev() {
        open[root as usize] |= open[number];
    }
    Ok(roots.iter().map(|&root| open[root as usize]).collect())
}

/// Fills the holes of rows.
struct Filler<'a> {
    open: Option<&'a [bool]>,
    numbers: Numbers,
}

impl Filler<'_> {
    fn fill(&mut self, mut row: Vec<bool>, y: u32) -> Result<Vec<bool>, ImageError> {
        let Some(open) = self.open else { return Ok(row) };
        let background: Vec<Run> = runs(&row, y, false).collect();
        for &(run, number) in self.numbers.row(background)? {
            if !open.get(number as usize).is_none_or(|open| *open) {
                row[run.start as usize..run.end as usize].fill(true);
            }
        }
        Ok(row)
    }
}

/// Finds objects in rows that were read before.
pub struct Replay<'a> {
    found: &'a RowObjects,
    filler: Filler<'a>,
    numbers: Numbers,
    y: u32,
}

impl Replay<'_> {
    /// The runs of the next row, and the place of the object that each is of.
    ///
    /// # Errors
    /// As [`RowObjects::find`].
    pub fn row(&mut self, row: Vec<bool>) -> Result<Vec<(Run, u32)>, ImageError> {
        let row = self.filler.fill(row, self.y)?;
        let numbered = self.numbers.row(runs(&row, self.y, true))?;
        self.y += 1;
        let of = |&(run, number): &(Run, u32)| Some((run, (*self.found.object.get(number as usize)?)?));
        Ok(numbered.iter().filter_map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mask, find_objects, mask_of_objects};
    use super::*;

    /// Every option, on random masks of all densities: areas, boxes, scores to the last bit, regions and their order are those of the whole.
    #[test]
    fn objects_are_those_of_the_whole_mask() {
        let mut rng = fastrand::Rng::with_seed(31);
        for n in 0..400_u32 {
            let (w, h) = (rng.u32(1..40), rng.u32(1..40));
            let density = 0.05 + 0.9 * f64::from(n) / 400.0;
            let mask = Mask::new(w, h, (0..w * h).map(|_| rng.f64() < density).collect()).unwrap();
            let map: Vec<f32> = (0..w * h).map(|_| rng.f32()).collect();
            let source = || -> Result<Rows<'_>, ImageError> {
                let mut rows = map.chunks(w as usize).zip(mask.foreground().chunks(w as usize));
                Ok(Box::new(move || {
                    let (values, row) = rows.next().unwrap();
                    Ok((values.to_vec(), row.to_vec()))
                }))
            };
            for options in (0..8).map(|bits| ObjectOptions {
                min_area: if bits & 1 == 0 { 0 } else { 4 },
                fill_holes: bits & 2 != 0,
                largest: bits & 4 != 0,
            }) {
                let want = find_objects(&mask, Some(&map), &options).unwrap();
                let found = RowObjects::find((w, h), &options, &source).unwrap();
                assert_eq!(found.with_regions(&source).unwrap(), want, "mask {n}, {options:?}");
                let of = |o: &Object| (o.area, o.bounding_box, o.score.unwrap().to_bits());
                let by_rows: Vec<_> =
                    found.objects().iter().map(|o| (o.area, o.bounding_box, o.score.to_bits())).collect();
                assert_eq!(by_rows, want.iter().map(of).collect::<Vec<_>>());
                let mut kept = vec![false; (w * h) as usize];
                let mut replay = found.replay();
                for (y, row) in mask.foreground().chunks(w as usize).enumerate() {
                    for (run, _) in replay.row(row.to_vec()).unwrap() {
                        kept[y * w as usize..][run.start as usize..run.end as usize].fill(true);
                    }
                }
                assert_eq!(kept, mask_of_objects(&want, (w, h)).unwrap().foreground());
            }
        }
    }
}
