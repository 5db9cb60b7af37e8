//! From a file's samples to 8-bit RGB: first depth, then profile, then transparency.

use std::io::Read;
use std::path::Path;

use image::{DynamicImage, RgbImage};

use super::depth::{self, Depth};
use super::{Bands, LoadedPicture, Note, Opened, Pixels, Samples, profile};
use crate::image_io::ImageError;

/// How samples that are not opaque 8-bit sRGB are converted.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureOptions {
    /// The colour behind transparent parts, as 8-bit sRGB. `None` drops alpha, so that hidden colours show.
    pub background: Option<[u8; 3]>,
    /// Whether to convert colours from an embedded profile to sRGB.
    pub convert_profiles: bool,
    /// How deep samples become 8-bit ones.
    pub depth: Depth,
    /// Bands to use as colours, instead of the file's own; alpha and profile are then ignored.
    pub bands: Option<Bands>,
}

impl PictureOptions {
    /// Like PIL, and so like the published evaluation: alpha is dropped, profiles are ignored, 16-bit samples keep their high
    /// byte.
    pub const PIL: Self = Self { background: None, convert_profiles: false, depth: Depth::Full, bands: None };
}

impl Default for PictureOptions {
    /// As displayed: on white, with the profile's colours.
    fn default() -> Self {
        Self { background: Some([255; 3]), convert_profiles: true, depth: Depth::Full, bands: None }
    }
}

/// Reads a JPEG, PNG, WebP, BMP or TIFF picture as upright 8-bit RGB, like PIL's `convert("RGB")`
/// ([`PictureOptions::PIL`]).
///
/// # Errors
/// As [`load_rgb_with`].
pub fn load_rgb(path: &Path) -> Result<RgbImage, ImageError> {
    Ok(load_rgb_with(path, &PictureOptions::PIL)?.rgb)
}

/// Reads a JPEG, PNG, WebP, BMP or TIFF picture as upright 8-bit RGB.
///
/// The format is detected from the content, not from the name. Grey is repeated, palettes are looked up, and CMYK without a used profile
/// is multiplied out. The EXIF orientation is applied, so the size is as displayed.
///
/// # Errors
/// Unreadable, empty or damaged files, other formats, samples that `options.depth` cannot bring to 8 bits, and pictures
/// over [`super::MAX_PIXELS`], [`super::MAX_SIDE`] or [`super::MAX_FILE_BYTES`].
pub fn load_rgb_with(path: &Path, options: &PictureOptions) -> Result<LoadedPicture, ImageError> {
    to_rgb(path, Opened::read(path)?.decode_as_stored(options.bands)?, options)
}

/// The same for a picture from `source`, such as a pipe; `name` names it in messages.
///
/// # Errors
/// As [`load_rgb_with`].
pub fn load_rgb_from(source: impl Read, name: &Path, options: &PictureOptions) -> Result<LoadedPicture, ImageError> {
    to_rgb(name, Opened::read_from(source, name)?.decode_as_stored(options.bands)?, options)
}

/// Reads pictures that belong together, such as the examples of a run. If their 16-bit samples use fewer bits, the number is
/// determined for all of them and set in `options` for later pictures.
///
/// # Errors
/// As [`load_rgb_with`].
pub fn load_together(paths: &[&Path], options: &mut PictureOptions) -> Result<Vec<LoadedPicture>, ImageError> {
    let pictures =
        paths.iter().map(|path| Opened::read(path)?.decode_as_stored(options.bands)).collect::<Result<Vec<_>, _>>()?;
    if options.depth == Depth::Full {
        options.depth = depth::used_by(&pictures);
    }
    paths.iter().zip(pictures).map(|(path, pixels)| to_rgb(path, pixels, options)).collect()
}

pub(super) fn to_rgb(path: &Path, pixels: Pixels, options: &PictureOptions) -> Result<LoadedPicture, ImageError> {
    let Pixels { width, height, mut channels, samples, icc, orientation, mut notes, place } = pixels;
    let inks = matches!(samples, Samples::Inks(_));
    let samples = depth::to_bytes(path, samples, channels, options.depth, &mut notes)?;
    // Alpha is not a colour.
    let (mut colours, alpha) = match channels {
        2 | 4 if !inks => {
            channels -= 1;
            split_alpha(samples, channels)
        }
        _ => (samples, None),
    };
    let mut converted = false;
    if let Some(icc) = icc.filter(|_| options.convert_profiles) {
        match profile::to_srgb(&icc, &colours, channels) {
            Ok(Some(rgb)) => {
                (colours, channels, converted) = (rgb, 3, true);
                notes.push(Note::Profile);
            }
            Ok(None) => {}
            Err(reason) => notes.push(Note::BadProfile { reason }),
        }
    }
    if inks && !converted {
        (colours, channels) = (multiply_out(&colours), 3);
    }
    let mut rgb = match channels {
        1 => colours.iter().flat_map(|&grey| [grey; 3]).collect(),
        _ => colours,
    };
    if let (Some(alpha), Some(background)) = (alpha, options.background)
        && alpha.iter().any(|&a| a < 255)
    {
        put_on(background, &mut rgb, &alpha);
        notes.push(Note::Background { colour: background });
    }
    let got = rgb.len();
    let Some(rgb) = RgbImage::from_raw(width, height, rgb) else {
        let want = width as usize * height as usize * 3;
        return Err(ImageError::Length { what: "the decoded picture", got, want });
    };
    let mut picture = DynamicImage::ImageRgb8(rgb);
    picture.apply_orientation(orientation);
    let place = place.filter(|_| orientation == image::metadata::Orientation::NoTransforms);
    Ok(LoadedPicture { rgb: picture.into_rgb8(), orientation, notes, place })
}

