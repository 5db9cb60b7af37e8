//! The stored values of a mask's file.

use super::rule::{luma, pack};
use super::table::{HIDDEN, Table};
use crate::image_io::decode::{Pixels, Samples};
use crate::image_io::index::OneChannel;

/// Smallest alpha that counts as opaque.
pub(super) const OPAQUE: u8 = 128;

pub(super) struct Stored {
    pub width: usize,
    pub height: usize,
    pub values: Values,
    /// Alpha of all pixels, if not all are fully opaque.
    pub alpha: Option<Vec<u8>>,
    /// Whether the file has lossy compression.
    pub lossy: bool,
}

/// `[height, width]`
pub(super) enum Values {
    Grey {
        levels: Vec<u16>,
        /// The level of white.
        white: u16,
    },
    /// Indices, and the colour of each.
    Palette {
        indices: Vec<u8>,
        colours: Vec<[u8; 3]>,
    },
    Colour(Vec<[u8; 3]>),
}

impl Stored {
    /// From decoded samples. Colours that are all grey are levels. `None` for floating-point samples.
    pub fn from_pixels(pixels: Pixels, lossy: bool) -> Option<Stored> {
        let (values, alpha) = match pixels.samples {
            Samples::Eight(samples) | Samples::Inks(samples) => split(&samples, pixels.channels),
            Samples::Sixteen(samples) => split(&samples, pixels.channels),
            Samples::Float(_) => return None,
        };
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        Some(Stored { width, height, values, alpha: not_opaque(alpha), lossy })
    }

    /// From the numbers of a PNG with one channel.
    pub fn from_numbers(png: OneChannel) -> Stored {
        let (width, height) = (png.size.0 as usize, png.size.1 as usize);
        let (values, alpha) = match png.palette {
            Some(palette) => {
                let indices: Vec<u8> = png.numbers.iter().map(|&n| n as u8).collect();
                let most = indices.iter().copied().max().unwrap_or(0);
                // Entries that the palette lacks are black, as in decoders.
                let colours = (0..=usize::from(most)).map(|i| palette.get(i).copied().unwrap_or([0; 3])).collect();
                let seen = |i: &u8| png.alphas.get(usize::from(*i)).copied().unwrap_or(255);
                let alpha = (!png.alphas.is_empty()).then(|| indices.iter().map(seen).collect());
                (Values::Palette { indices, colours }, alpha)
            }
            None => {
                let alpha = png.transparent.map(|t| png.numbers.iter().map(|&n| 255 * u8::from(n != t)).collect());
                let white = match png.bits {
                    16 => white_of(png.numbers.iter().copied().max().unwrap_or(0)),
                    bits => (1 << bits) - 1,
                };
                (Values::Grey { levels: png.numbers, white }, alpha)
            }
        };
        Stored { width, height, values, alpha: not_opaque(alpha), lossy: false }
    }

    pub fn len(&self) -> usize {
        self.width * self.height
    }

    /// A pixel's grey level, palette index or packed colour.
    pub fn value(&self, i: usize) -> u32 {
        match &self.values {
            Values::Grey { levels, .. } => u32::from(levels[i]),
            Values::Palette { indices, .. } => u32::from(indices[i]),
            Values::Colour(colours) => pack(colours[i]),
        }
    }

    /// A pixel's packed colour with 8 bits per channel.
    pub fn colour(&self, i: usize) -> u32 {
        match &self.values {
            Values::Grey { levels, white } => {
                let level = (u32::from(levels[i]) * 255 / u32::from(*white).max(1)) as u8;
                pack([level; 3])
            }
            Values::Palette { indices, colours } => pack(colours[usize::from(indices[i])]),
            Values::Colour(colours) => pack(colours[i]),
        }
    }

    /// Whether all pixels are transparent, so that there are only hidden colours.
    pub fn is_invisible(&self) -> bool {
        self.alpha.as_ref().is_some_and(|alpha| alpha.iter().all(|&a| a == 0))
    }

