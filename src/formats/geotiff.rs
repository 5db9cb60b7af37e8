//! Masks and label maps as TIFF, which keeps a picture's georeference.

use super::FormatError;
use crate::image_io::{GeoTags, GeoValues, ImageError, write_by};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;
use tiff::TiffError;
use tiff::encoder::{DirectoryEncoder, TiffEncoder, TiffKindStandard};
use tiff::tags::Tag;

/// Rows of a strip.
const ROWS: u32 = 64;
/// TIFF's number for Deflate.
const DEFLATE: u16 = 8;

/// Writes bytes `[height, width]` (a mask's 0 and 255, or class numbers) as a grey TIFF, deflated, with the tags of `place`.
///
/// # Errors
/// No pixels, a wrong number of them, or more than TIFF holds; an existing file without `force`; I/O errors.
pub fn save(
    path: &Path,
    bytes: &[u8],
    (width, height): (u32, u32),
    place: Option<&GeoTags>,
    force: bool,
) -> Result<(), FormatError> {
    let mut rows = bytes.chunks_exact(width.max(1) as usize);
    let next = &mut || Ok(rows.next().unwrap_or_default().to_vec());
    save_rows(path, (width, height), place, force, next)
}

/// The same for rows from `next`, for pictures larger than memory.
///
/// # Errors
/// As [`save`], and errors of `next`.
pub fn save_rows(
    path: &Path,
    (width, height): (u32, u32),
    place: Option<&GeoTags>,
    force: bool,
    next: &mut dyn FnMut() -> Result<Vec<u8>, ImageError>,
) -> Result<(), FormatError> {
    let unfit = |reason: String| ImageError::Encode { path: path.to_owned(), reason };
    if width == 0 || height == 0 {
        return Err(unfit("it has no pixels".into()).into());
    }
    let failed = |error: TiffError| unfit(error.to_string());
    let written = write_by(path, force, |file| {
        let mut encoder = TiffEncoder::new(BufWriter::new(file)).map_err(failed)?;
        // The crate (0.11.3) does not compress strips that are written one by one, although it tags them so.
        let mut directory = encoder.image_directory().map_err(failed)?;
        let (mut offsets, mut lengths): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for first in (0..height).step_by(ROWS as usize) {
            let mut deflated = ZlibEncoder::new(Vec::new(), Compression::fast());
            for _ in first..height.min(first + ROWS) {
                let row = next()?;
                if row.len() != width as usize {
                    return Err(unfit(format!("a row has {} pixels of {width}", row.len())));
                }
                deflated.write_all(&row).map_err(|e| unfit(e.to_string()))?;
            }
            let strip = deflated.finish().map_err(|e| unfit(e.to_string()))?;
            let offset = directory.write_data(strip.as_slice()).map_err(failed)?;
            let (Ok(offset), Ok(length)) = (offset.try_into(), strip.len().try_into()) else {
                return Err(unfit("it has more than the 4 GiB that TIFF holds".into()));
            };
            offsets.push(offset);
            lengths.push(length);
        }
        let mut put = || {
            directory.write_tag(Tag::ImageWidth, width)?;
            directory.write_tag(Tag::ImageLength, height)?;
            directory.write_tag(Tag::BitsPerSample, 8_u16)?;
            directory.write_tag(Tag::Compression, DEFLATE)?;
            // 1: black is 0.
            directory.write_tag(Tag::PhotometricInterpretation, 1_u16)?;
            directory.write_tag(Tag::StripOffsets, offsets.as_slice())?;
            directory.write_tag(Tag::SamplesPerPixel, 1_u16)?;
            directory.write_tag(Tag::RowsPerStrip, ROWS.min(height))?;
            directory.write_tag(Tag::StripByteCounts, lengths.as_slice())?;
            put_place(&mut directory, place)
        };
        put().map_err(failed)?;
        directory.finish().map_err(failed)
    });
    written.map_err(FormatError::Image)
}

/// Keys refer to positions in the text, so its length must stay; bytes that are not ASCII become question marks.
fn ascii(text: &[u8]) -> String {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    text.iter().map(|&byte| if byte.is_ascii() && byte != 0 { char::from(byte) } else { '?' }).collect()
}

fn put_place<W: Write + Seek>(
    directory: &mut DirectoryEncoder<W, TiffKindStandard>,
    place: Option<&GeoTags>,
) -> Result<(), TiffError> {
    for (tag, values) in place.into_iter().flat_map(GeoTags::tags) {
        let tag = Tag::from_u16_exhaustive(tag);
        match values {
            GeoValues::Shorts(values) => directory.write_tag(tag, values.as_slice())?,
            GeoValues::Doubles(values) => directory.write_tag(tag, values.as_slice())?,
            GeoValues::Text(text) => directory.write_tag(tag, ascii(text).as_str())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_io::{PictureOptions, load_rgb_with};

    /// Our own reader, which is independent code, finds the same pixels and georeference.
    #[test]
    fn pixels_and_place_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.tif");
        let place = GeoTags::of([
            (33550, GeoValues::Doubles(vec![0.5, 0.25, 0.0])),
            (33922, GeoValues::Doubles(vec![0.0, 0.0, 0.0, 4e5, 5e6, 0.0])),
            (34735, GeoValues::Shorts(vec![1, 1, 0, 1, 3072, 0, 1, 32633])),
            (34737, GeoValues::Text(b"WGS 84|\0".to_vec())),
        ]);
        assert_eq!(ascii("R\u{e9}\0a\0".as_bytes()), "R???a");
        let bytes: Vec<u8> = (0..7 * 5).map(|i| (i * 7) as u8).collect();
        save(&path, &bytes, (7, 5), Some(&place), false).unwrap();
        let back = load_rgb_with(&path, &PictureOptions::default()).unwrap();
        assert!(back.rgb.pixels().map(|p| p.0[0]).eq(bytes));
        assert_eq!(back.place.as_ref(), Some(&place));
        assert!(save(&path, &[0; 35], (7, 5), None, false).is_err());
        save(&path, &[0; 35], (7, 5), None, true).unwrap();
        assert_eq!(load_rgb_with(&path, &PictureOptions::default()).unwrap().place, None);
        assert!(save(&dir.path().join("n.tif"), &[], (0, 5), None, false).is_err());
    }
}
