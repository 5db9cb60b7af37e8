//! Masks from files.

use std::io::Read;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage};

use super::reading::{self, MaskReading, MaskSource, ReadMask, Refusal};
use super::stored::{Stored, Values};
use super::warning::{MaskValue, MaskWarning};
use super::{ImageError, Mask};
use crate::image_io::decode::{Opened, is_turned};
use crate::image_io::index;
use crate::image_io::{LoadedPicture, VOID};

/// A larger foreground that touches all borders is rarely a thing.
const MOST: f64 = 0.5;
/// Most values of a mask to name.
const MOST_NAMED: usize = 12;

/// A mask, and warnings about it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedMask {
    pub mask: Mask,
    pub warnings: Vec<MaskWarning>,
}

/// Reads any picture file as the mask of a picture of `expect` (width, height) pixels: [`load_mask_with`] and
/// [`MaskSource::Auto`].
///
/// # Errors
/// As [`load_mask_with`].
pub fn load_mask(path: &Path, expect: (u32, u32)) -> Result<LoadedMask, ImageError> {
    load_mask_with(path, expect, MaskReading::default())
}

/// Reads any picture file as the mask of a picture of `expect` (width, height) pixels, by the rule `how`.
///
/// By default, the foreground of a black and white mask is every pixel with a luma (0.299 R + 0.587 G + 0.114 B) of at least half of
/// white. In other masks it is the single label, colour or level besides black, or the opaque pixels if all visible ones have
/// one colour; warnings tell doubtful choices. Palettes of black and white are read by their
/// colours, others by their indices. Transparent pixels are background. The file's orientation is applied as in
/// [`crate::image_io::load_rgb`].
///
/// # Errors
/// [`ImageError::MaskSize`] for another size than `expect`; [`ImageError::MaskReading`] if no pixel fits `how`; otherwise as
/// [`crate::image_io::load_rgb`].
pub fn load_mask_with(path: &Path, expect: (u32, u32), how: MaskReading) -> Result<LoadedMask, ImageError> {
    load(path, Opened::read(path)?, expect, Orientation::NoTransforms, how)
}

/// [`load_mask_with`] for a picture that may be turned by its EXIF orientation: a mask of the stored picture is
/// turned likewise, with a note among the warnings.
///
/// # Errors
/// As [`load_mask_with`].
pub fn load_mask_of(path: &Path, picture: &LoadedPicture, how: MaskReading) -> Result<LoadedMask, ImageError> {
    load(path, Opened::read(path)?, picture.rgb.dimensions(), picture.orientation, how)
}

/// The same without the picture: with its size as displayed (width, height) and its orientation.
///
/// # Errors
/// As [`load_mask_with`].
pub fn load_mask_for(
    path: &Path,
    (size, turned): ((u32, u32), Orientation),
    how: MaskReading,
) -> Result<LoadedMask, ImageError> {
    load(path, Opened::read(path)?, size, turned, how)
}

/// The same for a mask from `source`; `name` names it in messages.
///
/// # Errors
/// As [`load_mask_with`].
pub fn load_mask_from(
    source: impl Read,
    name: &Path,
    picture: &LoadedPicture,
    how: MaskReading,
) -> Result<LoadedMask, ImageError> {
    load(name, Opened::read_from(source, name)?, picture.rgb.dimensions(), picture.orientation, how)
}

