//! Overlapping tiles of a large picture, and blending their maps.

use super::{DecodedMap, ImageError};
use image::RgbImage;
use std::ops::Range;

/// Smallest side in pixels; the largest is the side of the largest square picture.
const LEAST: u32 = 16;
const MOST: u32 = 16_384;

/// A tiling by squares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    side: u32,
    overlap: u32,
}

impl Tiles {
    /// Tiles of `side` pixels that overlap by `overlap` pixels.
    ///
    /// # Errors
    /// As text: sides below 16 or above 16,384 pixels, overlaps of more than half of the side.
    pub fn new(side: u32, overlap: u32) -> Result<Tiles, String> {
        if !(LEAST..=MOST).contains(&side) {
            return Err(format!("a tile has {side} pixels; it must have {LEAST} to {MOST}"));
        }
        match overlap > side / 2 {
            true => Err(format!("tiles of {side} pixels can overlap by at most {}, not by {overlap}", side / 2)),
            false => Ok(Tiles { side, overlap }),
        }
    }

    /// Limits tiles to the size of a picture of (width, height).
    pub fn within(self, (width, height): (u32, u32)) -> Tiles {
        let side = self.side.min(width.max(height)).max(LEAST);
        Tiles { side, overlap: self.overlap.min(side / 2) }
    }

    pub fn side(self) -> u32 {
        self.side
    }

    pub fn overlap(self) -> u32 {
        self.overlap
    }

    /// The upper left corners of all tiles of a picture of (width, height), row by row. The last tiles end at the picture's edge.
    pub fn corners(self, (width, height): (u32, u32)) -> Vec<(u32, u32)> {
        let columns = self.starts(width);
        self.starts(height).into_iter().flat_map(|y| columns.iter().map(move |&x| (x, y))).collect()
    }

    /// The same, grouped by rows of tiles.
    pub fn bands(self, (width, height): (u32, u32)) -> Vec<Band> {
        let columns = self.starts(width);
        let band = |top: u32| Band {
            rows: top..height.min(top + self.side),
            corners: columns.iter().map(|&x| (x, top)).collect(),
        };
        self.starts(height).into_iter().map(band).collect()
    }

    fn starts(self, length: u32) -> Vec<u32> {
        let Some(last) = length.checked_sub(self.side) else { return vec![0] };
        (0..last).step_by((self.side - self.overlap) as usize).chain([last]).collect()
    }

    /// Cuts the tile at a corner; if the picture is smaller, its last row and column are repeated.
    pub fn cut(self, rgb: &RgbImage, (left, top): (u32, u32)) -> RgbImage {
        let (width, height) = rgb.dimensions();
        RgbImage::from_fn(self.side, self.side, |x, y| {
            *rgb.get_pixel((left + x).min(width - 1), (top + y).min(height - 1))
        })
    }

    /// Blending weights along an axis of a tile that begins at `start`: they grow from the overlaps to the middle, and the weights of all
    /// tiles at a pixel sum to 1.
    fn shares(self, start: u32, length: u32) -> Vec<f32> {
        let end = length.min(start + self.side);
        let of = |tile: u32, at: u32| -> f32 {
            if at < tile || at >= tile + self.side {
                return 0.0;
            }
            let ramp = |distance: u32| (distance as f32 + 0.5) / (self.overlap as f32 + 0.5);
            // At the picture's edge there is no neighbour to blend with.
            let before = if tile == 0 { 1.0 } else { ramp(at - tile) };
            let behind = if tile + self.side >= length { 1.0 } else { ramp(tile + self.side - 1 - at) };
            before.min(behind).min(1.0)
        };
        let starts = self.starts(length);
        (start..end)
            .map(|at| {
                let near = starts.iter().copied().filter(|&tile| tile <= at && at < tile + self.side);
                of(start, at) / near.map(|tile| of(tile, at)).sum::<f32>()
            })
            .collect()
    }
}

/// A row of tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// The picture's rows that they cover.
    pub rows: Range<u32>,
    /// Their upper left corners.
    pub corners: Vec<(u32, u32)>,
}

/// The map of a whole picture, blended from its tiles' maps.
pub struct Mosaic {
    tiles: Tiles,
    size: (u32, u32),
    /// The picture's row that `values` begins with.
    first: u32,
    /// `[rows, width]`
    values: Vec<f32>,
}

impl Mosaic {
    /// For a picture of (width, height).
    pub fn new(tiles: Tiles, size: (u32, u32)) -> Mosaic {
        Mosaic { tiles, size, first: 0, values: vec![0.0; size.0 as usize * size.1 as usize] }
    }

