//! Pictures and masks: from files to the network's input, and from its output to files.
//!
//! ```text
//! file --load_rgb--> RgbImage --resize_bilinear_rgb--> S x S --to_model_input--> [S, S, 3] in [-1, 1]
//! file --load_mask-> Mask ----resize_nearest_mask----> S x S --mask_to_model_input--> [S, S, 3] of -1 or +1
//! [S, S, 3] of the decoder --DecodedMap--> mask_at(w, h) --> write_mask, write_overlay, write_probability_*
//! ```
//!
//! Everything here runs on the host and uses no GPU. Files are untrusted: sizes are checked before memory is
//! allocated, and every failure is an [`ImageError`] that names the file.
//! Nothing is printed; warnings are returned as data ([`MaskWarning`]).

mod decode;
mod framing;
mod geo;
mod index;
mod labels;
mod map;
mod marks;
mod mask;
mod npy;
mod objects;
mod overlay;
mod prediction;
mod region;
mod resize;
mod row_objects;
mod tiles;
mod write;
mod write_rows;

use std::io;
use std::path::{Path, PathBuf};

pub use decode::{
    Bands, Beginning, Depth, LoadedPicture, MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, Note, PictureOptions, PictureStrips,
    beginning, check_ordinary, dimensions, dimensions_from, is_tiff, load_rgb, load_rgb_from, load_rgb_with,
    load_together,
};
pub use framing::Framing;
pub use geo::{GeoTags, GeoValues};
pub use image::RgbImage;
pub use index::load_index_mask;
pub use labels::{LabelMap, Labelling, MOST_CLASSES, VOID, label_maps, voc_colour};
pub use map::DecodedMap;
pub use marks::{Mark, Marks, Stroke};
pub use mask::{
    BoundingBox, LoadedMask, Mask, MaskKind, MaskPart, MaskReading, MaskSource, MaskValue, MaskWarning, label_numbers,
    load_mask, load_mask_for, load_mask_from, load_mask_of, load_mask_with,
};
pub(crate) use npy::npy_header;
pub use objects::{Object, ObjectOptions, find_objects, mask_of_objects};
pub(crate) use overlay::{line_of, paint_part};
pub use overlay::{paint_overlay, paint_overlay_in};
pub use prediction::Prediction;
pub use region::{Region, Run};
pub use resize::{
    mask_to_model_input, resize_bilinear_rgb, resize_bilinear_rgb_rows_first, resize_map, resize_nearest_mask,
    to_model_input,
};
pub use row_objects::{Replay, RowObject, RowObjects, RowSource, Rows};
pub use tiles::{Band, Mosaic, Tiles};
pub use write::{
    check_output, check_place, write_by, write_mask, write_overlay, write_probability_npy, write_probability_png,
    write_rgb, write_whole,
};
pub use write_rows::{RowSamples, write_png_rows};

/// The path of standard input for reading and of standard output for writing; a file with
/// this name is `./-`.
pub const STANDARD: &str = "-";

/// Whether `path` is [`STANDARD`].
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}

/// Reads a picture as displayed: upright, on white if it is transparent, with the colours of its profile, in 8-bit RGB.
/// Reads like `diffews-wgpu infer` by default; [`load_rgb_with`] has options.
///
/// # Errors
/// As [`load_rgb_with`].
pub fn open_image(path: impl AsRef<Path>) -> Result<RgbImage, ImageError> {
    Ok(load_rgb_with(path.as_ref(), &PictureOptions::default())?.rgb)
}

