//! Binary masks: reading them, and what is said about them.

use std::fmt;
use std::path::Path;

use image::{DynamicImage, GrayImage};

use super::decode::decode_mask;
use super::{ImageError, check_length};

/// A binary mask, row by row from the top left: `[height, width]`, true is foreground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    foreground: Vec<bool>,
}

/// The smallest rectangle around a mask's foreground, in pixels from the top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundingBox {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Mask {
    /// A mask from `width * height` values.
    ///
    /// # Errors
    /// [`ImageError::Length`] if there are more or fewer.
    pub fn new(width: u32, height: u32, foreground: Vec<bool>) -> Result<Self, ImageError> {
        check_length("the mask", foreground.len(), (width, height), 1)?;
        Ok(Self { width, height, foreground })
    }

    /// For code that has just made as many values as the size says.
    pub(super) fn from_parts(width: u32, height: u32, foreground: Vec<bool>) -> Self {
        debug_assert_eq!(foreground.len(), width as usize * height as usize);
        Self { width, height, foreground }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// `[height, width]`, true is foreground.
    pub fn foreground(&self) -> &[bool] {
        &self.foreground
    }

    /// The share of foreground pixels, from 0 to 1; 0 for a mask without pixels.
    pub fn foreground_fraction(&self) -> f64 {
        let count = self.foreground.iter().filter(|&&f| f).count();
        count as f64 / self.foreground.len().max(1) as f64
    }

    /// The smallest rectangle that holds all foreground, or `None` where there is none.
    pub fn bounding_box(&self) -> Option<BoundingBox> {
        let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
        for (y, row) in self.foreground.chunks_exact(self.width.max(1) as usize).enumerate() {
            let Some(first) = row.iter().position(|&f| f) else {
                continue;
            };
            let last = row.iter().rposition(|&f| f).unwrap_or(first);
            left = left.min(first);
            right = right.max(last);
            top = top.min(y);
            bottom = y;
        }
        (top != usize::MAX).then(|| BoundingBox {
            x: left as u32,
            y: top as u32,
            width: (right - left + 1) as u32,
            height: (bottom - top + 1) as u32,
        })
    }
}

/// A mask as read, and what its user should be told about it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedMask {
    pub mask: Mask,
    pub warning: Option<MaskWarning>,
}

/// A mask that is probably not what its user meant. `Display` gives one line without the file's name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaskWarning {
    /// Nothing is foreground. `brightest` is the largest luma in the file, in percent of white: 0.4 in a mask
    /// whose labels are 0 and 1, 15 in one painted dark red; of a mask drawn in `alpha` the largest alpha.
    NoForeground { brightest: f32, alpha: bool },
    /// Everything is foreground.
    NoBackground,
    /// Much, or most of what is not near black, is not near white either: a photograph, class colours, a cut-out.
    /// `percent` of the pixels; `alpha`: some of the file is transparent.
    Grey { percent: f32, alpha: bool },
    /// No pixel has the class number that is asked for.
    NoClass { number: u8 },
    /// There is foreground, but none of it is left once the mask has the model's `size`.
    Lost { size: u32 },
}

impl MaskWarning {
    /// What is to be said of `mask` where a model sees it as `seen`.
    pub fn between(mask: &Mask, seen: &Mask) -> Option<MaskWarning> {
        let any = |m: &Mask| m.foreground.contains(&true);
        (any(mask) && !any(seen)).then_some(MaskWarning::Lost { size: seen.width })
    }
}

impl fmt::Display for MaskWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoForeground { brightest, alpha: true } => write!(
                f,
                "the mask has no foreground: it is drawn in alpha, where pixels of at least 50 % are foreground, and the \
                 most opaque here has {brightest:.1} %"
            ),
            Self::NoForeground { brightest, .. } if *brightest > 0.0 => write!(
                f,
                "the mask has no foreground: pixels of at least 50 % of white are foreground, the brightest here \
                 has {brightest:.1} %; a mask of label numbers or dark colours must be made black and white first"
            ),
            Self::NoForeground { .. } => f.write_str("the mask has no foreground: it is black all over"),
            Self::NoBackground => {
                f.write_str("the mask has no background: all of its pixels have at least 50 % of white")
            }
            Self::Grey { percent, alpha } => {
                let hint =
                    if *alpha { "; if its alpha is what is meant, save that as a picture of its own" } else { "" };
                write!(
                    f,
                    "{percent:.2} % of the mask's pixels are neither near black nor near white; at least 50 % of white \
                     counts as foreground, which colours of classes or a photograph do not tell{hint}"
                )
            }
            Self::NoClass { number } => {
                write!(f, "no pixel of the mask has the class number {number} (\"value\" of the episode)")
            }
            Self::Lost { size } => write!(
                f,
                "the mask's foreground is too small: nothing of it is left at the model's {size} x {size} pixels; crop \
                 the picture and its mask around it"
            ),
        }
    }
}