/// `[n, colours + 1]` to `[n, colours]` and `[n]`. Works in place, so that a large picture is not held twice.
fn split_alpha(mut samples: Vec<u8>, colours: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let stride = colours + 1;
    let count = samples.len() / stride;
    let alpha = samples.chunks_exact(stride).map(|pixel| pixel[colours]).collect();
    for i in 0..count {
        samples.copy_within(stride * i..stride * i + colours, colours * i);
    }
    samples.truncate(colours * count);
    (samples, Some(alpha))
}

/// Blends transparent pixels with the background in sRGB values, like browsers and PIL.
fn put_on(background: [u8; 3], rgb: &mut [u8], alpha: &[u8]) {
    for (pixel, &alpha) in rgb.chunks_exact_mut(3).zip(alpha) {
        let a = u32::from(alpha);
        for (front, behind) in pixel.iter_mut().zip(background) {
            *front = over_255(u32::from(*front) * a + u32::from(behind) * (255 - a));
        }
    }
}

/// Inks, with 255 for full, to RGB like PIL without a profile: `[n, 4]` to `[n, 3]`.
pub(super) fn multiply_out(inks: &[u8]) -> Vec<u8> {
    let paper = |ink: u8| u32::from(255 - ink);
    inks.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]].map(|ink| over_255(paper(ink) * paper(p[3])))).collect()
}

/// A sum of products of bytes, divided by 255 and rounded.
fn over_255(product: u32) -> u8 {
    ((product + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::metadata::Orientation;

    fn rgb(channels: usize, samples: Samples, options: &PictureOptions) -> (Vec<u8>, Vec<Note>) {
        let count = match &samples {
            Samples::Eight(s) | Samples::Inks(s) => s.len(),
            Samples::Sixteen(s) => s.len(),
            Samples::Float(s) => s.len(),
        };
        let (width, height, orientation) = ((count / channels) as u32, 1, Orientation::NoTransforms);
        let pixels = Pixels { width, height, channels, samples, icc: None, orientation, notes: vec![], place: None };
        let loaded = to_rgb(Path::new("x"), pixels, options).unwrap();
        (loaded.rgb.into_raw(), loaded.notes)
    }

    #[test]
    fn alpha_is_dropped_or_put_on_a_colour() {
        let (grey, colour) = (vec![5, 0, 9, 255], vec![1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10, 255]);
        let bytes = |samples: &Vec<u8>| Samples::Eight(samples.clone());
        let dropped = rgb(2, bytes(&grey), &PictureOptions::PIL);
        assert_eq!(dropped, (vec![5, 5, 5, 9, 9, 9], vec![]));
        assert_eq!(rgb(4, bytes(&colour), &PictureOptions::PIL).0, [1, 2, 3, 4, 5, 6, 8, 9, 10]);

        let white = vec![Note::Background { colour: [255; 3] }];
        let on_white = rgb(2, bytes(&grey), &PictureOptions::default());
        assert_eq!(on_white, (vec![255, 255, 255, 9, 9, 9], white));
        let green = PictureOptions { background: Some([0, 100, 0]), ..Default::default() };
        // 4 * 7/255, (5 * 7 + 100 * 248) / 255, 6 * 7/255
        assert_eq!(rgb(4, bytes(&colour), &green).0, [0, 100, 0, 0, 97, 0, 8, 9, 10]);
        // A fully opaque picture gives no note.
        assert_eq!(rgb(2, Samples::Eight(vec![7, 255]), &green), (vec![7, 7, 7], vec![]));
    }

    #[test]
    fn grey_is_repeated_and_inks_are_multiplied_out() {
        assert_eq!(rgb(1, Samples::Eight(vec![5, 9]), &PictureOptions::default()).0, [5, 5, 5, 9, 9, 9]);
        let inks = Samples::Inks(vec![0, 0, 0, 0, 255, 0, 51, 0, 0, 102, 204, 255, 0, 51, 102, 51]);
        // 255 * 204/255, 204 * 204/255, 153 * 204/255
        let want = [255, 255, 255, 0, 255, 204, 0, 0, 0, 204, 163, 122];
        assert_eq!(rgb(4, inks, &PictureOptions::default()).0, want);
    }
}
