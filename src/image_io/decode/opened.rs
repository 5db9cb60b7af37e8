//! A picture's file, before it is decoded.

use std::io::Read;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use image::metadata::Orientation;

use super::colour::multiply_out;
use super::guard::guarded;
use super::read::{read_file, to_end};
use super::{Bands, Header, ImageError, Pixels, Samples, Source, sniff};

/// A file in memory and its format.
pub(in crate::image_io) struct Opened {
    path: PathBuf,
    bytes: Vec<u8>,
    format: ImageFormat,
    name: &'static str,
}

impl Opened {
    pub fn read(path: &Path) -> Result<Opened, ImageError> {
        Opened::new(path, read_file(path)?)
    }

    /// The same from `source`; `path` names it in messages.
    pub fn read_from(source: impl Read, path: &Path) -> Result<Opened, ImageError> {
        Opened::new(path, to_end(path, source, 0)?)
    }

    fn new(path: &Path, bytes: Vec<u8>) -> Result<Opened, ImageError> {
        let (format, name) = sniff::sniff(path, &bytes)?;
        Ok(Opened { path: path.to_owned(), bytes, format, name })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn format(&self) -> ImageFormat {
        self.format
    }

    /// Runs `decode` on the file; a panic becomes an error.
    pub fn guarded<T>(&self, decode: impl FnOnce(&Source) -> Result<T, ImageError>) -> Result<T, ImageError> {
        let source = Source { path: &self.path, format: self.name, bytes: &self.bytes };
        guarded(&source, || decode(&source))
    }

    /// Size and orientation, without decoding.
    pub fn header(&self) -> Result<Header, ImageError> {
        self.guarded(|source| super::header(source, self.format))
    }

    /// The samples, with inks multiplied out.
    pub fn decode(&self) -> Result<Pixels, ImageError> {
        let mut pixels = self.decode_as_stored(None)?;
        if let Samples::Inks(inks) = &pixels.samples {
            pixels.samples = Samples::Eight(multiply_out(inks));
            pixels.channels = 3;
        }
        Ok(pixels)
    }

    /// The samples, of `bands` if given.
    pub fn decode_as_stored(&self, bands: Option<Bands>) -> Result<Pixels, ImageError> {
        self.guarded(|source| super::samples(source, self.format, bands))
    }

    /// Whether the file has lossy compression: JPEG, and WebP with a VP8 frame.
    pub fn is_lossy(&self) -> bool {
        match self.format {
            ImageFormat::Jpeg => true,
            // A RIFF file's chunks: a name, a length, and that many bytes, padded to an even number.
            ImageFormat::WebP => {
                let mut at = 12;
                while let Some(&[a, b, c, d, ref length @ ..]) = self.bytes.get(at..at + 8) {
                    if [a, b, c, d] == *b"VP8 " {
                        return true;
                    }
                    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
                    at = at.saturating_add(8 + length + length % 2);
                }
                false
            }
            _ => false,
        }
    }
}

/// Whether an orientation swaps width and height.
pub(in crate::image_io) fn is_turned(orientation: Orientation) -> bool {
    use Orientation::*;
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}