/// Reads any picture file as the mask of a picture of `expect` (width, height) pixels.
///
/// Foreground is what has a luma (0.299 R + 0.587 G + 0.114 B) of at least half of white. A picture whose visible
/// pixels all have one colour while their alpha varies is a mask drawn in alpha: there, foreground is what is at
/// least half opaque. Palettes count by their colours. EXIF orientation is applied as for [`super::load_rgb`].
///
/// # Errors
/// [`ImageError::MaskSize`] for another size than `expect`; otherwise as [`super::load_rgb`].
pub fn load_mask(path: &Path, expect: (u32, u32)) -> Result<LoadedMask, ImageError> {
    let pixels = decode_mask(path, expect)?;
    let (width, height, orientation) = (pixels.width, pixels.height, pixels.orientation);
    let Thresholded { levels, brightest, alpha, grey } = threshold(pixels.channels, &pixels.samples.bytes(path)?);
    drop(pixels);

    let got = levels.len();
    let Some(levels) = GrayImage::from_raw(width, height, levels) else {
        let want = width as usize * height as usize;
        let what = "the decoded mask";
        return Err(ImageError::Length { what, got, want });
    };
    let mut upright = DynamicImage::ImageLuma8(levels);
    upright.apply_orientation(orientation);
    let size = (upright.width(), upright.height());
    if size != expect {
        return Err(ImageError::MaskSize { path: path.to_owned(), mask: size, image: expect });
    }
    let foreground: Vec<bool> = upright.into_luma8().into_raw().iter().map(|&level| level != 0).collect();
    let warning = match foreground.iter().filter(|&&f| f).count() {
        0 => Some(MaskWarning::NoForeground { brightest, alpha }),
        n if n == foreground.len() => Some(MaskWarning::NoBackground),
        _ => grey,
    };
    let mask = Mask::new(size.0, size.1, foreground)?;
    Ok(LoadedMask { mask, warning })
}

/// White in the integer luma below.
const WHITE: u32 = 255_000;

/// More than this part of a mask between black and white is no edge any more.
const MOST_GREY: f32 = 0.05;

/// Nor is more than this part of what is not near black, if it has as few levels as classes have colours: a small
/// thing's edge has many.
const MOSTLY_GREY: f32 = 0.5;
const FEW_LEVELS: usize = 4;

struct Thresholded {
    /// 255 for foreground, 0 for background.
    levels: Vec<u8>,
    /// The largest luma in percent of white, or the largest alpha where that is what counts.
    brightest: f32,
    /// Whether alpha is what counts.
    alpha: bool,
    grey: Option<MaskWarning>,
}

fn threshold(channels: usize, samples: &[u8]) -> Thresholded {
    let by_alpha = is_drawn_in_alpha(channels, samples);
    let alpha_at = channels - 1;
    let mut lumas = [0u32; 256];
    let mut transparent = false;
    let mut brightest = 0;
    let levels: Vec<u8> = samples
        .chunks_exact(channels)
        .map(|p| {
            let luma = match *p {
                [r, g, b] | [r, g, b, _] => 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b),
                _ => 1000 * u32::from(p[0]),
            };
            brightest = brightest.max(if by_alpha { 1000 * u32::from(p[alpha_at]) } else { luma });
            lumas[(luma / 1000) as usize] += 1;
            transparent |= matches!(channels, 2 | 4) && p[alpha_at] < 255;
            let foreground = if by_alpha { p[alpha_at] >= 128 } else { 2 * luma >= WHITE };
            255 * u8::from(foreground)
        })
        .collect();
    // Two colours are a mask whichever they are; near black and near white is an eighth of the range.
    let colours = lumas.iter().filter(|&&n| n > 0).count();
    let between = lumas[32..224].iter().sum::<u32>() as f32;
    let share = between / levels.len().max(1) as f32;
    let few = lumas[32..224].iter().filter(|&&n| n > 0).count() <= FEW_LEVELS;
    let most = few && between > MOSTLY_GREY * lumas[32..].iter().sum::<u32>() as f32;
    let grey = !by_alpha && colours > 2 && (share > MOST_GREY || most);
    Thresholded {
        brightest: 100.0 * brightest as f32 / WHITE as f32,
        alpha: by_alpha,
        grey: grey.then_some(MaskWarning::Grey { percent: 100.0 * share, alpha: transparent }),
        levels,
    }
}

