//! Objects: the connected components of a mask.

use super::region::at;
use super::{BoundingBox, ImageError, Mask, Region, Run, check_finite, check_length};
use std::cmp::Reverse;

/// Which components of a mask count as objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// Drops components of fewer pixels; 0 and 1 drop none.
    pub min_area: u64,
    /// Fills enclosed background; components inside join the enclosing one. This is done first, so
    /// areas and scores are of filled components.
    pub fill_holes: bool,
    /// Keeps only the largest component.
    pub largest: bool,
}

/// A connected component of a mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its pixels, in the whole picture's coordinates.
    pub region: Region,
    /// Number of pixels.
    pub area: u64,
    /// In pixels from the picture's top left corner.
    pub bounding_box: BoundingBox,
    /// The map's mean inside, if there is a map; in [0, 1] for a [`DecodedMap`](super::DecodedMap).
    pub score: Option<f32>,
}

/// The components of `mask` that `options` keep, the largest first; components of equal area are sorted by the top, then the left of
/// their boxes, so that equal masks give equal lists.
///
/// Pixels are connected at sides and corners (8-connectivity): masks are thresholded smooth maps, in which a thin
/// slanted leg is a chain of pixels that touch only at corners. Background is therefore connected at sides only: otherwise
/// it would leak through such a chain, and holes would not be enclosed.
///
/// Scores are means of `map`, `[height, width]` of the mask's size, summed in f64.
///
/// Besides the mask, this takes 20 bytes for each run of foreground (with `fill_holes` also of background), and nothing per pixel.
///
/// # Errors
/// [`ImageError::Length`] and [`ImageError::NotFinite`] for a map of another size or with NaN or infinity.
pub fn find_objects(mask: &Mask, map: Option<&[f32]>, options: &ObjectOptions) -> Result<Vec<Object>, ImageError> {
    if let Some(map) = map {
        check_length("the map of a mask's objects", map.len(), mask.size(), 1)?;
        check_finite(map)?;
    }
    let mut region = Region::of(mask);
    if options.fill_holes {
        region = filled(region);
    }
    let (parts, area) = parts_and_areas(&region);
    let largest = if options.largest { area.iter().copied().max().unwrap_or(0) } else { 0 };
    let least = options.min_area.max(largest).max(1);

    // Runs of each kept component, in the order of first runs.
    let mut order = Vec::new();
    let mut index = vec![u32::MAX; parts.len()];
    for (i, &part) in parts.iter().enumerate() {
        if part == i && area[i] >= least {
            index[i] = order.len() as u32;
            order.push(Vec::new());
        }
    }
    for (run, &part) in region.runs().iter().zip(&parts) {
        if let Some(runs) = order.get_mut(index[part] as usize) {
            runs.push(*run);
        }
    }
    let (width, height) = mask.size();
    let object = |runs: Vec<Run>| {
        let score = map.map(|map| mean(map, width, &runs));
        let region = Region::from_parts(width, height, runs);
        let area = region.area();
        Some(Object { area, bounding_box: region.bounding_box()?, score, region })
    };
    let mut objects: Vec<Object> = order.into_iter().filter_map(object).collect();
    // A stable sort: equal ones stay in the order of first pixels.
    objects.sort_by_key(|o| (Reverse(o.area), o.bounding_box.y, o.bounding_box.x));
    if options.largest {
        objects.truncate(1);
    }
    Ok(objects)
}

/// The mask of `size` (width, height) of all objects together.
///
/// # Errors
/// [`ImageError::Length`] for an object of a picture of another size.
pub fn mask_of_objects(objects: &[Object], (width, height): (u32, u32)) -> Result<Mask, ImageError> {
    let mut foreground = vec![false; width as usize * height as usize];
    for object in objects {
        let (w, h) = object.region.size();
        if (w, h) != (width, height) {
            check_length("the mask of an object", w as usize * h as usize, (width, height), 1)?;
            let (got, want) = (w as usize, width as usize);
            return Err(ImageError::Length { what: "a row of an object's mask", got, want });
        }
        for run in object.region.runs() {
            foreground[at(width, run)].fill(true);
        }
    }
    Mask::new(width, height, foreground)
}

/// The component of each run (see [`Region::parts`]), and the area of each component at the index of its first run.
fn parts_and_areas(region: &Region) -> (Vec<usize>, Vec<u64>) {
    let parts = region.parts(true);
    let mut area = vec![0; parts.len()];
    for (run, &part) in region.runs().iter().zip(&parts) {
        area[part] += u64::from(run.end - run.start);
    }
    (parts, area)
}

/// Adds the background that does not reach the picture's border.
fn filled(region: Region) -> Region {
    let (width, height) = region.size();
    let outside = region.complement();
    let parts = outside.parts(false);
    let mut open = vec![false; parts.len()];
    for (run, &part) in outside.runs().iter().zip(&parts) {
        open[part] |= run.y == 0 || run.y + 1 == height || run.start == 0 || run.end == width;
    }
    let open: Vec<Run> =
        outside.runs().iter().zip(&parts).filter(|(_, part)| open[**part]).map(|(run, _)| *run).collect();
    Region::from_parts(width, height, open).complement()
}

