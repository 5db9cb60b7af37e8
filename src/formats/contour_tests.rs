//! Outlines of small masks, and of random ones filled again.

use super::*;
use crate::formats::tests::drawn;
use crate::image_io::Mask;

fn exact(rows: &[&str]) -> Vec<Polygon> {
    outlines(&drawn(rows), Tolerance::EXACT)
}

/// Pixels whose centres have an odd number of outlines to their left.
fn refilled(polygons: &[Polygon], (width, height): (u32, u32)) -> Vec<bool> {
    let mut inside = vec![false; (width * height) as usize];
    for ring in polygons.iter().flat_map(|p| [&p.outer].into_iter().chain(&p.holes)) {
        for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            assert!(a[0] == b[0] || a[1] == b[1]);
            for y in a[1].min(b[1])..a[1].max(b[1]) {
                (a[0]..width).for_each(|x| inside[(y * width + x) as usize] ^= true);
            }
        }
    }
    inside
}

#[test]
fn one_pixel_and_all_pixels() {
    assert_eq!(exact(&["#"])[0].outer, [[0, 0], [1, 0], [1, 1], [0, 1]]);
    let full = exact(&["###", "###"]);
    assert_eq!((full.len(), full[0].outer.len(), full[0].holes.len()), (1, 4, 0));
    assert_eq!(doubled_area(&full[0].outer), 12);
    assert!(exact(&[]).is_empty() && exact(&["..", ".."]).is_empty());
}

trait Rotated {
    fn rotated_to(self, first: Point) -> Self;
}

impl Rotated for Ring {
    fn rotated_to(mut self, first: Point) -> Ring {
        let at = self.iter().position(|p| *p == first).unwrap();
        self.rotate_left(at);
        self
    }
}

#[test]
fn holes_go_the_other_way() {
    let ring = exact(&["###", "#.#", "###"]);
    assert_eq!((ring.len(), ring[0].holes.len()), (1, 1));
    assert_eq!(doubled_area(&ring[0].outer), 18);
    assert_eq!(ring[0].holes[0].clone().rotated_to([1, 1]), [[1, 1], [1, 2], [2, 2], [2, 1]]);
    // Foreground in a hole is a polygon of its own.
    let nested = exact(&["#####", "#...#", "#.#.#", "#...#", "#####"]);
    assert_eq!(nested.iter().map(|p| p.holes.len()).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn what_touches_at_a_corner_is_two_polygons() {
    let two = exact(&["#.", ".#"]);
    assert_eq!(two.iter().map(|p| doubled_area(&p.outer)).collect::<Vec<_>>(), [2, 2]);
    // Two pixels of background that touch at a corner are two holes.
    let holes = exact(&["####", "#.##", "##.#", "####"]);
    assert_eq!(holes[0].holes.iter().map(|h| doubled_area(h)).collect::<Vec<_>>(), [-2, -2]);
    // A ring closed at a corner: its inside is a hole that touches the outer outline.
    let closed = exact(&["###", "#.#", "##."]);
    assert_eq!((closed.len(), doubled_area(&closed[0].outer), closed[0].holes.len()), (1, 16, 1));
}

#[test]
fn outlines_fill_to_the_mask_again() {
    let mut rng = fastrand::Rng::with_seed(6);
    for n in 0..400 {
        let (w, h) = (rng.u32(1..20), rng.u32(1..20));
        let mask = Mask::new(w, h, (0..w * h).map(|_| rng.u32(0..400) < n).collect()).unwrap();
        let region = Region::of(&mask);
        let polygons = outlines(&region, Tolerance::EXACT);
        assert_eq!(refilled(&polygons, (w, h)), mask.foreground(), "seed 6, mask {n}");
        let mut area = 0;
        for polygon in &polygons {
            assert!(doubled_area(&polygon.outer) > 0);
            area += doubled_area(&polygon.outer);
            for ring in [&polygon.outer].into_iter().chain(&polygon.holes) {
                let unique: std::collections::HashSet<_> = ring.iter().collect();
                assert_eq!(unique.len(), ring.len(), "seed 6, mask {n}: a corner twice");
            }
            for hole in &polygon.holes {
                assert!(doubled_area(hole) < 0);
                area += doubled_area(hole);
            }
        }
        assert_eq!(area as u64, 2 * region.area(), "seed 6, mask {n}");
    }
}

#[test]
fn simplified_outlines_stay_near() {
    // A staircase at 45 degrees: its corners are 0.71 from its slope.
    let rows: Vec<String> = (1..=20).map(|n| "#".repeat(n) + &".".repeat(20 - n)).collect();
    let region = drawn(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let points = |t| outlines(&region, Tolerance::new(t).unwrap())[0].outer.clone();
    assert_eq!(points(0.0).len(), 42);
    assert_eq!(points(0.4).len(), 42);
    assert!((3..=5).contains(&points(1.0).len()), "{:?}", points(1.0));
    // Outer outlines that would vanish stay exact; holes go.
    let ring = drawn(&["###", "#.#", "###"]);
    let all = outlines(&ring, Tolerance::new(100.0).unwrap());
    assert_eq!((all[0].outer.len(), all[0].holes.len()), (4, 0));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(Tolerance::new(bad).is_err());
    }
}

#[test]
fn simplified_is_never_farther_than_the_tolerance() {
    let mut rng = fastrand::Rng::with_seed(7);
    for n in 0..60 {
        let mask = Mask::new(16, 16, (0..256).map(|_| rng.f64() < 0.65).collect()).unwrap();
        let tolerance = rng.f64() * 3.0;
        for walked in walks(Region::of(&mask).runs()) {
            for ring in simple(walked.1) {
                let few = super::simplified(&ring, tolerance);
                let ends = |i: usize| (few[i], few[(i + 1) % few.len()]);
                for p in &ring {
                    let near = (0..few.len()).map(|i| from_segment(*p, ends(i))).fold(f64::MAX, f64::min);
                    assert!(near.sqrt() <= tolerance + 1e-9, "seed 7, mask {n}");
                }
            }
        }
    }
}
