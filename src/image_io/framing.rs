//! Framing: from pictures of any shape to the network's squares, and back from its maps.

use super::{DecodedMap, Mask, resize_bilinear_rgb, resize_nearest_mask};
use image::RgbImage;
use image::imageops::crop_imm;

/// How a picture is made square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Scales both sides independently, as in the paper.
    #[default]
    Squash,
    /// Keeps the shape and extends the shorter side by repeating the outermost rows or columns.
    Pad,
    /// Keeps the shape and uses only the square in the middle; outside it nothing is found.
    Crop,
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Framing {
    pub const ALL: [Framing; 3] = [Framing::Squash, Framing::Pad, Framing::Crop];

    /// Its name: squash, pad, crop.
    pub fn name(self) -> &'static str {
        match self {
            Framing::Squash => "squash",
            Framing::Pad => "pad",
            Framing::Crop => "crop",
        }
    }

    /// Makes the picture a square of `side` pixels.
    pub fn picture(self, rgb: &RgbImage, side: u32) -> RgbImage {
        match self {
            Framing::Squash => resize_bilinear_rgb(rgb, side, side),
            Framing::Crop => {
                let middle = middle(rgb.dimensions());
                resize_bilinear_rgb(
                    &crop_imm(rgb, middle.x, middle.y, middle.width, middle.height).to_image(),
                    side,
                    side,
                )
            }
            Framing::Pad => {
                let inner = inner(rgb.dimensions(), side);
                let small = resize_bilinear_rgb(rgb, inner.width, inner.height);
                RgbImage::from_fn(side, side, |x, y| {
                    *small.get_pixel(nearest(x, inner.x, inner.width), nearest(y, inner.y, inner.height))
                })
            }
        }
    }

    /// Makes the mask of such a picture a square; padding is background.
    pub fn mask(self, mask: &Mask, side: u32) -> Mask {
        let (width, height) = mask.size();
        match self {
            Framing::Squash => resize_nearest_mask(mask, side, side),
            Framing::Crop => {
                let middle = middle((width, height));
                let row = |y: u32| &mask.foreground()[(y * width + middle.x) as usize..][..middle.width as usize];
                let inside = (middle.y..middle.y + middle.height).flat_map(row).copied().collect();
                resize_nearest_mask(&Mask::from_parts(middle.width, middle.height, inside), side, side)
            }
            Framing::Pad => {
                let inner = inner((width, height), side);
                let small = resize_nearest_mask(mask, inner.width, inner.height);
                let at = |x: u32, y: u32| match (x.checked_sub(inner.x), y.checked_sub(inner.y)) {
                    (Some(x), Some(y)) if x < inner.width && y < inner.height => {
                        small.foreground()[(y * inner.width + x) as usize]
                    }
                    _ => false,
                };
                Mask::from_parts(side, side, (0..side).flat_map(|y| (0..side).map(move |x| at(x, y))).collect())
            }
        }
    }

    /// The map of the whole picture of `size` (width, height) from the network's square map. The map's own size differs from the picture's.
    pub fn map(self, map: DecodedMap, size: (u32, u32)) -> DecodedMap {
        let side = map.width();
        match self {
            Framing::Squash => map,
            Framing::Pad => {
                let inner = inner(size, side);
                map.part((inner.x, inner.y), (inner.width, inner.height))
            }
            Framing::Crop => {
                let middle = middle(size);
                map.placed(middle.width, (middle.x, middle.y), size)
            }
        }
    }
}

/// The largest square in the middle.
fn middle((width, height): (u32, u32)) -> Frame {
    let side = width.min(height);
    Frame { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side }
}

/// The rectangle of a picture of this size in a square of `side` pixels.
fn inner((width, height): (u32, u32), side: u32) -> Frame {
    let scaled =
        |v: u32| ((f64::from(v) * f64::from(side) / f64::from(width.max(height))).round() as u32).clamp(1, side);
    let (width, height) = (scaled(width), scaled(height));
    Frame { x: (side - width) / 2, y: (side - height) / 2, width, height }
}

/// The position inside that is nearest to `at`.
fn nearest(at: u32, first: u32, length: u32) -> u32 {
    at.saturating_sub(first).min(length - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Threshold;
    use image::Rgb;

    /// A mask that is framed, and mapped back, is unchanged.
    #[test]
    fn there_and_back() {
        for (width, height) in [(40, 20), (20, 40), (30, 30), (64, 3), (1, 5)] {
            let on = |x: u32, y: u32| x.abs_diff(width / 2) <= width / 6 && y.abs_diff(height / 2) <= height / 6;
            let mask =
                Mask::new(width, height, (0..width * height).map(|i| on(i % width, i / width)).collect()).unwrap();
            for framing in [Framing::Squash, Framing::Pad, Framing::Crop] {
                let square = framing.mask(&mask, 64);
                let values = square.foreground().iter().flat_map(|&f| [if f { 1.0 } else { -1.0 }; 3]).collect();
                let map = framing.map(DecodedMap::new(64, values).unwrap(), (width, height));
                let back = map.mask_at(width, height, Threshold::Absolute(0.5));
                let wrong = back.foreground().iter().zip(mask.foreground()).filter(|(a, b)| a != b).count();
                assert!(wrong <= 2 * (width + height) as usize / 6, "{framing:?} {width} x {height}: {wrong}");
            }
        }
    }

    #[test]
    fn shapes_are_kept_and_edges_go_on() {
        let picture = RgbImage::from_fn(40, 20, |x, _| Rgb([if x < 20 { 0 } else { 200 }, 0, 0]));
        let padded = Framing::Pad.picture(&picture, 20);
        // 20 x 10 in the middle; rows above are its first row.
        assert!(padded.rows().all(|row| row.eq(padded.rows().next().unwrap())));
        let cropped = Framing::Crop.picture(&picture, 20);
        assert_eq!((cropped.get_pixel(2, 10).0[0], cropped.get_pixel(17, 10).0[0]), (0, 200));
        let mask = Mask::new(40, 20, vec![true; 800]).unwrap();
        assert_eq!(Framing::Pad.mask(&mask, 20).foreground_fraction(), 0.5);
        let map = |framing: Framing| framing.map(DecodedMap::new(20, vec![1.0; 1200]).unwrap(), (40, 20));
        assert_eq!((map(Framing::Pad).width(), map(Framing::Pad).height()), (20, 10));
        let beside = map(Framing::Crop).mask_at(40, 20, Threshold::Absolute(0.5));
        assert_eq!(beside.bounding_box().map(|b| (b.x, b.width, b.height)), Some((10, 20, 20)));
    }
}