fn mean(map: &[f32], width: u32, runs: &[Run]) -> f32 {
    let sum: f64 = runs.iter().flat_map(|run| &map[at(width, run)]).map(|&v| f64::from(v)).sum();
    let count: u64 = runs.iter().map(|r| u64::from(r.end - r.start)).sum();
    (sum / count as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::super::region::tests::drawn;
    use super::*;

    const ALL: ObjectOptions = ObjectOptions { min_area: 0, fill_holes: false, largest: false };

    fn found(mask: &Mask, options: ObjectOptions) -> Vec<(u64, [u32; 4])> {
        let boxed = |b: BoundingBox| [b.x, b.y, b.width, b.height];
        let objects = find_objects(mask, None, &options).unwrap();
        let mut union = vec![false; mask.foreground().len()];
        for object in &objects {
            let own = object.region.mask();
            assert_eq!((own.bounding_box(), object.region.area()), (Some(object.bounding_box), object.area));
            union.iter_mut().zip(own.foreground()).for_each(|(u, &f)| *u |= f);
        }
        assert_eq!(mask_of_objects(&objects, mask.size()).unwrap().foreground(), union);
        objects.iter().map(|o| (o.area, boxed(o.bounding_box))).collect()
    }

    #[test]
    fn largest_first_then_top_then_left() {
        let mask = drawn(&["#..##", ".....", "##..#", "##...", "....#"]);
        let all = vec![(4, [0, 2, 2, 2]), (2, [3, 0, 2, 1]), (1, [0, 0, 1, 1]), (1, [4, 2, 1, 1]), (1, [4, 4, 1, 1])];
        assert_eq!(found(&mask, ALL), all);
        assert_eq!(found(&mask, ObjectOptions { min_area: 2, ..ALL }), all[..2]);
        assert_eq!(found(&mask, ObjectOptions { largest: true, ..ALL }), all[..1]);
        assert_eq!(found(&mask, ObjectOptions { largest: true, min_area: 5, ..ALL }), []);
        // Of equals the first one is the largest.
        assert_eq!(found(&drawn(&["...", "#.#"]), ObjectOptions { largest: true, ..ALL }), [(1, [0, 1, 1, 1])]);
    }

    #[test]
    fn corners_connect_foreground_and_not_background() {
        let ring = drawn(&[".#.", "#.#", ".#."]);
        assert_eq!(found(&ring, ALL), [(4, [0, 0, 3, 3])]);
        assert_eq!(found(&ring, ObjectOptions { fill_holes: true, ..ALL }), [(5, [0, 0, 3, 3])]);
        let both = drawn(&["#.", ".#"]);
        assert_eq!(found(&both, ObjectOptions { fill_holes: true, ..ALL }), [(2, [0, 0, 2, 2])]);
    }

    #[test]
    fn holes_are_filled_with_what_lies_in_them() {
        let mask = drawn(&["#####.", "#...#.", "#.#.##", "#...#.", "####.#"]);
        let full = ObjectOptions { fill_holes: true, ..ALL };
        assert_eq!(found(&mask, ALL), [(17, [0, 0, 6, 5]), (1, [2, 2, 1, 1])]);
        assert_eq!(found(&mask, full), [(26, [0, 0, 6, 5])]);
        // A bay that reaches the border is not a hole.
        assert_eq!(found(&drawn(&["###", "#.#", "#.#"]), full), [(7, [0, 0, 3, 3])]);
    }

    #[test]
    fn empty_full_and_single_masks() {
        for options in [ALL, ObjectOptions { min_area: 1, fill_holes: true, largest: true }] {
            assert_eq!(found(&drawn(&[]), options), []);
            assert_eq!(found(&drawn(&["...", "..."]), options), []);
            assert_eq!(found(&drawn(&["###", "###"]), options), [(6, [0, 0, 3, 2])]);
            assert_eq!(found(&drawn(&["...", "..#"]), options), [(1, [2, 1, 1, 1])]);
        }
    }

    #[test]
    fn scores_are_means_inside() {
        let mask = drawn(&["##.", "..#", "#.."]);
        let map = [0.5, 0.25, 9.0, 9.0, 9.0, 0.75, 1.0, 9.0, 9.0];
        let objects = find_objects(&mask, Some(&map), &ALL).unwrap();
        assert_eq!(objects.iter().map(|o| o.score).collect::<Vec<_>>(), [Some(0.5), Some(1.0)]);
        assert!(matches!(find_objects(&mask, Some(&map[1..]), &ALL), Err(ImageError::Length { .. })));
        let bad = [f32::NAN; 9];
        assert!(matches!(find_objects(&mask, Some(&bad), &ALL), Err(ImageError::NotFinite { .. })));
        assert!(mask_of_objects(&objects, (9, 1)).is_err() && mask_of_objects(&objects, (3, 2)).is_err());
    }

    /// The areas that a plain flood fill finds.
    fn flooded(mask: &Mask) -> Vec<u64> {
        let (w, h) = (mask.width() as i64, mask.height() as i64);
        let mut left = mask.foreground().to_vec();
        let mut areas = Vec::new();
        for i in 0..left.len() {
            let (mut stack, mut area) = (vec![i as i64], 0);
            while let Some(p) = stack.pop() {
                if !std::mem::take(&mut left[p as usize]) {
                    continue;
                }
                area += 1;
                for (dx, dy) in (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (dx, dy))) {
                    let (x, y) = (p % w + dx, p / w + dy);
                    if (0..w).contains(&x) && (0..h).contains(&y) {
                        stack.push(y * w + x);
                    }
                }
            }
            areas.extend((area > 0).then_some(area));
        }
        areas.sort_unstable_by_key(|&a| Reverse(a));
        areas
    }

    #[test]
    fn random_masks_have_the_parts_that_a_flood_finds() {
        let mut rng = fastrand::Rng::with_seed(30);
        for n in 0..300 {
            let (w, h) = (rng.u32(1..24), rng.u32(1..24));
            let density = 0.1 + 0.8 * f64::from(n) / 300.0;
            let mask = Mask::new(w, h, (0..w * h).map(|_| rng.f64() < density).collect()).unwrap();
            let areas: Vec<u64> = found(&mask, ALL).iter().map(|o| o.0).collect();
            assert_eq!(areas, flooded(&mask), "seed 30, mask {n}");
        }
    }
}
