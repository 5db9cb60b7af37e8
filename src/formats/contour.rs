//! Outlines of masks along the sides of their pixels, and their simplification.
//!
//! Points are corners of pixels, in pixels from the picture's top left corner: a mask of one pixel has the outline (0, 0), (1, 0),
//! (1, 1), (0, 1), as in COCO. Formats that count from pixel centres have half a pixel less.

use super::FormatError;
use crate::image_io::{Region, Run};
use std::collections::HashMap;
use std::ops::Range;

/// A corner, x and y.
pub type Point = [u32; 2];

/// A closed line, without the first point repeated at the end. It neither touches nor crosses itself before simplification.
pub type Ring = Vec<Point>;

/// Foreground connected at the sides of its pixels. Parts that touch only at corners are separate polygons, because polygons that
/// touch themselves are invalid in most formats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polygon {
    /// Clockwise on the screen, where y points down.
    pub outer: Ring,
    /// Counterclockwise.
    pub holes: Vec<Ring>,
}

/// Largest distance of a simplified outline from the exact one, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance(f64);

impl Tolerance {
    /// No simplification.
    pub const EXACT: Tolerance = Tolerance(0.0);

    /// # Errors
    /// [`FormatError::Tolerance`] for a number that is negative or not finite.
    pub fn new(pixels: f64) -> Result<Tolerance, FormatError> {
        if pixels.is_finite() && pixels >= 0.0 { Ok(Tolerance(pixels)) } else { Err(FormatError::Tolerance(pixels)) }
    }
}

/// The outlines of a mask, in row-major order of their first pixels, simplified by the Douglas-Peucker algorithm
/// (1973).
///
/// An outer outline that would lose its area stays exact; a hole that would is dropped. Simplified outlines may cross
/// themselves or each other, by at most the tolerance.
pub fn outlines(region: &Region, tolerance: Tolerance) -> Vec<Polygon> {
    let parts = region.parts(false);
    let mut polygons: Vec<Polygon> = Vec::new();
    let mut numbers = HashMap::new();
    for (first, walked) in walks(region.runs()) {
        let number = *numbers.entry(parts[first]).or_insert_with(|| {
            polygons.push(Polygon::default());
            polygons.len() - 1
        });
        for ring in simple(walked) {
            let simplified = simplified(&ring, tolerance.0);
            let vanishes = doubled_area(&simplified) == 0;
            match (doubled_area(&ring) > 0, vanishes) {
                (true, false) => polygons[number].outer = simplified,
                (true, true) => polygons[number].outer = ring,
                (false, false) => polygons[number].holes.push(simplified),
                (false, true) => {}
            }
        }
    }
    polygons
}

/// Twice the area, positive for an outer ring (the shoelace formula).
pub(super) fn doubled_area(ring: &[Point]) -> i64 {
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(a, b)| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1])).sum()
}

/// Closed walks around the foreground, which is at the right, each with a run that it passes. Where pixels touch at a corner, a
/// walk turns to stay at its own pixel. Walks follow the left and right ends of runs, so they need only the runs, not the
/// picture.
fn walks(runs: &[Run]) -> Vec<(usize, Vec<Point>)> {
    let rows = Rows::of(runs);
    let mut seen = vec![[false; 2]; runs.len()];
    let mut walks = Vec::new();
    for first in 0..runs.len() {
        for side in [LEFT, RIGHT] {
            let (mut at, mut points) = ((first, side), Vec::new());
            while !std::mem::replace(&mut seen[at.0][at.1], true) {
                at = if at.1 == LEFT { rows.upwards(at.0, &mut points) } else { rows.downwards(at.0, &mut points) };
            }
            if !points.is_empty() {
                walks.push((first, points));
            }
        }
    }
    walks
}

/// The left end of a run, which is passed upwards, and the right one, which is passed downwards.
const LEFT: usize = 0;
const RIGHT: usize = 1;

/// Runs with the start of each row's, because a search in all runs would be slow in large pictures.
struct Rows<'a> {
    runs: &'a [Run],
    begins: Vec<usize>,
}

