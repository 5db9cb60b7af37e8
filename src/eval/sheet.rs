//! Contact sheets: pictures of episodes, to look at before the numbers.

use super::metrics::{FOREGROUND, IGNORE};
use crate::Example;
use crate::image_io::{ImageError, Mask, RgbImage, paint_overlay, resize_bilinear_rgb};

/// Predicted, but not the class.
const WRONG: [u8; 3] = [230, 97, 0];
/// The class, but not predicted.
const MISSED: [u8; 3] = [40, 80, 220];
/// Ignored pixels.
const SKIPPED: [u8; 3] = [255, 255, 255];

/// Side of a tile and the white between tiles, in pixels.
const TILE: u32 = 256;
const GAP: u32 = 8;
/// Most supports to show.
const MOST_SUPPORTS: usize = 5;

/// An episode's pictures, all at S x S.
pub struct Pictures {
    pub supports: Vec<Example>,
    pub query: RgbImage,
    /// [`super::BACKGROUND`], [`FOREGROUND`] or [`IGNORE`]
    pub truth: Vec<u8>,
    pub prediction: Mask,
}

/// A row of tiles: the supports with their masks (the first five), the query, the query with its true mask, the
/// query with the predicted one, and where they disagree: over the darkened query, orange is predicted but wrong, blue
/// is missed, white is ignored.
///
/// # Errors
/// Pictures that are not all of one size.
pub fn contact_sheet(pictures: &Pictures) -> Result<RgbImage, ImageError> {
    let Pictures { supports, query, truth, prediction } = pictures;
    let (width, height) = query.dimensions();
    let true_mask = Mask::new(width, height, truth.iter().map(|&t| t == FOREGROUND).collect())?;
    let mut tiles = Vec::new();
    for support in supports.iter().take(MOST_SUPPORTS) {
        tiles.push(paint_overlay(support.image(), &support.mask())?);
    }
    tiles.push(query.clone());
    tiles.push(paint_overlay(query, &true_mask)?);
    tiles.push(paint_overlay(query, prediction)?);
    let mut disagreement = query.clone();
    let answers = truth.iter().zip(prediction.foreground());
    for (pixel, (&truth, &predicted)) in disagreement.chunks_exact_mut(3).zip(answers) {
        match (truth, predicted) {
            (IGNORE, _) => pixel.copy_from_slice(&SKIPPED),
            (FOREGROUND, false) => pixel.copy_from_slice(&MISSED),
            (FOREGROUND, true) => {}
            (_, true) => pixel.copy_from_slice(&WRONG),
            (_, false) => pixel.iter_mut().for_each(|v| *v /= 3),
        }
    }
    tiles.push(disagreement);
    let mut sheet = RgbImage::from_pixel(tiles.len() as u32 * (TILE + GAP) + GAP, TILE + 2 * GAP, image::Rgb([255; 3]));
    for (i, tile) in tiles.iter().enumerate() {
        let left = i64::from(GAP + i as u32 * (TILE + GAP));
        image::imageops::replace(&mut sheet, &resize_bilinear_rgb(tile, TILE, TILE), left, i64::from(GAP));
    }
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disagreement_has_its_colours_in_their_places() {
        // Quadrants of the query: hit, wrong, missed, ignored.
        let side = TILE;
        let quadrant = |i: u32| (2 * (i / side / (side / 2)) + (i % side) / (side / 2)) as usize;
        let all = || 0..side * side;
        let mask = |set: [bool; 4]| Mask::new(side, side, all().map(|i| set[quadrant(i)]).collect()).unwrap();
        let pictures = Pictures {
            supports: vec![Example::new(RgbImage::new(side, side), mask([true, false, false, false])).unwrap(); 7],
            query: RgbImage::from_pixel(side, side, image::Rgb([90; 3])),
            truth: all().map(|i| [FOREGROUND, 0, FOREGROUND, IGNORE][quadrant(i)]).collect(),
            prediction: mask([true, true, false, true]),
        };
        let sheet = contact_sheet(&pictures).unwrap();
        assert_eq!(sheet.dimensions(), (9 * (TILE + GAP) + GAP, TILE + 2 * GAP));
        let tile = |i: u32, x: u32, y: u32| sheet.get_pixel(GAP + i * (TILE + GAP) + x, GAP + y).0;
        let (near, far) = (side / 4, 3 * side / 4);
        assert_eq!([tile(8, near, near), tile(8, far, near)], [[90; 3], WRONG]);
        assert_eq!([tile(8, near, far), tile(8, far, far)], [MISSED, SKIPPED]);
        assert_eq!(tile(5, far, far), [90; 3]);
        assert_ne!(tile(0, near, near), tile(0, far, near));
        assert_eq!(sheet.get_pixel(0, 0).0, [255; 3]);
        let small = Pictures { query: RgbImage::new(1, 1), ..pictures };
        assert!(contact_sheet(&small).is_err());
    }
}
