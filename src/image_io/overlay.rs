//! Overlays: a mask painted on its picture.

use image::RgbImage;

use super::{ImageError, Mask, check_length};

/// Foreground is tinted blue, its border is a yellow line with a black one around it: one of the two stands out
/// on any picture, with any colour vision.
const FILL: [u8; 3] = [0, 120, 255];
const LINE: [u8; 3] = [255, 230, 0];
const RIM: [u8; 3] = [0, 0, 0];
/// The fill's weight in a tinted pixel, of 256.
const OPACITY: u16 = 115;

/// Paints `mask` on `rgb`: a translucent fill, and a contour whose width grows with the picture.
///
/// # Errors
/// [`ImageError::Length`] if the sizes differ.
pub fn paint_overlay(rgb: &RgbImage, mask: &Mask) -> Result<RgbImage, ImageError> {
    paint_overlay_in(rgb, mask, FILL)
}

/// [`paint_overlay`] with another colour of the fill.
///
/// # Errors
/// As there.
pub fn paint_overlay_in(rgb: &RgbImage, mask: &Mask, fill: [u8; 3]) -> Result<RgbImage, ImageError> {
    paint_part(rgb, mask, Some(fill), line_of(rgb.dimensions()))
}

/// Width of the line around what is painted over a picture of (width, height): a pixel for each 300 of the shorter side, so that it can be
/// seen in a scaled-down view.
pub(crate) fn line_of((width, height): (u32, u32)) -> u32 {
    (width.min(height) / 300).max(1)
}

/// [`paint_overlay_in`] of some rows of a picture whose line is given: they are as they are in the whole but for as many at each end.
///
/// # Errors
/// As there.
pub(crate) fn paint_part(
    rgb: &RgbImage,
    mask: &Mask,
    fill: Option<[u8; 3]>,
    line: u32,
) -> Result<RgbImage, ImageError> {
    let ((width, height), fill, radius) = (rgb.dimensions(), fill.unwrap_or(FILL), line as usize);
    check_length("the mask to paint", mask.foreground().len(), (width, height), 1)?;
    let mut painted = rgb.clone();
    if painted.is_empty() {
        return Ok(painted);
    }
    let background: Vec<bool> = mask.foreground().iter().map(|f| !f).collect();
    let near_background = spread(&background, width as usize, radius);
    let near_foreground = spread(mask.foreground(), width as usize, radius);
    let near = near_background.iter().zip(&near_foreground);
    for ((pixel, &inside), (&edge, &rim)) in painted.chunks_exact_mut(3).zip(mask.foreground()).zip(near) {
        match (inside, edge, rim) {
            (true, true, _) => pixel.copy_from_slice(&LINE),
            (true, false, _) => {
                for (sample, fill) in pixel.iter_mut().zip(fill) {
                    let kept = u16::from(*sample) * (256 - OPACITY);
                    *sample = ((kept + u16::from(fill) * OPACITY) >> 8) as u8;
                }
            }
            (false, _, true) => pixel.copy_from_slice(&RIM),
            (false, _, false) => {}
        }
    }
    Ok(painted)
}

/// True wherever `set` is true within `radius` pixels along both axes. Outside the picture nothing is set.
fn spread(set: &[bool], width: usize, radius: usize) -> Vec<bool> {
    let mut along_rows = vec![0_u32; set.len()];
    for (row, out) in set.chunks_exact(width).zip(along_rows.chunks_exact_mut(width)) {
        // The number of set pixels in a sliding window.
        let mut count: u32 = row[..radius.min(width)].iter().map(|&s| u32::from(s)).sum();
        for x in 0..width {
            count += u32::from(x + radius < width && row[x + radius]);
            out[x] = count;
            count -= u32::from(x >= radius && row[x - radius]);
        }
    }
    let height = set.len() / width;
    let mut counts = vec![0_u32; width];
    let add = |counts: &mut [u32], y: usize| {
        let row = &along_rows[y * width..][..width];
        counts.iter_mut().zip(row).for_each(|(c, r)| *c += r);
    };
    (0..radius.min(height)).for_each(|y| add(&mut counts, y));
    let mut out = Vec::with_capacity(set.len());
    for y in 0..height {
        if y + radius < height {
            add(&mut counts, y + radius);
        }
        out.extend(counts.iter().map(|&c| c > 0));
        if y >= radius {
            let row = &along_rows[(y - radius) * width..][..width];
            counts.iter_mut().zip(row).for_each(|(c, r)| *c -= r);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_equals_looking_at_every_neighbour() {
        for (width, height, radius) in [(7, 5, 1), (7, 5, 2), (1, 9, 3), (9, 1, 3), (3, 3, 8)] {
            let set: Vec<bool> = (0..width * height).map(|i| i * 7919 % 11 == 3).collect();
            let got = spread(&set, width, radius);
            for y in 0..height {
                for x in 0..width {
                    let rows = y.saturating_sub(radius)..(y + radius + 1).min(height);
                    let want = rows
                        .into_iter()
                        .any(|v| (x.saturating_sub(radius)..(x + radius + 1).min(width)).any(|u| set[v * width + u]));
                    assert_eq!(got[y * width + x], want, "{width}x{height} {radius} {x},{y}");
                }
            }
        }
    }

    #[test]
    fn fill_line_and_rim_are_where_they_belong() {
        let rgb = RgbImage::from_pixel(9, 9, image::Rgb([100, 100, 100]));
        let square = (0..81).map(|i| (2..7).contains(&(i % 9)) && (2..7).contains(&(i / 9)));
        let mask = Mask::new(9, 9, square.collect()).unwrap();
        let painted = paint_overlay(&rgb, &mask).unwrap();
        let at = |x, y| painted.get_pixel(x, y).0;
        assert_eq!((at(0, 0), at(1, 4)), ([100; 3], RIM));
        assert_eq!((at(2, 4), at(6, 6)), (LINE, LINE));
        // (100 * 141 + fill * 115) / 256
        assert_eq!(at(4, 4), [55, 108, 169]);
    }

    #[test]
    fn sizes_must_agree() {
        let mask = Mask::new(1, 1, vec![true]).unwrap();
        assert!(paint_overlay(&RgbImage::new(2, 1), &mask).is_err());
        let tiny = paint_overlay(&RgbImage::new(1, 1), &mask).unwrap();
        // All foreground: without background there is no line.
        assert_eq!(tiny.as_raw(), &[0, 53, 114]);
    }
}
