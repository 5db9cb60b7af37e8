//! Picture files to pixels.
//!
//! ```text
//! file --read--> bytes --sniff--> format --jpeg, tiff, plain--> Pixels --to_rgb8, upright--> RgbImage
//! ```
//!
//! [`decode`] is the one place that chooses by format. Each decoder keeps the samples as deep as its file has them; what
//! becomes of depth, alpha and profiles is decided behind it. All of them run in [`guard`].

mod animation;
pub(super) mod guard;
mod jpeg;
mod opened;
mod orientation;
mod plain;
mod png;
mod read;
mod sniff;
mod tiff;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat, RgbImage};

use super::ImageError;
pub(super) use opened::{Opened, is_turned};
pub use read::check_ordinary;
pub(super) use read::read_file;

/// Largest picture file that is read, in bytes (1 GiB).
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Most pixels that a picture may have: 2^28, about 268 million (a 16,384 x 16,384 picture).
pub const MAX_PIXELS: u64 = 1 << 28;
/// Longest side that a picture may have.
pub const MAX_SIDE: u32 = 1 << 18;
/// Most bytes of decoded samples: [`MAX_PIXELS`] of 8-bit RGBA.
const MAX_DECODED_BYTES: u64 = 1 << 30;

/// A decoded picture, in the file's own orientation.
#[derive(Debug)]
pub(super) struct Pixels {
    pub width: u32,
    pub height: u32,
    /// 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. Alpha is not premultiplied. Palettes are looked up already, and where a
    /// file makes one colour transparent, that is alpha.
    pub channels: usize,
    /// `[height, width, channels]`
    pub samples: Samples,
    /// The colour profile that the file carries, as it is there.
    pub icc: Option<Vec<u8>>,
    /// How the picture is to be turned for display.
    pub orientation: Orientation,
    /// What the user must be told.
    pub notes: Vec<Note>,
}

/// Samples as deep as the file has them. What has less than 8 bits is scaled to 8, what has 9 to 15 is scaled to 16.
#[derive(Debug)]
pub(super) enum Samples {
    /// White is 255.
    Eight(Vec<u8>),
    /// White is 65535.
    Sixteen(Vec<u16>),
    /// Floating, signed or of 32 bits: white is not known.
    Float(Vec<f32>),
}

/// Something about a picture that its user must be told. `Display` gives one line without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The file holds several pictures; the first is taken.
    Pages { pages: usize },
    /// The file is an animation; its first frame is taken.
    Frames { frames: usize },
    /// Parts of the picture are left out of the file; they are black.
    Sparse { missing: usize, chunks: usize },
}

impl Note {
    /// What is to be said of a file of so many frames.
    fn of_frames(frames: usize) -> Option<Self> {
        (frames > 1).then_some(Self::Frames { frames })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pages { pages } => write!(f, "the file holds {pages} pictures; the first is used"),
            Self::Frames { frames } => write!(f, "the file is an animation of {frames} frames; the first is used"),
            Self::Sparse { missing, chunks } => {
                write!(
                    f,
                    "{missing} of the picture's {chunks} strips or tiles are not in the file; they are taken as 0"
                )
            }
        }
    }
}

/// A picture as read, and what its user should be told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedPicture {
    pub rgb: RgbImage,
    /// How the file's pixels were turned for that.
    pub orientation: Orientation,
    pub notes: Vec<Note>,
}

/// What is known of a picture before it is decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub width: u32,
    pub height: u32,
    pub orientation: Orientation,
}

/// A file's bytes, with what a message needs to name it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub path: &'a Path,
    /// The format's name.
    pub format: &'static str,
    pub bytes: &'a [u8],
}

impl Source<'_> {
    /// The error that the file cannot be decoded, for `reason`.
    pub fn failed(&self, reason: impl fmt::Display) -> ImageError {
        // Decoders' messages may span lines; ours do not.
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        ImageError::Decode { path: self.path.to_owned(), format: self.format, reason }
    }

    /// Fails for sizes beyond the limits, before memory is taken for them.
    fn check_size(&self, width: u32, height: u32, bytes_per_pixel: u8) -> Result<(), ImageError> {
        let pixels = u64::from(width) * u64::from(height);
        let decoded = pixels.saturating_mul(u64::from(bytes_per_pixel));
        if width.max(height) <= MAX_SIDE && pixels <= MAX_PIXELS && decoded <= MAX_DECODED_BYTES {
            return Ok(());
        }
        Err(ImageError::TooManyPixels { path: self.path.to_owned(), width, height, bytes_per_pixel })
    }
}

/// Reads a JPEG, PNG, WebP, BMP, GIF or TIFF picture as upright 8-bit RGB.
///
/// The format is told by the file's content, not its name. Samples become what PIL's `convert("RGB")` makes of
/// them: grey is repeated, palettes are looked up, CMYK is multiplied out, alpha is dropped and not composited,
/// 16-bit samples keep their high byte (for 16-bit grey, where PIL clips at 255 instead, too). The EXIF
/// orientation is applied, so the size is that of the picture as displayed. Colour profiles are not.
///
/// # Errors
/// Unreadable, empty or damaged files, other formats, floating-point samples, and pictures over [`MAX_PIXELS`],
/// [`MAX_SIDE`] or [`MAX_FILE_BYTES`].
pub fn load_rgb(path: &Path) -> Result<RgbImage, ImageError> {
    Ok(load_picture(path)?.rgb)
}