impl<'a> Rows<'a> {
    fn of(runs: &'a [Run]) -> Rows<'a> {
        let mut begins = Vec::new();
        for (i, run) in runs.iter().enumerate() {
            begins.resize(begins.len().max(run.y as usize + 1), i);
        }
        Rows { runs, begins }
    }

    fn row(&self, y: u32) -> Range<usize> {
        let begin = |y: usize| self.begins.get(y).copied().unwrap_or(self.runs.len());
        begin(y as usize)..begin(y as usize + 1)
    }

    /// The first run of `row` that is not `before`; `guess` is its likely place, because neighbouring rows are similar.
    fn find(&self, row: &Range<usize>, guess: usize, before: impl Fn(&Run) -> bool) -> usize {
        let at = (row.start + guess).min(row.end);
        let after = at == row.start || before(&self.runs[at - 1]);
        if after && (at == row.end || !before(&self.runs[at])) {
            return at;
        }
        row.start + self.runs[row.clone()].partition_point(before)
    }

    /// Walks from the left end of run `i`, where it meets the row above, to the next end.
    fn upwards(&self, i: usize, points: &mut Vec<Point>) -> (usize, usize) {
        let runs = self.runs;
        let Run { y, start, end } = runs[i];
        // The first run that ends after `start` in the row above.
        let row = y.checked_sub(1).map_or(0..0, |above| self.row(above));
        let j = self.find(&row, i - self.row(y).start, |r| r.end <= start);
        let above = (j < row.end).then(|| (j, runs[j]));
        match above {
            Some((j, r)) if r.start == start => (j, LEFT),
            Some((j, r)) if r.start < start => {
                // Left along its lower side, until the row of `i` has foreground, or it begins.
                points.push([start, y]);
                match i.checked_sub(1).map(|i| (i, runs[i])).filter(|(_, before)| before.y == y && before.end > r.start)
                {
                    Some((before, run)) => {
                        points.push([run.end, y]);
                        (before, RIGHT)
                    }
                    None => {
                        points.push([r.start, y]);
                        (j, LEFT)
                    }
                }
            }
            other => {
                // Right along the upper side of `i`, until the row above has foreground, or it ends.
                points.push([start, y]);
                match other.filter(|(_, r)| r.start < end) {
                    Some((j, r)) => {
                        points.push([r.start, y]);
                        (j, LEFT)
                    }
                    None => {
                        points.push([end, y]);
                        (i, RIGHT)
                    }
                }
            }
        }
    }

    /// Walks from the right end of run `i`, where it meets the row below, to the next end.
    fn downwards(&self, i: usize, points: &mut Vec<Point>) -> (usize, usize) {
        let runs = self.runs;
        let Run { y, start, end } = runs[i];
        // The last run that begins before `end` in the row below.
        let row = self.row(y + 1);
        let j = self.find(&row, i - self.row(y).start + 1, |r| r.start < end);
        let below = (j > row.start).then(|| (j - 1, runs[j - 1]));
        let y = y + 1;
        match below {
            Some((j, r)) if r.end == end => (j, RIGHT),
            Some((j, r)) if r.end > end => {
                // Right along its upper side, until the row of `i` has foreground, or it ends.
                points.push([end, y]);
                match runs.get(i + 1).filter(|next| next.y + 1 == y && next.start < r.end) {
                    Some(next) => {
                        points.push([next.start, y]);
                        (i + 1, LEFT)
                    }
                    None => {
                        points.push([r.end, y]);
                        (j, RIGHT)
                    }
                }
            }
            other => {
                // Left along the lower side of `i`, until the row below has foreground, or it begins.
                points.push([end, y]);
                match other.filter(|(_, r)| r.end > start) {
                    Some((j, r)) => {
                        points.push([r.end, y]);
                        (j, RIGHT)
                    }
                    None => {
                        points.push([start, y]);
                        (i, LEFT)
                    }
                }
            }
        }
    }
}

/// Splits a walk that passes a corner twice into several, each of which is an outer outline or a hole.
fn simple(walk: Vec<Point>) -> Vec<Ring> {
    let mut rings = Vec::new();
    let mut way: Ring = Vec::new();
    let mut places: HashMap<Point, usize> = HashMap::new();
    for point in walk {
        if let Some(&since) = places.get(&point) {
            let ring: Ring = way.drain(since..).collect();
            for passed in &ring {
                places.remove(passed);
            }
            rings.push(ring);
        }
        places.insert(point, way.len());
        way.push(point);
    }
    rings.push(way);
    rings
}

/// Simplifies a ring within `tolerance`: Douglas-Peucker on both paths between its first point and the point farthest from
/// it.
fn simplified(ring: &[Point], tolerance: f64) -> Ring {
    if tolerance == 0.0 || ring.len() < 4 {
        return ring.to_vec();
    }
    let squared = |a: Point, b: Point| (0..2).map(|i| (f64::from(a[i]) - f64::from(b[i])).powi(2)).sum::<f64>();
    let far =
        (1..ring.len()).max_by(|&a, &b| squared(ring[0], ring[a]).total_cmp(&squared(ring[0], ring[b]))).unwrap_or(0);
    let mut kept = vec![false; ring.len()];
    kept[0] = true;
    kept[far] = true;
    // Index `len` is the first point again. A list instead of a recursion, because the mask would determine its depth.
    let mut ways = vec![(0, far), (far, ring.len())];
    while let Some((from, to)) = ways.pop() {
        let ends = (ring[from], ring[to % ring.len()]);
        let off = |i: usize| (from_segment(ring[i], ends), i);
        let Some((squared, most)) = (from + 1..to).map(off).max_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
        if squared > tolerance * tolerance {
            kept[most] = true;
            ways.extend([(from, most), (most, to)]);
        }
    }
    ring.iter().zip(kept).filter_map(|(point, kept)| kept.then_some(*point)).collect()
}

/// Squared distance of a point from a segment.
fn from_segment(p: Point, (a, b): (Point, Point)) -> f64 {
    let of = |p: Point| [f64::from(p[0]), f64::from(p[1])];
    let (p, a, b) = (of(p), of(a), of(b));
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let t = if length == 0.0 { 0.0 } else { ((to[0] * along[0] + to[1] * along[1]) / length).clamp(0.0, 1.0) };
    (to[0] - t * along[0]).powi(2) + (to[1] - t * along[1]).powi(2)
}

#[cfg(test)]
#[path = "contour_tests.rs"]
mod tests;