/// Whether alpha varies while all visible pixels have one colour. The colour of invisible pixels is what the
/// editing program happened to leave there.
fn is_drawn_in_alpha(channels: usize, samples: &[u8]) -> bool {
    if !matches!(channels, 2 | 4) {
        return false;
    }
    let mut alphas = [false; 256];
    let mut color = None;
    for p in samples.chunks_exact(channels) {
        let Some((&alpha, this)) = p.split_last() else {
            return false;
        };
        alphas[usize::from(alpha)] = true;
        if alpha > 0 && *color.get_or_insert(this) != this {
            return false;
        }
    }
    alphas.iter().filter(|&&seen| seen).count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_white_is_foreground() {
        let found = threshold(1, &[0, 127, 128, 255]);
        assert_eq!((found.levels, found.brightest), (vec![0, 0, 255, 255], 100.0));
        // Green alone is 58.7 % of white, red and blue together 41.3 %; 128 grey is just over half.
        let colors = [0, 255, 0, 255, 0, 255, 128, 128, 128, 127, 127, 127];
        assert_eq!(threshold(3, &colors).levels, [255, 0, 255, 0]);
    }

    #[test]
    fn alpha_counts_only_where_colour_says_nothing() {
        // One colour, alpha varies: by alpha, whichever the colour.
        assert_eq!(threshold(2, &[0, 127, 0, 128]).levels, [0, 255]);
        assert_eq!(threshold(2, &[255, 127, 255, 128]).levels, [0, 255]);
        // Black strokes on transparent white: what is invisible has no colour.
        let strokes = [255, 255, 255, 0, 0, 0, 0, 255];
        assert_eq!(threshold(4, &strokes).levels, [0, 255]);
        // Colour varies, so alpha is ignored.
        let colored = [255, 255, 255, 1, 0, 0, 0, 255];
        assert_eq!(threshold(4, &colored).levels, [255, 0]);
        // Alpha does not vary: by colour.
        assert_eq!(threshold(2, &[0, 255, 0, 255]).levels, [0, 0]);
        assert_eq!(threshold(2, &[255, 0, 255, 0]).levels, [255, 255]);
    }

    #[test]
    fn what_is_neither_black_nor_white_is_told() {
        let warned = |channels: usize, samples: &[u8]| threshold(channels, samples).grey;
        let edge = [vec![0; 60], vec![90, 160, 250], vec![255; 37]].concat();
        assert_eq!(warned(1, &edge), None);
        assert_eq!(warned(1, &[60, 60, 200, 200]), None, "two levels are a mask");
        // VOC's colours: background, a class, and the border that alone would count as foreground.
        let classes = [[0, 0, 0].repeat(80), [128, 0, 0].repeat(15), [224, 224, 192].repeat(5)].concat();
        assert_eq!(warned(3, &classes), Some(MaskWarning::Grey { percent: 20.0, alpha: false }));
        let small = [[0, 0, 0].repeat(990), [128, 0, 0].repeat(6), [224, 224, 192].repeat(4)].concat();
        assert_eq!(warned(3, &small), Some(MaskWarning::Grey { percent: 1.0, alpha: false }));
        let small = [vec![0; 990], vec![90, 160, 250], vec![255; 7]].concat();
        assert_eq!(warned(1, &small), None, "a small thing with its edge");
        let line = [vec![0; 990], vec![60, 90, 120, 150, 180], vec![255; 3]].concat();
        assert_eq!(warned(1, &line), None, "hardly more than edge");
        let cutout = [[0, 0, 0, 0].repeat(50), [90, 80, 70, 255].repeat(25), [200, 10, 99, 255].repeat(25)].concat();
        assert_eq!(warned(4, &cutout), Some(MaskWarning::Grey { percent: 50.0, alpha: true }));
        assert_eq!(warned(2, &[7, 0, 7, 90, 7, 255]), None, "drawn in alpha");
    }

    #[test]
    fn statistics() {
        let mut foreground = vec![false; 20];
        let empty = Mask::new(5, 4, foreground.clone()).unwrap();
        assert_eq!((empty.bounding_box(), empty.foreground_fraction()), (None, 0.0));
        foreground[5 + 3] = true;
        foreground[2 * 5 + 1] = true;
        let mask = Mask::new(5, 4, foreground).unwrap();
        let (x, y, width, height) = (1, 1, 3, 2);
        assert_eq!(mask.bounding_box(), Some(BoundingBox { x, y, width, height }));
        assert_eq!(mask.foreground_fraction(), 0.1);
        assert_eq!(Mask::new(0, 0, vec![]).unwrap().bounding_box(), None);
        assert!(Mask::new(5, 4, vec![true; 19]).is_err());
    }
}
