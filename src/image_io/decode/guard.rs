//! A decoder's panic becomes an error.

use super::{ImageError, Source};
use crate::panics::caught;

/// What `decode` gives, a panic in it being an [`ImageError::Decode`] of the file. The decoders are of others, and a file
/// that breaks one must not end a run over many.
pub(in crate::image_io) fn guarded<T>(
    source: &Source,
    decode: impl FnOnce() -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    caught(decode).unwrap_or_else(|reason| Err(source.failed(format!("the decoder broke down on it ({reason})"))))
}
