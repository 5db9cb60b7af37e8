//! Maps of several classes in one `.npz`: an uncompressed ZIP of `.npy` files, like `numpy.savez`.

use super::FormatError;
use crate::image_io::{ImageError, npy_header, write_by};
use crate::shown;
use std::io::{Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Size from which a ZIP needs ZIP64, which some programs do not read.
const LONG: u64 = 1 << 31;

/// Checks names of entries: `numpy.load(file)[name]`.
///
/// # Errors
/// [`FormatError::Name`] for a name that is empty, comes twice, holds a control character or a path character (`/`, `\`, `:`), is `.` or `..`, or is
/// longer than 200 bytes: unpacking the file creates files with these names.
pub fn check_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), FormatError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        let path = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
        let reason = match name {
            "" => "is empty, and cannot name a map in a .npz file",
            "." | ".." => "cannot name a map in a .npz file",
            name if name.contains(path) => "holds a control or path character, and cannot name a map in a .npz file",
            name if name.len() > 200 => "is longer than 200 bytes, and cannot name a map in a .npz file",
            name if !seen.insert(name) => "comes twice, and cannot name two maps in a .npz file",
            _ => continue,
        };
        return Err(FormatError::Name { name: shown::text(name), reason });
    }
    Ok(())
}

/// Writes maps `[height, width]` of float32 under their names. `size` is (width, height). Equal maps give equal bytes.
///
/// # Errors
/// As [`check_names`]; [`ImageError::Length`] for a map of another size; errors of `out`.
pub fn write(out: impl Write + Seek, maps: &[(&str, &[f32])], size: (u32, u32)) -> Result<(), FormatError> {
    check_names(maps.iter().map(|(name, _)| *name))?;
    let want = (size.0 as usize).saturating_mul(size.1 as usize);
    if let Some((_, map)) = maps.iter().find(|(_, map)| map.len() != want) {
        return Err(ImageError::Length { what: "a map to write", got: map.len(), want }.into());
    }
    let failed = |reason: String| ImageError::Encode { path: Path::new("npz").to_owned(), reason };
    let mut zip = ZipWriter::new(out);
    for (name, map) in maps {
        let long = 4 * map.len() as u64 >= LONG;
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(long);
        zip.start_file(format!("{name}.npy"), options).map_err(|e| failed(e.to_string()))?;
        zip.write_all(&npy_header(size)).map_err(|e| failed(e.to_string()))?;
        for part in map.chunks(1 << 14) {
            let bytes: Vec<u8> = part.iter().flat_map(|v| v.to_le_bytes()).collect();
            zip.write_all(&bytes).map_err(|e| failed(e.to_string()))?;
        }
    }
    zip.finish().map_err(|e| failed(e.to_string()))?;
    Ok(())
}

/// [`write()`] to a file, atomically.
///
/// # Errors
/// As [`write()`] and [`write_mask`](crate::image_io::write_mask), except that the name may have any extension.
pub fn save(path: &Path, maps: &[(&str, &[f32])], size: (u32, u32), force: bool) -> Result<(), FormatError> {
    write_by(path, force, |file| {
        write(file, maps, size).map_err(|error| match error {
            FormatError::Image(ImageError::Encode { reason, .. }) => {
                ImageError::Encode { path: path.to_owned(), reason }.into()
            }
            other => other,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read};

    #[test]
    fn maps_come_back_under_their_names() {
        let (cat, dog) = ([0.5, 1.0, 0.0, 0.25, 0.125, f32::MIN_POSITIVE], [1.0; 6]);
        let mut bytes = Cursor::new(Vec::new());
        write(&mut bytes, &[("猫 'x'", &cat), ("dog", &dog)], (3, 2)).unwrap();
        let mut zip = zip::ZipArchive::new(bytes).unwrap();
        assert_eq!(zip.len(), 2);
        let mut entry = zip.by_name("猫 'x'.npy").unwrap();
        assert_eq!(entry.compression(), CompressionMethod::Stored);
        let mut npy = Vec::new();
        entry.read_to_end(&mut npy).unwrap();
        assert_eq!(npy.len(), 128 + 24);
        assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (2, 3), }"));
        assert_eq!(npy[128..].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>(), cat);
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        for bad in [&[""][..], &["."], &[".."], &["../../etc/x"], &["a\\b"], &["c:x"], &["a\nb"], &["a", "a"]] {
            assert!(matches!(check_names(bad.iter().copied()), Err(FormatError::Name { .. })), "{bad:?}");
        }
        let long = "x".repeat(201);
        assert!(check_names([long.as_str()]).is_err());
        assert!(check_names(["a", "A b", "\"é\""]).is_ok());
        assert!(write(Cursor::new(Vec::new()), &[("a", &[1.0])], (2, 1)).is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.npz");
        save(&path, &[("a", &[1.0])], (1, 1), false).unwrap();
        assert!(save(&path, &[("a", &[1.0])], (1, 1), false).is_err());
    }
}
