//! TIFF.

use image::ImageFormat;

use super::{Header, ImageError, Pixels, Source, plain};

/// Size and orientation, of which nothing is decoded.
pub(super) fn header(source: &Source) -> Result<Header, ImageError> {
    plain::header(source, ImageFormat::Tiff)
}

pub(super) fn decode(source: &Source) -> Result<Pixels, ImageError> {
    plain::decode(source, ImageFormat::Tiff)
}
