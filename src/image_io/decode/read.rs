//! Files to bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{ImageError, MAX_FILE_BYTES};
use crate::files::open_regular;
use crate::image_io::is_standard;

/// Fails for what is no regular file, such as a pipe to which nobody may ever write, without waiting for it. What a list or
/// a folder names is looked at so before it is read.
///
/// # Errors
/// [`ImageError::Read`], also where there is nothing.
pub fn check_ordinary(path: &Path) -> Result<(), ImageError> {
    open_regular(path).map(drop).map_err(|e| ImageError::read(path, e))
}

/// Reads a whole file, at most [`MAX_FILE_BYTES`] of it, be it a file, a pipe or [`STANDARD`](crate::image_io::STANDARD)
/// input.
pub(in crate::image_io) fn read_file(path: &Path) -> Result<Vec<u8>, ImageError> {
    if is_standard(path) {
        return to_end(path, std::io::stdin().lock(), 0);
    }
    let file = File::open(path).map_err(|e| {
        // Windows cannot open a directory at all; elsewhere it is the read that would fail.
        if path.is_dir() {
            let path = path.to_owned();
            ImageError::IsDirectory { path }
        } else {
            ImageError::read(path, e)
        }
    })?;
    let about = file.metadata().map_err(|e| ImageError::read(path, e))?;
    let path_buf = || path.to_owned();
    if about.is_dir() {
        return Err(ImageError::IsDirectory { path: path_buf() });
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { path: path_buf() });
    }
    to_end(path, file, about.len())
}

/// The bytes of `file`, of which about so many are expected, at most [`MAX_FILE_BYTES`].
pub(super) fn to_end(path: &Path, file: impl Read, expected: u64) -> Result<Vec<u8>, ImageError> {
    let path_buf = || path.to_owned();
    let mut bytes = Vec::with_capacity(expected as usize);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| ImageError::read(path, e))?;
    if bytes.is_empty() {
        return Err(ImageError::Empty { path: path_buf() });
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { path: path_buf() });
    }
    Ok(bytes)
}
