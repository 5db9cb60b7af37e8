//! Grey PNGs written row by row, for pictures larger than memory.

use super::write::check_extension;
use super::{ImageError, write_by};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Depth of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreyBits {
    Eight,
    /// 16 bits, high byte first.
    Sixteen,
}

/// Writes a grey PNG of (width, height) from the rows of `next`, each of `width` samples.
///
/// # Errors
/// As [`write_mask`](super::write_mask), errors of `next`, rows of a wrong length.
pub fn write_grey_rows(
    path: &Path,
    (width, height): (u32, u32),
    bits: GreyBits,
    force: bool,
    next: &mut dyn FnMut(u32) -> Result<Vec<u8>, ImageError>,
) -> Result<(), ImageError> {
    check_extension(path, "png")?;
    let failed = |reason: String| ImageError::Encode { path: path.to_owned(), reason };
    write_by(path, force, |file| {
        let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_compression(png::Compression::Fast);
        encoder.set_depth(match bits {
            GreyBits::Eight => png::BitDepth::Eight,
            GreyBits::Sixteen => png::BitDepth::Sixteen,
        });
        let mut writer = encoder.write_header().map_err(|e| failed(e.to_string()))?;
        let mut stream = writer.stream_writer().map_err(|e| failed(e.to_string()))?;
        for y in 0..height {
            stream.write_all(&next(y)?).map_err(|cause| ImageError::Write { path: path.to_owned(), cause })?;
        }
        stream.finish().map_err(|e| failed(e.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_make_a_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        write_grey_rows(&path, (5, 3), GreyBits::Eight, false, &mut |y| Ok(vec![y as u8; 5])).unwrap();
        let back = image::open(&path).unwrap().into_luma8();
        assert!(back.enumerate_pixels().all(|(_, y, p)| p.0[0] == y as u8) && back.dimensions() == (5, 3));
        write_grey_rows(&path, (2, 1), GreyBits::Sixteen, true, &mut |_| Ok(vec![1, 2, 3, 4])).unwrap();
        assert_eq!(image::open(&path).unwrap().into_luma16().into_raw(), [0x102, 0x304]);
        // If a row is missing, the existing file stays.
        let fails = write_grey_rows(&path, (2, 2), GreyBits::Eight, true, &mut |_| Ok(vec![1]));
        assert!(fails.is_err() && image::open(&path).unwrap().width() == 2);
    }
}