    /// Whether a pixel is visible: opaque, or if no pixel is opaque, not fully transparent.
    pub fn visible(&self) -> impl Fn(usize) -> bool + '_ {
        let least = match &self.alpha {
            Some(alpha) => match alpha.iter().copied().max() {
                Some(OPAQUE..) => OPAQUE,
                Some(most) => most.min(1),
                None => 0,
            },
            None => 0,
        };
        move |i| self.alpha.as_ref().is_none_or(|alpha| alpha[i] >= least)
    }

    /// The table of `value` over the visible pixels.
    pub fn table(&self, value: impl Fn(usize) -> u32) -> Table {
        let visible = self.visible();
        Table::new(self.width, self.height, |i| if visible(i) { value(i) } else { HIDDEN })
    }

    /// The largest luma, in percent of white.
    pub fn brightest(&self) -> f32 {
        let most = match &self.values {
            Values::Grey { levels, white } => {
                let level = levels.iter().copied().max().unwrap_or(0);
                return 100.0 * f32::from(level) / f32::from((*white).max(1));
            }
            Values::Palette { indices, colours } => indices.iter().map(|&i| luma(colours[usize::from(i)])).max(),
            Values::Colour(colours) => colours.iter().map(|&c| luma(c)).max(),
        };
        most.unwrap_or(0) as f32 / 2550.0
    }
}

/// Alpha, unless it is opaque everywhere.
fn not_opaque(alpha: Option<Vec<u8>>) -> Option<Vec<u8>> {
    alpha.filter(|alpha| alpha.iter().any(|&a| a < 255))
}

/// White of 16-bit levels: a file of 16 bits may hold an 8-bit mask.
fn white_of(most: u16) -> u16 {
    if most <= 255 { 255 } else { 65535 }
}

/// Number of bits to shift samples of up to `most` to make them bytes.
fn shift_of(most: u16) -> u32 {
    (16 - most.leading_zeros()).saturating_sub(8)
}

/// Interleaved samples as values and alpha.
fn split<T: Copy + PartialEq + Into<u16>>(samples: &[T], channels: usize) -> (Values, Option<Vec<u8>>) {
    let colours = channels - usize::from(channels.is_multiple_of(2));
    let wide = size_of::<T>() > 1;
    let most = |part: &dyn Fn(&[T]) -> u16| samples.chunks_exact(channels).map(part).max().unwrap_or(0);
    let largest = |pixel: &[T]| pixel[..colours].iter().map(|&v| v.into()).max().unwrap_or(0);
    let top = if wide { most(&largest) } else { 255 };
    let is_grey = colours == 1 || samples.chunks_exact(channels).all(|p| p[0] == p[1] && p[1] == p[2]);
    let values = if is_grey {
        let levels = samples.chunks_exact(channels).map(|p| p[0].into()).collect();
        Values::Grey { levels, white: if wide { white_of(top) } else { 255 } }
    } else {
        let byte = |v: T| (v.into() >> shift_of(top)) as u8;
        Values::Colour(samples.chunks_exact(channels).map(|p| [byte(p[0]), byte(p[1]), byte(p[2])]).collect())
    };
    let alpha = (colours < channels).then(|| {
        let shift = if wide { shift_of(most(&|p: &[T]| p[colours].into())) } else { 0 };
        samples.chunks_exact(channels).map(|p| (p[colours].into() >> shift) as u8).collect()
    });
    (values, alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_16_bits_may_use_8_or_12() {
        let levels = |samples: &[u16]| match split(samples, 1).0 {
            Values::Grey { levels, white } => (levels, white),
            _ => panic!("grey"),
        };
        assert_eq!(levels(&[0, 255]), (vec![0, 255], 255));
        assert_eq!(levels(&[0, 256]), (vec![0, 256], 65535));
        let colours = |samples: &[u16]| match split(samples, 3).0 {
            Values::Colour(colours) => colours,
            _ => panic!("colours"),
        };
        assert_eq!(colours(&[0, 128, 255]), [[0, 128, 255]]);
        assert_eq!(colours(&[0, 2048, 4095]), [[0, 128, 255]]);
        assert_eq!(colours(&[0, 0x8000, 0xffff]), [[0, 128, 255]]);
        assert!(matches!(split(&[7_u16, 7, 7], 3).0, Values::Grey { .. }));
        assert_eq!(split(&[0_u16, 0, 0, 255], 2).1, Some(vec![0, 255]));
        assert_eq!(split(&[0_u16, 0, 0, 65535], 2).1, Some(vec![0, 255]));
    }
}
