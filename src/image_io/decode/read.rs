//! Files to bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{ImageError, MAX_FILE_BYTES};

/// Reads a whole file, at most [`MAX_FILE_BYTES`] of it, be it a file or a pipe.
pub(in crate::image_io) fn read_file(path: &Path) -> Result<Vec<u8>, ImageError> {
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
    let mut bytes = Vec::with_capacity(about.len() as usize);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| ImageError::read(path, e))?;
    if bytes.is_empty() {
        return Err(ImageError::Empty { path: path_buf() });
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { path: path_buf() });
    }
    Ok(bytes)
}