/// [`load_rgb`] with what the user should be told.
///
/// # Errors
/// As [`load_rgb`].
pub fn load_picture(path: &Path) -> Result<LoadedPicture, ImageError> {
    let pixels = decode(path)?;
    let (width, height, orientation) = (pixels.width, pixels.height, pixels.orientation);
    let samples = to_rgb(pixels.samples.into_bytes(path)?, pixels.channels);
    let got = samples.len();
    let Some(rgb) = RgbImage::from_raw(width, height, samples) else {
        let want = width as usize * height as usize * 3;
        let what = "the decoded picture";
        return Err(ImageError::Length { what, got, want });
    };
    let mut picture = DynamicImage::ImageRgb8(rgb);
    picture.apply_orientation(orientation);
    Ok(LoadedPicture { rgb: picture.into_rgb8(), orientation, notes: pixels.notes })
}

/// Width and height of a picture as displayed, of which nothing is decoded.
///
/// # Errors
/// As [`load_rgb`], as far as the file's header tells.
pub fn dimensions(path: &Path) -> Result<(u32, u32), ImageError> {
    Ok(Opened::read(path)?.header()?.displayed())
}

/// Decodes a picture file of any kind.
pub(super) fn decode(path: &Path) -> Result<Pixels, ImageError> {
    Opened::read(path)?.decode()
}

fn header(source: &Source, format: ImageFormat) -> Result<Header, ImageError> {
    match format {
        ImageFormat::Jpeg => jpeg::header(source),
        ImageFormat::Tiff => tiff::header(source),
        ImageFormat::Png => png::header(source),
        ImageFormat::Gif | ImageFormat::WebP => animation::header(source, format),
        _ => plain::header(source, format),
    }
}

fn samples(source: &Source, format: ImageFormat) -> Result<Pixels, ImageError> {
    match format {
        ImageFormat::Jpeg => jpeg::decode(source),
        ImageFormat::Tiff => tiff::decode(source),
        ImageFormat::Png => png::decode(source),
        ImageFormat::Gif | ImageFormat::WebP => animation::decode(source, format),
        _ => plain::decode(source, format),
    }
}

impl Header {
    /// Width and height as displayed.
    pub fn displayed(self) -> (u32, u32) {
        if is_turned(self.orientation) { (self.height, self.width) } else { (self.width, self.height) }
    }
}

impl Samples {
    /// The samples at 8 bits: of 16 the high byte, as PIL's raw modes for 16-bit colour do.
    ///
    /// # Errors
    /// [`ImageError::FloatSamples`], of the file `path`.
    pub fn bytes(&self, path: &Path) -> Result<Cow<'_, [u8]>, ImageError> {
        match self {
            Self::Eight(samples) => Ok(Cow::Borrowed(samples)),
            Self::Sixteen(samples) => Ok(Cow::Owned(samples.iter().map(|s| (s >> 8) as u8).collect())),
            Self::Float(_) => Err(ImageError::FloatSamples { path: path.to_owned() }),
        }
    }

    /// [`Self::bytes`] without a copy of what has 8 bits.
    fn into_bytes(self, path: &Path) -> Result<Vec<u8>, ImageError> {
        match self {
            Self::Eight(samples) => Ok(samples),
            other => Ok(other.bytes(path)?.into_owned()),
        }
    }
}

/// Drops alpha and repeats grey: `[n, channels]` to `[n, 3]`.
fn to_rgb(mut samples: Vec<u8>, channels: usize) -> Vec<u8> {
    match channels {
        1 | 2 => samples.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
        4 => {
            // In place: a large picture is not held twice.
            let count = samples.len() / 4;
            for i in 0..count {
                samples.copy_within(4 * i..4 * i + 3, 3 * i);
            }
            samples.truncate(3 * count);
            samples
        }
        _ => samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_keep_the_high_byte() {
        let samples = Samples::Sixteen(vec![0x1234, 0xffff, 0x00ff, 0x8000]);
        assert_eq!(samples.into_bytes(Path::new("x")).unwrap(), [0x12, 0xff, 0x00, 0x80]);
    }

    #[test]
    fn alpha_is_dropped_and_grey_repeated() {
        assert_eq!(to_rgb(vec![5, 9], 1), [5, 5, 5, 9, 9, 9]);
        assert_eq!(to_rgb(vec![5, 0, 9, 255], 2), [5, 5, 5, 9, 9, 9]);
        assert_eq!(to_rgb(vec![1, 2, 3, 0, 4, 5, 6, 7], 4), [1, 2, 3, 4, 5, 6]);
    }
}
