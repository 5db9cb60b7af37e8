//! Supports with masks made from marks, to measure the loss of accuracy.

use crate::image_io::{BoundingBox, ImageError, Mark, Marks, Mask, RgbImage, Stroke};
use serde::{Deserialize, Serialize};

/// The marks that replace a support's mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Marked {
    /// The smallest box around it.
    Box,
    /// The foreground pixel farthest from the edge.
    Point,
}

impl Marked {
    /// The mask made from the true one's box or point, and its IoU with the true one.
    ///
    /// # Errors
    /// An empty mask, or a thing that does not stand out from its surroundings.
    pub(super) fn mask(self, picture: &RgbImage, truth: &Mask) -> Result<(Mask, f64), ImageError> {
        let empty = || ImageError::Marks { reason: "the mask is empty, so it gives no marks".into() };
        let bounds = truth.bounding_box().ok_or_else(empty)?;
        let marks = match self {
            Marked::Box => Marks { boxes: vec![bounds], ..Marks::default() },
            Marked::Point => {
                let point = deepest(truth, bounds).map(|v| v as f32 + 0.5);
                let stroke = Stroke { points: vec![point], width: None, mark: Mark::Inside };
                Marks { strokes: vec![stroke], ..Marks::default() }
            }
        };
        let made = marks.mask(picture)?;
        let count = |of: fn(bool, bool) -> bool| {
            made.foreground().iter().zip(truth.foreground()).filter(|(a, b)| of(**a, **b)).count() as f64
        };
        let iou = count(|a, b| a && b) / count(|a, b| a || b).max(1.0);
        Ok((made, iou))
    }
}

/// x and y of the foreground pixel that is the most steps to a side away from background and border.
fn deepest(mask: &Mask, bounds: BoundingBox) -> [u32; 2] {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let mut depth: Vec<u32> = mask.foreground().iter().map(|&f| if f { u32::MAX } else { 0 }).collect();
    let mut settle = |x: usize, y: usize, near: [Option<(usize, usize)>; 2]| {
        let of = near.map(|at| at.map_or(0, |(x, y)| depth[y * width + x]));
        let own = &mut depth[y * width + x];
        *own = (*own).min(of[0].min(of[1]).saturating_add(1));
    };
    let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let before = |v: usize| v.checked_sub(1);
    for (x, y) in all.clone() {
        settle(x, y, [before(x).map(|x| (x, y)), before(y).map(|y| (x, y))]);
    }
    for (x, y) in all.rev() {
        settle(x, y, [Some((x + 1, y)).filter(|p| p.0 < width), Some((x, y + 1)).filter(|p| p.1 < height)]);
    }
    let mut best = [bounds.x, bounds.y];
    let mut most = 0;
    for (at, &depth) in depth.iter().enumerate().filter(|(at, _)| mask.foreground()[*at]) {
        if depth > most {
            (most, best) = (depth, [(at % width) as u32, (at / width) as u32]);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_pixel() {
        let rows = ["........", ".#####..", ".#####..", ".#####.#", ".......#"];
        let foreground = rows.iter().flat_map(|r| r.bytes().map(|b| b == b'#')).collect();
        let mask = Mask::new(8, 5, foreground).unwrap();
        assert_eq!(deepest(&mask, mask.bounding_box().unwrap()), [2, 2]);
        let picture = RgbImage::new(8, 5);
        let empty = Mask::new(8, 5, vec![false; 40]).unwrap();
        assert!(Marked::Box.mask(&picture, &empty).is_err());
        let whole = Mask::new(8, 5, vec![true; 40]).unwrap();
        assert_eq!(Marked::Box.mask(&picture, &whole).unwrap().1, 1.0);
    }
}
