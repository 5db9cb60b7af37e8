//! Writes results to files atomically, and replaces files only with `force`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::{ImageError, Mask, check_finite, check_length, is_standard, npy_header, paint_overlay};

/// Writes `mask` as an 8-bit grey PNG, 255 for foreground and 0 for background.
///
/// The write is atomic: the file is written under a temporary name and renamed.
///
/// # Errors
/// [`ImageError::Exists`] if the file exists and `force` is false; a name that does not end in `.png`,
/// a missing directory, I/O errors.
pub fn write_mask(path: &Path, mask: &Mask, force: bool) -> Result<(), ImageError> {
    let (width, height) = mask.size();
    let levels: Vec<u8> = mask.foreground().iter().map(|&f| 255 * u8::from(f)).collect();
    write_png(path, &levels, (width, height), ExtendedColorType::L8, force)
}

/// Writes `mask` painted on `rgb` as an RGB PNG (see [`paint_overlay`]).
///
/// # Errors
/// As [`write_mask`], and [`ImageError::Length`] if the sizes differ.
pub fn write_overlay(path: &Path, rgb: &RgbImage, mask: &Mask, force: bool) -> Result<(), ImageError> {
    let painted = paint_overlay(rgb, mask)?;
    write_png(path, painted.as_raw(), painted.dimensions(), ExtendedColorType::Rgb8, force)
}

/// Writes a picture as an RGB PNG.
///
/// # Errors
/// As [`write_mask`].
pub fn write_rgb(path: &Path, rgb: &RgbImage, force: bool) -> Result<(), ImageError> {
    write_png(path, rgb.as_raw(), rgb.dimensions(), ExtendedColorType::Rgb8, force)
}

/// Writes a map `[height, width]` in [0, 1] as a 16-bit grey PNG, 65535 for 1. `size` is (width, height).
///
/// # Errors
/// As [`write_mask`]; [`ImageError::Length`] and [`ImageError::NotFinite`] for an invalid map.
pub fn write_probability_png(path: &Path, map: &[f32], size: (u32, u32), force: bool) -> Result<(), ImageError> {
    check_length("the map to write", map.len(), size, 1)?;
    check_finite(map)?;
    let levels: Vec<u8> = map.iter().flat_map(|v| ((v.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16).to_ne_bytes()).collect();
    write_png(path, &levels, size, ExtendedColorType::L16, force)
}

/// Writes a map `[height, width]` as a NumPy file of little-endian float32. `size` is (width, height).
///
/// # Errors
/// As [`write_probability_png`], for a name that ends in `.npy`.
pub fn write_probability_npy(path: &Path, map: &[f32], size: (u32, u32), force: bool) -> Result<(), ImageError> {
    check_length("the map to write", map.len(), size, 1)?;
    check_finite(map)?;
    check_extension(path, "npy")?;
    let mut bytes = npy_header(size);
    bytes.extend(map.iter().flat_map(|v| v.to_le_bytes()));
    write_whole(path, &bytes, force)
}

/// Fails if a later write to `path` would fail: another extension than `wanted` ("png" or "npy"), a directory or
/// a device of that name, an existing file without `force`, a missing directory. So a program can report this
/// before a long computation.
///
/// # Errors
/// As [`write_mask`], except errors of the write itself.
pub fn check_output(path: &Path, wanted: &'static str, force: bool) -> Result<(), ImageError> {
    check_extension(path, wanted)?;
    check_place(path, force)
}

/// [`check_output`] for a file with any extension.
///
/// # Errors
/// As [`write_whole`].
pub fn check_place(path: &Path, force: bool) -> Result<(), ImageError> {
    if is_standard(path) { Ok(()) } else { place(path, force).map(|_| ()) }
}

/// The real path of `path` and its directory. A symbolic link is followed, so that its target is replaced and
/// not the link.
fn place(path: &Path, force: bool) -> Result<(PathBuf, PathBuf), ImageError> {
    let path_buf = || path.to_owned();
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => {
            return Err(ImageError::OutputIsDirectory { path: path_buf() });
        }
        Ok(about) if !about.is_file() => {
            return Err(ImageError::OutputNotAFile { path: path_buf() });
        }
        Ok(_) if !force => return Err(ImageError::Exists { path: path_buf() }),
        Ok(_) => {
            let real = fs::canonicalize(path).map_err(|e| ImageError::write(path, e))?;
            let parent = real.parent().map(Path::to_owned).unwrap_or_default();
            return Ok((real, parent));
        }
        Err(_) if path.is_symlink() => {
            // A broken link: neither the link nor its target is ours.
            return Err(ImageError::OutputNotAFile { path: path_buf() });
        }
        // Missing, or below something that is not a directory: the check of the parent decides.
        Err(_) => {}
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if path.file_name().is_none() || !parent.is_dir() {
        return Err(ImageError::NoParent { path: path_buf(), parent: parent.to_owned() });
    }
    Ok((path_buf(), parent.to_owned()))
}

pub(super) fn check_extension(path: &Path, wanted: &'static str) -> Result<(), ImageError> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case(wanted) => Ok(()),
        _ if is_standard(path) => Ok(()),
        _ => Err(ImageError::Extension { path: path.to_owned(), wanted }),
    }
}

fn write_png(
    path: &Path,
    samples: &[u8],
    (width, height): (u32, u32),
    color: ExtendedColorType,
    force: bool,
) -> Result<(), ImageError> {
    check_extension(path, "png")?;
    // Encode in memory to keep the time of the write short.
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
        .write_image(samples, width, height, color)
        .map_err(|e| ImageError::Encode { path: path.to_owned(), reason: e.to_string() })?;
    write_whole(path, &png, force)
}

/// Writes any file under a temporary name beside `path` and renames it. The temporary file is removed on failure. If
/// `path` is [`STANDARD`](super::STANDARD), the bytes go to standard output.
///
/// # Errors
/// As [`write_mask`], for any extension.
pub fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<(), ImageError> {
    let failed = |e: io::Error| ImageError::write(path, e);
    if is_standard(path) {
        let mut out = io::stdout().lock();
        return match out.write_all(bytes).and_then(|()| out.flush()) {
            // A closed pipe is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
            _ => Ok(()),
        };
    }
    write_by(path, force, |file| file.write_all(bytes).map_err(failed))
}

/// The same with a callback that writes the file in parts; not for standard output.
///
/// # Errors
/// As [`write_mask`], and errors of `write`.
pub fn write_by<E: From<ImageError>>(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut fs::File) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |e: io::Error| ImageError::write(path, e);
    let (target, parent) = place(path, force)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".diffews-").suffix(".part");
    #[cfg(unix)]
    {
        // Permissions of a usual new file, minus the umask; temporary files are private by default.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(parent).map_err(failed)?;
    if let Ok(about) = fs::metadata(&target) {
        // Keep the permissions of the replaced file if possible.
        let _ = file.as_file().set_permissions(about.permissions());
    }
    write(file.as_file_mut())?;
    file.as_file().sync_data().map_err(failed)?;
    if force {
        file.persist(&target).map_err(|e| failed(e.error))?;
    } else {
        // Do not replace a file that appeared since the check.
        file.persist_noclobber(&target).map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => ImageError::Exists { path: path.to_owned() },
            _ => failed(e.error),
        })?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn who_may_read_a_replaced_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write_whole(&path, b"new", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
