//! TIFFs that are too large to decode at once, read by rows.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use image::{ImageFormat, RgbImage};

use super::super::geo::GeoTags;
use super::colour::to_rgb;
use super::depth::{self, FEW_BITS};
use super::{Depth, ImageError, MAX_SIDE, Opened, PictureOptions, Pixels, Samples, tiff};

/// Most pixels of a picture read in strips: 2^32, as 65,536 x 65,536.
const MOST_PIXELS: u64 = 1 << 32;

/// Whether a file begins like a TIFF.
pub fn is_tiff(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && matches!(&start, b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+")
}

/// A TIFF whose rows are decoded on demand. The compressed file is in memory, the picture only as far as requested.
pub struct PictureStrips {
    file: Opened,
    options: PictureOptions,
    size: (u32, u32),
    place: Option<GeoTags>,
    /// Most bits that 16-bit samples have used so far, if few; 15 stands for more.
    used: Option<u32>,
    /// The last decoded rows: chunks hold several.
    held: Option<(u32, RgbImage)>,
}

impl PictureStrips {
    /// # Errors
    /// [`ImageError::NotInStrips`] for other formats, pictures that must be turned, and depths that depend on the whole picture; otherwise as
    /// [`load_rgb_with`](super::load_rgb_with).
    pub fn open(path: &Path, options: &PictureOptions) -> Result<PictureStrips, ImageError> {
        let file = Opened::read(path)?;
        let no = |reason| ImageError::NotInStrips { path: path.to_owned(), reason };
        if file.format() != ImageFormat::Tiff {
            return Err(no("only TIFF can be read in parts"));
        }
        if matches!(options.depth, Depth::Stretch { .. }) {
            return Err(no("percentiles need the whole picture, but it is read in parts"));
        }
        let (header, place) = file.guarded(tiff::about)?;
        if header.orientation != image::metadata::Orientation::NoTransforms {
            return Err(no("its orientation must be applied, but it is read in parts; store it upright"));
        }
        let size = (header.width, header.height);
        let (width, height) = size;
        if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MOST_PIXELS {
            return Err(no("it has more than 4,294,967,296 pixels, or a side of more than 262,144"));
        }
        Ok(PictureStrips { file, options: options.clone(), size, place, used: None, held: None })
    }

    /// (width, height) in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    pub fn place(&self) -> Option<&GeoTags> {
        self.place.as_ref()
    }

    /// Fails if all rows so far are nearly black although 16 bits were taken as the full range, which single rows cannot show.
    ///
    /// # Errors
    /// [`ImageError::FewBits`], as [`load_rgb_with`](super::load_rgb_with) for a whole picture.
    pub fn check_depth(&self) -> Result<(), ImageError> {
        match self.used {
            Some(used @ ..=FEW_BITS) if self.options.depth == Depth::Full => {
                Err(ImageError::FewBits { path: self.file.path().to_owned(), used })
            }
            _ => Ok(()),
        }
    }

    fn rgb(&mut self, pixels: Pixels) -> Result<RgbImage, ImageError> {
        let deep = matches!(pixels.samples, Samples::Sixteen(_));
        if self.options.depth != Depth::Full || !deep {
            return Ok(to_rgb(self.file.path(), pixels, &self.options)?.rgb);
        }
        let used = match depth::used_by(std::slice::from_ref(&pixels)) {
            Depth::Bits(bits) => bits,
            _ => FEW_BITS + 1,
        };
        self.used = self.used.max(Some(used));
        let options = PictureOptions { depth: Depth::Bits(16), ..self.options.clone() };
        Ok(to_rgb(self.file.path(), pixels, &options)?.rgb)
    }

    /// Some rows of the picture as 8-bit RGB.
    ///
    /// # Errors
    /// Rows beyond the picture, damaged files, and rows whose chunks together exceed the limits of a picture.
    pub fn rows(&mut self, rows: Range<u32>) -> Result<RgbImage, ImageError> {
        let (width, height) = self.size;
        if rows.is_empty() || rows.end > height {
            return Err(ImageError::Length { what: "a strip", got: rows.end as usize, want: height as usize });
        }
        let inside = |held: &(u32, RgbImage)| held.0 <= rows.start && rows.end <= held.0 + held.1.height();
        if !self.held.as_ref().is_some_and(inside) {
            self.held = None;
            let bands = self.options.bands;
            let (first, count, pixels) = self.file.guarded(|source| tiff::decode_rows(source, bands, rows.clone()))?;
            let rgb = match pixels {
                Some(pixels) => self.rgb(pixels)?,
                // Missing in the file.
                None => RgbImage::new(width, count),
            };
            self.held = Some((first, rgb));
        }
        let Some((first, rgb)) = &self.held else { return Ok(RgbImage::new(0, 0)) };
        let row = width as usize * 3;
        let bytes = &rgb.as_raw()[(rows.start - first) as usize * row..(rows.end - first) as usize * row];
        let count = rows.end - rows.start;
        RgbImage::from_raw(width, count, bytes.to_vec()).ok_or(ImageError::Length {
            what: "a strip",
            got: bytes.len(),
            want: row * count as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_io::load_rgb_with;
    use ::tiff::encoder::{TiffEncoder, colortype};

    /// Every range of rows equals the whole picture's, for strips of several heights.
    #[test]
    fn rows_are_those_of_the_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tif");
        let pixels: Vec<u8> = (0..13 * 29 * 3).map(|i| (i * 7 % 251) as u8).collect();
        for strip in [1, 4, 29] {
            let mut file = std::fs::File::create(&path).unwrap();
            let mut encoder = TiffEncoder::new(&mut file).unwrap();
            let mut image = encoder.new_image::<colortype::RGB8>(13, 29).unwrap();
            image.rows_per_strip(strip).unwrap();
            image.write_data(&pixels).unwrap();
            let whole = load_rgb_with(&path, &PictureOptions::default()).unwrap().rgb;
            let mut strips = PictureStrips::open(&path, &PictureOptions::default()).unwrap();
            assert_eq!(strips.size(), (13, 29));
            for (first, end) in [(0, 29), (3, 5), (4, 8), (27, 29), (0, 1), (6, 21)] {
                let rows = strips.rows(first..end).unwrap();
                assert_eq!(
                    rows.as_raw().as_slice(),
                    &whole.as_raw()[first as usize * 39..end as usize * 39],
                    "{strip}"
                );
            }
            assert!(strips.rows(28..30).is_err() && strips.rows(5..5).is_err());
        }
        // Dark rows of a 16-bit picture are fine; a picture of dark rows only is not.
        for (bright, fine) in [(60_000_u16, true), (900, false)] {
            let mut file = std::fs::File::create(&path).unwrap();
            let mut encoder = TiffEncoder::new(&mut file).unwrap();
            let mut image = encoder.new_image::<colortype::Gray16>(4, 6).unwrap();
            image.rows_per_strip(2).unwrap();
            image.write_data(&[[300; 12], [bright; 12]].concat()).unwrap();
            let mut strips = PictureStrips::open(&path, &PictureOptions::default()).unwrap();
            let dark = strips.rows(0..2).unwrap();
            assert_eq!(dark.as_raw()[0], 1);
            strips.rows(2..6).unwrap();
            assert_eq!(strips.check_depth().is_ok(), fine);
            assert_eq!(load_rgb_with(&path, &PictureOptions::default()).is_ok(), fine);
        }
        image::RgbImage::new(2, 2).save(dir.path().join("a.png")).unwrap();
        let other = PictureStrips::open(&dir.path().join("a.png"), &PictureOptions::default()).map(drop).unwrap_err();
        assert!(other.to_string().contains("only TIFF"), "{other}");
    }
}
