//! Turns decoders' panics into errors.

use super::{ImageError, Source};
use crate::panics::caught;

/// Runs `decode`; a panic in it becomes an [`ImageError::Decode`] of the file, because a file
/// that breaks a decoder must not end a run over many files.
pub(in crate::image_io) fn guarded<T>(
    source: &Source,
    decode: impl FnOnce() -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    caught(decode).unwrap_or_else(|reason| Err(source.failed(format!("the decoder panicked ({reason})"))))
}