/// Errors of pictures and masks. Every message is one complete line (there is no source to
/// print after it) and names the file, if there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    #[error("{path}: cannot be read: {cause}", path = .path.display())]
    Read { path: PathBuf, cause: io::Error },

    #[error("{path}: is a directory; name a picture file", path = .path.display())]
    IsDirectory { path: PathBuf },

    #[error("{path}: the file is empty; copy or export the picture again", path = .path.display())]
    Empty { path: PathBuf },

    #[error(
        "{path}: the file is larger than {limit} MiB; scale the picture down first",
        path = .path.display(), limit = MAX_FILE_BYTES >> 20
    )]
    FileTooLarge { path: PathBuf },

    #[error(
        "{path}: {found}; convert it to JPEG, PNG, WebP, BMP or TIFF",
        path = .path.display()
    )]
    NotAPicture { path: PathBuf, found: String },

    #[error(
        "{path}: cannot be decoded as {format}: {reason}; the file may be damaged or of an unusual kind, \
         try to save it again as an 8-bit PNG",
        path = .path.display()
    )]
    Decode { path: PathBuf, format: &'static str, reason: String },

    #[error(
        "{path}: the JPEG ends before its picture does; copy or download it again",
        path = .path.display()
    )]
    Truncated { path: PathBuf },

    #[error(
        "{path}: {width} x {height} pixels with {bytes_per_pixel} bytes each are more than this program reads \
         (at most {max_side} a side, {max_mpx} million in all and 1 GiB decoded); scale the picture down first",
        path = .path.display(), max_side = MAX_SIDE, max_mpx = MAX_PIXELS / 1_000_000
    )]
    TooManyPixels { path: PathBuf, width: u32, height: u32, bytes_per_pixel: u8 },

    #[error(
        "{path}: holds floating-point, signed or 32-bit samples, whose white point is unknown",
        path = .path.display()
    )]
    FloatSamples { path: PathBuf },

    #[error(
        "{path}: its 16-bit samples use only {used} bits, so it would be nearly black",
        path = .path.display()
    )]
    FewBits { path: PathBuf, used: u32 },

    #[error(
        "{path}: its samples use {used} bits, but {bits} bits are set for all pictures of this run",
        path = .path.display()
    )]
    ManyBits { path: PathBuf, used: u32, bits: u32 },

    #[error(
        "{path}: the mask is {mw} x {mh} pixels but its picture is {iw} x {ih} (as displayed, orientation applied); \
         give a mask of the picture's size{hint}",
        path = .path.display(), mw = .mask.0, mh = .mask.1, iw = .image.0, ih = .image.1,
        hint = if *.mask == (.image.1, .image.0) { ": turn it by a quarter" } else { "" }
    )]
    MaskSize { path: PathBuf, mask: (u32, u32), image: (u32, u32) },

    #[error("{path}: {found}", path = .path.display())]
    MaskReading { path: PathBuf, found: String },

    #[error("{path}: the mask has no alpha, or is opaque everywhere", path = .path.display())]
    NoAlpha { path: PathBuf },

    #[error(
        "{path}: the mask holds colours, not label numbers, so it has no label {number}",
        path = .path.display()
    )]
    NotNumbers { path: PathBuf, number: MaskValue },

    #[error(
        "{path}: {found}; a mask of class numbers must be a PNG with one channel of at most 8 bits (grey or palette)",
        path = .path.display()
    )]
    IndexMask { path: PathBuf, found: String },

    #[error("{path}: {reason}", path = .path.display())]
    NotInStrips { path: PathBuf, reason: &'static str },

    #[error("{reason}")]
    Marks { reason: String },

    #[error("{path}: {reason}", path = .path.display())]
    Scribble { path: PathBuf, reason: String },

    #[error("{what} holds {got} values where {want} are needed")]
    Length { what: &'static str, got: usize, want: usize },

    #[error(
        "the runs of a mask of {width} x {height} pixels: run {index} is empty, outside, or not after the previous one"
    )]
    Runs { index: usize, width: u32, height: u32 },

    #[error("{count} of {total} values of the network's output are NaN or infinite (the first at index {first})")]
    NotFinite { count: usize, total: usize, first: usize },

    #[error("{path}: exists already", path = .path.display())]
    Exists { path: PathBuf },

    #[error("{path}: is a directory; name a file to write", path = .path.display())]
    OutputIsDirectory { path: PathBuf },

    #[error("{path}: is not an ordinary file and will not be replaced; name another file", path = .path.display())]
    OutputNotAFile { path: PathBuf },

    #[error(
        "{path}: cannot be written, because {parent} is not a directory; create it or name another file",
        path = .path.display(), parent = .parent.display()
    )]
    NoParent { path: PathBuf, parent: PathBuf },

    #[error("{path}: this output has the format {wanted}; give it a name that ends in .{wanted}", path = .path.display())]
    Extension { path: PathBuf, wanted: &'static str },

    #[error("{path}: cannot be written: {cause}", path = .path.display())]
    Write { path: PathBuf, cause: io::Error },

    #[error("more than {most} classes do not fit a label map")]
    Classes { most: usize },

    #[error(
        "the mask has more than {most} {what}, as noise has; raise the threshold, or segment a part of the picture"
    )]
    Parts { what: &'static str, most: usize },

    #[error("{path}: cannot be encoded: {reason}", path = .path.display())]
    Encode { path: PathBuf, reason: String },
}

impl ImageError {
    fn read(path: &Path, cause: io::Error) -> Self {
        Self::Read { path: path.to_owned(), cause }
    }

    fn write(path: &Path, cause: io::Error) -> Self {
        Self::Write { path: path.to_owned(), cause }
    }
}

/// Fails unless `got` equals `width * height * channels`.
fn check_length(
    what: &'static str,
    got: usize,
    (width, height): (u32, u32),
    channels: usize,
) -> Result<(), ImageError> {
    let want = (width as usize).saturating_mul(height as usize).saturating_mul(channels);
    if got == want { Ok(()) } else { Err(ImageError::Length { what, got, want }) }
}

/// Fails if any value is NaN or infinite, counting them.
fn check_finite(values: &[f32]) -> Result<(), ImageError> {
    let bad = |v: &&f32| !v.is_finite();
    match values.iter().filter(bad).count() {
        0 => Ok(()),
        count => {
            let first = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
            Err(ImageError::NotFinite { count, total: values.len(), first })
        }
    }
}
