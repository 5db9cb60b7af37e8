//! Joins several rings into one closed line, for formats whose polygons have neither holes nor parts.

use super::{Point, Ring};
use std::collections::{BTreeSet, HashMap};

/// One closed line along all of `rings`, without the first point repeated at the end: each ring after the first is reached from the nearest
/// corner of the rings before it, walked around, and left on the same path. The path there and back encloses nothing.
pub fn joined<'a>(rings: impl IntoIterator<Item = &'a Ring>) -> Ring {
    let rings: Vec<&Ring> = rings.into_iter().filter(|r| !r.is_empty()).collect();
    // Corners of the rings so far, by row: y, x, ring and place in it.
    let mut corners = BTreeSet::new();
    let mut branches: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
    for (number, ring) in rings.iter().enumerate() {
        if let Some(place) = nearest(&corners, ring[0]) {
            branches.entry(place).or_default().push(number);
        }
        corners.extend(ring.iter().enumerate().map(|(at, p)| (p[1], p[0], number, at)));
    }
    let mut line = Vec::new();
    // A stack of steps; a recursion would be as deep as the mask has holes.
    let mut ahead = Vec::from_iter((!rings.is_empty()).then_some(Step::Walk(0, 0)));
    while let Some(step) = ahead.pop() {
        match step {
            Step::Back(point) => line.push(point),
            Step::Walk(number, at) => match rings[number].get(at) {
                Some(&point) => {
                    line.push(point);
                    ahead.push(Step::Walk(number, at + 1));
                    for &branch in branches.get(&(number, at)).into_iter().flatten().rev() {
                        ahead.extend([Step::Back(point), Step::Walk(branch, 0)]);
                    }
                }
                None if number > 0 => line.push(rings[number][0]),
                None => {}
            },
        }
    }
    line
}

enum Step {
    /// Continue along a ring from an index.
    Walk(usize, usize),
    /// Return to a corner after a branch.
    Back(Point),
}

/// Ring and index of the corner nearest to `point`.
fn nearest(corners: &BTreeSet<(u32, u32, usize, usize)>, point: Point) -> Option<(usize, usize)> {
    let squared = |a: u32, b: u32| u64::from(a.abs_diff(b)).pow(2);
    let here = (point[1], point[0], 0, 0);
    let mut best: Option<(u64, usize, usize)> = None;
    let mut look = |&(y, x, ring, at): &(u32, u32, usize, usize)| {
        let rows = squared(y, point[1]);
        if best.is_some_and(|(b, ..)| b <= rows) {
            return false;
        }
        let distance = rows + squared(x, point[0]);
        if best.is_none_or(|(b, ..)| distance < b) {
            best = Some((distance, ring, at));
        }
        true
    };
    let _ = corners.range(here..).all(&mut look);
    let _ = corners.range(..here).rev().all(&mut look);
    best.map(|(_, ring, at)| (ring, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::contour::doubled_area;

    #[test]
    fn there_and_back() {
        let square = |x: u32, y: u32, s: u32| vec![[x, y], [x + s, y], [x + s, y + s], [x, y + s]];
        let (outer, mut hole, far) = (square(0, 0, 9), square(2, 3, 1), square(20, 20, 2));
        hole.reverse();
        assert_eq!(joined([&outer]), outer);
        assert!(joined([]).is_empty());
        let line = joined([&outer, &hole, &far]);
        // Each further ring repeats its first corner and the corner it is reached from.
        assert_eq!(line.len(), 4 + 6 + 6);
        assert_eq!(doubled_area(&line), 2 * (81 - 1 + 4));
        let twice = |p: Point| line.iter().filter(|q| **q == p).count();
        assert_eq!([twice([9, 9]), twice([20, 20]), twice([0, 0]), twice([2, 4])], [2, 2, 2, 2]);
    }

    #[test]
    fn the_nearest_corner_is_found() {
        let mut rng = fastrand::Rng::with_seed(9);
        for n in 0..500 {
            let mut corner = || [rng.u32(0..30), rng.u32(0..30)];
            let (points, from) = ((0..1 + n % 40).map(|_| corner()).collect::<Vec<Point>>(), corner());
            let squared = |p: Point| p[0].abs_diff(from[0]).pow(2) + p[1].abs_diff(from[1]).pow(2);
            let corners = points.iter().enumerate().map(|(at, p)| (p[1], p[0], 0, at)).collect();
            let (_, at) = nearest(&corners, from).unwrap();
            assert_eq!(Some(squared(points[at])), points.iter().map(|p| squared(*p)).min(), "seed 9, list {n}");
        }
        assert_eq!(nearest(&BTreeSet::new(), [0, 0]), None);
    }
}