fn load(
    path: &Path,
    file: Opened,
    expect: (u32, u32),
    picture: Orientation,
    how: MaskReading,
) -> Result<LoadedMask, ImageError> {
    // Check the size before allocating.
    let header = file.header()?;
    let turned = |size: (u32, u32), by| if is_turned(by) { (size.1, size.0) } else { size };
    let stored = (header.width, header.height);
    let (upright, own) = (turned(stored, header.orientation), header.orientation != Orientation::NoTransforms);
    let (orientation, note) = if upright == expect {
        // With equal sides, or an orientation that keeps them, the mask may be of the stored or of the displayed picture.
        let open = picture != Orientation::NoTransforms && !own && turned(expect, picture) == expect;
        (header.orientation, open.then_some(MaskWarning::NotTurned))
    } else if !own && turned(stored, picture) == expect {
        (picture, Some(MaskWarning::Turned))
    } else {
        return Err(ImageError::MaskSize { path: path.to_owned(), mask: upright, image: expect });
    };

    let stored = decoded(path, file)?;
    let size = (stored.width as u32, stored.height as u32);
    let found = reading::read(&stored, how.source).map_err(|refusal| refused(path, how.source, refusal))?;
    drop(stored);
    let ReadMask { foreground, mut said, brightest, alpha } = found;
    if how.invert {
        said = said.into_iter().filter_map(MaskWarning::inverted).collect();
    }
    let mask = upright_mask(foreground, size, orientation, how.invert)?;
    if mask.size() != expect {
        return Err(ImageError::MaskSize { path: path.to_owned(), mask: mask.size(), image: expect });
    }
    let part = mask.foreground_fraction();
    let whole = part == 1.0;
    if whole {
        said.insert(0, MaskWarning::NoBackground);
    } else if part == 0.0 && how.invert {
        said.insert(0, MaskWarning::InvertedAway);
    } else if part == 0.0 {
        said.insert(0, MaskWarning::NoForeground { brightest, alpha });
    }
    said.extend(note);
    // A user who names a label or colour has looked at the mask.
    let asked = !matches!(how.source, MaskSource::Auto | MaskSource::Alpha);
    if !asked && part > MOST && !whole && mask.touches_all_borders() {
        said.push(MaskWarning::Inverted { percent: 100.0 * part as f32, asked: how.invert });
    }
    Ok(LoadedMask { mask, warnings: said })
}

/// The label numbers of a mask, ascending: its grey values or palette indices except 0 and 255, which are background and
/// void in label maps.
///
/// # Errors
/// A mask of colours, and as [`load_mask_with`].
pub fn label_numbers(path: &Path) -> Result<Vec<u16>, ImageError> {
    let file = Opened::read(path)?;
    file.header()?;
    let stored = decoded(path, file)?;
    if matches!(stored.values, Values::Colour(_)) {
        let found = "the mask holds colours, not label numbers".into();
        return Err(ImageError::MaskReading { path: path.to_owned(), found });
    }
    let numbers = stored.table(|i| stored.value(i)).entries.into_iter().map(|entry| entry.value as u16);
    Ok(numbers.filter(|&number| number != 0 && number != u16::from(VOID)).collect())
}

fn decoded(path: &Path, file: Opened) -> Result<Stored, ImageError> {
    if let Some(png) = file.guarded(index::one_channel)? {
        return Ok(Stored::from_numbers(png));
    }
    let lossy = file.is_lossy();
    Stored::from_pixels(file.decode()?, lossy).ok_or_else(|| ImageError::FloatSamples { path: path.to_owned() })
}

fn upright_mask(
    foreground: Vec<bool>,
    (width, height): (u32, u32),
    orientation: Orientation,
    invert: bool,
) -> Result<Mask, ImageError> {
    let levels: Vec<u8> = foreground.into_iter().map(|f| u8::from(f != invert)).collect();
    let got = levels.len();
    let Some(levels) = GrayImage::from_raw(width, height, levels) else {
        let want = width as usize * height as usize;
        let what = "the decoded mask";
        return Err(ImageError::Length { what, got, want });
    };
    let mut upright = DynamicImage::ImageLuma8(levels);
    upright.apply_orientation(orientation);
    let (width, height) = (upright.width(), upright.height());
    Mask::new(width, height, upright.into_luma8().into_raw().iter().map(|&level| level != 0).collect())
}

fn refused(path: &Path, source: MaskSource, refusal: Refusal) -> ImageError {
    let wanted = match source {
        MaskSource::Value(number) => MaskValue::Number(number),
        MaskSource::Color(colour) => MaskValue::Color(colour),
        MaskSource::Auto | MaskSource::HalfOfWhite | MaskSource::Alpha => MaskValue::Number(0),
    };
    let path = path.to_owned();
    let found = match refusal {
        Refusal::NoAlpha => return ImageError::NoAlpha { path },
        Refusal::NotNumbers => return ImageError::NotNumbers { path, number: wanted },
        Refusal::Absent(held) => {
            let mut names: Vec<String> = held.iter().take(MOST_NAMED).map(MaskValue::to_string).collect();
            if let Some(more @ 1..) = held.len().checked_sub(MOST_NAMED) {
                names.push(format!("{more} more"));
            }
            // Colours have commas of their own.
            let between = if matches!(wanted, MaskValue::Color(_)) { "; " } else { ", " };
            format!("no visible pixel of the mask is {wanted}; it holds {}", names.join(between))
        }
    };
    ImageError::MaskReading { path, found }
}