    /// The same, holding only as many rows as a tile has: tiles are added row by row, and [`Self::finish_rows`] takes finished rows.
    pub fn band(tiles: Tiles, size: (u32, u32)) -> Mosaic {
        let rows = tiles.side.min(size.1) as usize;
        Mosaic { tiles, size, first: 0, values: vec![0.0; size.0 as usize * rows] }
    }

    /// Takes the rows before `end`, `[rows, width]`, and makes room for as many below.
    pub fn finish_rows(&mut self, end: u32) -> Vec<f32> {
        let count = (end.saturating_sub(self.first)) as usize * self.size.0 as usize;
        let left = self.values.split_off(count.min(self.values.len()));
        let done = std::mem::replace(&mut self.values, left);
        self.values.resize(self.values.len() + done.len(), 0.0);
        self.first = end;
        done
    }

    /// Adds the network's map of the tile at a corner, each tile once.
    pub fn add(&mut self, (left, top): (u32, u32), map: &DecodedMap) {
        let (side, width) = (self.tiles.side as usize, self.size.0 as usize);
        let means = map.map_at(self.tiles.side, self.tiles.side);
        let across = self.tiles.shares(left, self.size.0);
        let rows = self.values.chunks_exact_mut(width).skip((top - self.first) as usize);
        let down = self.tiles.shares(top, self.size.1);
        for ((row, tile), share) in rows.zip(means.chunks_exact(side)).zip(down) {
            let pixels = row[left as usize..].iter_mut().zip(tile).zip(&across);
            pixels.for_each(|((value, mean), part)| *value += share * part * mean);
        }
    }

    /// The map, of the picture's size.
    ///
    /// # Errors
    /// None if each tile was added once.
    pub fn finish(self) -> Result<DecodedMap, ImageError> {
        DecodedMap::of_means(self.size, self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn tiles_cover_a_picture_and_all_shares_are_one() {
        for (side, overlap) in [(16, 0), (16, 8), (20, 3), (33, 16)] {
            let tiles = Tiles::new(side, overlap).unwrap();
            for length in [1, 15, 16, 17, 31, 32, 33, 50, 128, 131] {
                let starts = tiles.starts(length);
                let mut sums = vec![0.0; length as usize];
                for &start in &starts {
                    tiles
                        .shares(start, length)
                        .iter()
                        .enumerate()
                        .for_each(|(i, share)| sums[start as usize + i] += share);
                }
                assert!(sums.iter().all(|sum: &f32| (sum - 1.0).abs() < 1e-5), "{side} {overlap} {length}: {sums:?}");
                assert!(
                    starts.windows(2).all(|pair| pair[0] < pair[1] && pair[1] <= pair[0] + side - overlap),
                    "{starts:?}"
                );
            }
        }
        for (side, overlap) in [(0, 0), (15, 0), (32, 17), (MOST + 1, 0), (32, u32::MAX)] {
            assert!(Tiles::new(side, overlap).is_err());
        }
    }

    /// Tiles cut out of one map blend to that map, without a seam.
    #[test]
    fn what_tiles_agree_on_has_no_seams() {
        let (width, height) = (70, 41);
        let at = |x: u32, y: u32| 0.5 + 0.3 * (x as f32 * 0.11).sin() * (y as f32 * 0.07).cos();
        let tiles = Tiles::new(24, 7).unwrap();
        let mut mosaic = Mosaic::new(tiles, (width, height));
        for (left, top) in tiles.corners((width, height)) {
            let pixel = |i: u32| [2.0 * at(left + i % 24, top + i / 24) - 1.0; 3];
            mosaic.add((left, top), &DecodedMap::new(24, (0..24 * 24).flat_map(pixel).collect()).unwrap());
        }
        let map = mosaic.finish().unwrap();
        assert_eq!((map.width(), map.height()), (width, height));
        for (i, value) in map.map().iter().enumerate() {
            let want = at(i as u32 % width, i as u32 / width);
            assert!((value - want).abs() < 1e-5, "{i}: {value} {want}");
        }
    }

    #[test]
    fn a_small_picture_is_one_tile_that_goes_on() {
        let tiles = Tiles::new(16, 4).unwrap();
        let picture = RgbImage::from_fn(5, 20, |x, y| Rgb([x as u8, y as u8, 0]));
        assert_eq!(tiles.corners((5, 20)), [(0, 0), (0, 4)]);
        assert_eq!(tiles.cut(&picture, (0, 4)).get_pixel(15, 15).0, [4, 19, 0]);
    }
}
