//! Masks and label maps as TIFF, which keeps a picture's place on the map.

use super::FormatError;
use crate::image_io::{GeoTags, GeoValues, ImageError, write_by, write_whole};
use std::io::{BufWriter, Cursor, Seek, Write};
use std::path::Path;

use tiff::encoder::colortype::Gray8;
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, DirectoryEncoder, TiffEncoder, TiffKindStandard};
use tiff::tags::Tag;
use tiff::{TiffError, TiffResult};

/// Rows of a strip.
const ROWS: u32 = 64;

/// Writes bytes `[height, width]` (a mask's 0 and 255, or class numbers) as a grey TIFF, deflated, with the tags of `place`.
///
/// # Errors
/// No pixels, or more than TIFF holds; a file that is there and not to be replaced, and whatever the system says.
pub fn save(
    path: &Path,
    bytes: &[u8],
    (width, height): (u32, u32),
    place: Option<&GeoTags>,
    force: bool,
) -> Result<(), FormatError> {
    let encoded = encode(bytes, (width, height), place);
    let file = encoded.map_err(|error| ImageError::Encode { path: path.to_owned(), reason: error.to_string() })?;
    Ok(write_whole(path, &file, force)?)
}

/// The same of rows that `next` gives in turn, for pictures that no memory holds.
///
/// # Errors
/// As [`save`], and those of `next`.
pub fn save_rows(
    path: &Path,
    (width, height): (u32, u32),
    place: Option<&GeoTags>,
    force: bool,
    next: &mut dyn FnMut() -> Result<Vec<u8>, ImageError>,
) -> Result<(), FormatError> {
    let failed = |error: TiffError| ImageError::Encode { path: path.to_owned(), reason: error.to_string() };
    write_by(path, force, |file| {
        let mut encoder = TiffEncoder::new(BufWriter::new(file))
            .map_err(failed)?
            .with_compression(Compression::Deflate(DeflateLevel::default()));
        let mut image = encoder.new_image::<Gray8>(width, height).map_err(failed)?;
        image.rows_per_strip(ROWS.min(height)).map_err(failed)?;
        put(image.encoder(), place).map_err(failed)?;
        for first in (0..height).step_by(ROWS as usize) {
            let rows = (first..height.min(first + ROWS)).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
            image.write_strip(&rows.concat()).map_err(failed)?;
        }
        image.finish().map_err(failed)
    })
    .map_err(FormatError::Image)
}

fn put<W: Write + Seek>(
    directory: &mut DirectoryEncoder<W, TiffKindStandard>,
    place: Option<&GeoTags>,
) -> TiffResult<()> {
    for (tag, values) in place.into_iter().flat_map(GeoTags::tags) {
        let tag = Tag::from_u16_exhaustive(tag);
        match values {
            GeoValues::Shorts(values) => directory.write_tag(tag, values.as_slice())?,
            GeoValues::Doubles(values) => directory.write_tag(tag, values.as_slice())?,
            // What cannot be text in Rust has no place there.
            GeoValues::Text(text) => directory.write_tag(tag, String::from_utf8_lossy(text).trim_end_matches('\0'))?,
        }
    }
    Ok(())
}

fn encode(bytes: &[u8], (width, height): (u32, u32), place: Option<&GeoTags>) -> TiffResult<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut file)?.with_compression(Compression::Deflate(DeflateLevel::default()));
    let mut image = encoder.new_image::<Gray8>(width, height)?;
    put(image.encoder(), place)?;
    image.write_data(bytes)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_io::{PictureOptions, load_rgb_with};

    /// Our own reader, which is other code, finds the same pixels and the same place.
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
