//! Files to bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{ImageError, MAX_FILE_BYTES};
use crate::files::open_regular;
use crate::image_io::is_standard;

/// Fails without blocking if `path` is not a regular file, such as a pipe that nobody may ever write to. Paths from lists and
/// folders are checked so before they are read.
///
/// # Errors
/// [`ImageError::Read`], also if the file does not exist.
pub fn check_ordinary(path: &Path) -> Result<(), ImageError> {
    open_regular(path).map(drop).map_err(|e| ImageError::read(path, e))
}

/// Reads a file, a pipe or [`STANDARD`](crate::image_io::STANDARD) input of at most
/// [`MAX_FILE_BYTES`].
pub(in crate::image_io) fn read_file(path: &Path) -> Result<Vec<u8>, ImageError> {
    if is_standard(path) {
        return to_end(path, std::io::stdin().lock(), 0);
    }
    let file = File::open(path).map_err(|e| {
        // Windows cannot open a directory; elsewhere the read would fail.
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

/// Reads `file` of at most [`MAX_FILE_BYTES`]; `expected` is its likely size.
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
