//! Picture files to pixels.
//!
//! ```text
//! file --read--> bytes --sniff--> format --jpeg, tiff, plain--> Pixels --colour: depth, profile, alpha--> RgbImage
//! ```
//!
//! [`samples`] chooses the decoder by format. Decoders keep the file's depth; depth, alpha and profiles are
//! converted afterwards. All decoders run in [`guard`].

mod animation;
mod bands;
mod colour;
mod depth;
pub(super) mod guard;
mod jpeg;
mod opened;
mod orientation;
mod plain;
mod png;
mod profile;
mod read;
mod sniff;
mod strips;
mod tiff;

use std::fmt;
use std::io::Read;
use std::path::Path;

use image::metadata::Orientation;
use image::{ImageFormat, RgbImage};

use super::ImageError;
use super::geo::GeoTags;
pub use bands::Bands;
pub use colour::{PictureOptions, load_rgb, load_rgb_from, load_rgb_with, load_together};
pub use depth::Depth;
pub(super) use opened::{Opened, is_turned};
pub use read::check_ordinary;
pub(super) use read::read_file;
pub use sniff::{Beginning, beginning};
pub use strips::{PictureStrips, is_tiff};

/// Largest picture file, in bytes (1 GiB).
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Most pixels of a picture: 2^28, about 268 million (16,384 x 16,384).
pub const MAX_PIXELS: u64 = 1 << 28;
/// Longest side of a picture.
pub const MAX_SIDE: u32 = 1 << 18;
/// Most bytes of decoded samples: [`MAX_PIXELS`] of 8-bit RGBA.
const MAX_DECODED_BYTES: u64 = 1 << 30;

/// A decoded picture, in the file's own orientation.
#[derive(Debug)]
pub(super) struct Pixels {
    pub width: u32,
    pub height: u32,
    /// 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. Alpha is not premultiplied. Palettes are resolved, and a transparent colour of
    /// the file is converted to alpha.
    pub channels: usize,
    /// `[height, width, channels]`
    pub samples: Samples,
    /// The file's colour profile, unchanged.
    pub icc: Option<Vec<u8>>,
    /// How the picture must be turned for display.
    pub orientation: Orientation,
    /// Notes for the user.
    pub notes: Vec<Note>,
    /// Its georeference, as stored.
    pub place: Option<GeoTags>,
}

/// Samples at the file's depth: less than 8 bits are scaled to 8, 9 to 15 bits to 16.
#[derive(Debug)]
pub(super) enum Samples {
    /// White is 255.
    Eight(Vec<u8>),
    /// Cyan, magenta, yellow and black of each pixel, instead of RGB and alpha. Full ink is 255.
    Inks(Vec<u8>),
    /// White is 65535.
    Sixteen(Vec<u16>),
    /// Floating-point, signed or 32-bit samples, whose white is unknown.
    Float(Vec<f32>),
}

/// A note about how a picture was read. `Display` gives one line without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// 16-bit samples use only this many bits, which are taken as the full range.
    Bits { bits: u32 },
    /// Transparent parts were put on this colour.
    Background { colour: [u8; 3] },
    /// Colours were converted to sRGB from the file's profile.
    Profile,
    /// The colour profile is damaged or for another kind of picture, and was ignored.
    BadProfile { reason: String },
    /// The file holds several pictures; the first was used.
    Pages { pages: usize },
    /// The file is an animation; its first frame was used.
    Frames { frames: usize },
    /// Parts of the picture are missing in the file; they are black.
    Sparse { missing: usize, chunks: usize },
}

impl Note {
    /// The note for a file of `frames` frames.
    fn of_frames(frames: usize) -> Option<Self> {
        (frames > 1).then_some(Self::Frames { frames })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits { bits } => {
                let white = (1_u32 << bits) - 1;
                write!(
                    f,
                    "its 16-bit samples use only {bits} bits: {white} is taken as white, in all 16-bit pictures of this run"
                )
            }
            Self::Background { colour: [r, g, b] } => {
                write!(f, "its transparent parts were put on the colour {r},{g},{b}")
            }
            Self::Profile => f.write_str("its colours were converted to sRGB by its profile"),
            Self::BadProfile { reason } => write!(f, "its colour profile is not used: {reason}"),
            Self::Pages { pages } => write!(f, "the file holds {pages} pictures; the first is used"),
            Self::Frames { frames } => write!(f, "the file is an animation of {frames} frames; the first is used"),
            Self::Sparse { missing, chunks } => {
                write!(
                    f,
                    "{missing} of the picture's {chunks} strips or tiles are missing in the file; they were read as 0"
                )
            }
        }
    }
}

/// A picture, and notes on how it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedPicture {
    pub rgb: RgbImage,
    /// How the file's pixels were turned.
    pub orientation: Orientation,
    pub notes: Vec<Note>,
    /// Its georeference, if the file has one (GeoTIFF) and the pixels were not turned.
    pub place: Option<GeoTags>,
}

/// The header of a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub width: u32,
    pub height: u32,
    pub orientation: Orientation,
}

/// A file's bytes, with its name and format for messages.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub path: &'a Path,
    /// The format's name.
    pub format: &'static str,
    pub bytes: &'a [u8],
}

impl Source<'_> {
    /// An error that the file cannot be decoded, with `reason`.
    pub fn failed(&self, reason: impl fmt::Display) -> ImageError {
        // Decoders' messages may have several lines; ours have one.
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        ImageError::Decode { path: self.path.to_owned(), format: self.format, reason }
    }

    /// Fails for sizes beyond the limits, before memory is allocated.
    fn check_size(&self, width: u32, height: u32, bytes_per_pixel: u8) -> Result<(), ImageError> {
        let pixels = u64::from(width) * u64::from(height);
        let decoded = pixels.saturating_mul(u64::from(bytes_per_pixel));
        if width.max(height) <= MAX_SIDE && pixels <= MAX_PIXELS && decoded <= MAX_DECODED_BYTES {
            return Ok(());
        }
        Err(ImageError::TooManyPixels { path: self.path.to_owned(), width, height, bytes_per_pixel })
    }
}

/// Width and height of a picture as displayed, without decoding.
///
/// # Errors
/// As [`load_rgb`], as far as the header shows.
pub fn dimensions(path: &Path) -> Result<(u32, u32), ImageError> {
    Ok(Opened::read(path)?.header()?.displayed())
}

/// The same for a picture from `source`; `name` names it in messages.
///
/// # Errors
/// As [`dimensions`].
pub fn dimensions_from(source: impl Read, name: &Path) -> Result<(u32, u32), ImageError> {
    Ok(Opened::read_from(source, name)?.header()?.displayed())
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

fn samples(source: &Source, format: ImageFormat, bands: Option<Bands>) -> Result<Pixels, ImageError> {
    let pixels = match format {
        ImageFormat::Tiff => return tiff::decode(source, bands),
        ImageFormat::Jpeg => jpeg::decode(source)?,
        ImageFormat::Png => png::decode(source)?,
        ImageFormat::Gif | ImageFormat::WebP => animation::decode(source, format)?,
        _ => plain::decode(source, format)?,
    };
    match bands {
        Some(bands) => bands.of(pixels).map_err(|reason| source.failed(reason)),
        None => Ok(pixels),
    }
}

impl Header {
    /// Width and height as displayed.
    pub fn displayed(self) -> (u32, u32) {
        if is_turned(self.orientation) { (self.height, self.width) } else { (self.width, self.height) }
    }
}
