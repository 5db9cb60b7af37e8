//! PNGs that are written row by row: of pictures that no memory holds.

use super::write::check_extension;
use super::{ImageError, voc_colour, write_by};
use std::io::{BufWriter, Write};
use std::path::Path;

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSamples {
    Grey,
    /// High byte first.
    GreySixteen,
    /// Red, green and blue, of 8 bits each.
    Rgb,
    /// The number of a class, in PASCAL VOC's palette.
    Label,
}

/// Writes a PNG of (width, height) whose rows `next` gives in turn, each of `width` samples.
///
/// # Errors
/// As [`write_mask`](super::write_mask), those of `next`, and rows of another length.
pub fn write_png_rows(
    path: &Path,
    (width, height): (u32, u32),
    samples: RowSamples,
    force: bool,
    next: &mut dyn FnMut(u32) -> Result<Vec<u8>, ImageError>,
) -> Result<(), ImageError> {
    check_extension(path, "png")?;
    let failed = |reason: String| ImageError::Encode { path: path.to_owned(), reason };
    write_by(path, force, |file| {
        let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_compression(png::Compression::Fast);
        encoder.set_depth(png::BitDepth::Eight);
        match samples {
            RowSamples::Grey => {}
            RowSamples::Rgb => encoder.set_color(png::ColorType::Rgb),
            RowSamples::GreySixteen => encoder.set_depth(png::BitDepth::Sixteen),
            RowSamples::Label => {
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_palette((0..=255).flat_map(voc_colour).collect::<Vec<u8>>());
            }
        }
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
        write_png_rows(&path, (5, 3), RowSamples::Grey, false, &mut |y| Ok(vec![y as u8; 5])).unwrap();
        let back = image::open(&path).unwrap().into_luma8();
        assert!(back.enumerate_pixels().all(|(_, y, p)| p.0[0] == y as u8) && back.dimensions() == (5, 3));
        write_png_rows(&path, (2, 1), RowSamples::GreySixteen, true, &mut |_| Ok(vec![1, 2, 3, 4])).unwrap();
        assert_eq!(image::open(&path).unwrap().into_luma16().into_raw(), [0x102, 0x304]);
        // A row too few leaves what was there.
        let fails = write_png_rows(&path, (2, 2), RowSamples::Grey, true, &mut |_| Ok(vec![1]));
        assert!(fails.is_err() && image::open(&path).unwrap().width() == 2);
    }
}
