//! Masks whose samples are class numbers, as in annotations of data sets.

use std::io::Cursor;
use std::path::Path;

use super::ImageError;
use super::decode::guard::guarded;
use super::decode::{Source, read_file};

/// Reads a PNG of one channel with at most 8 bits (grey or palette) as class numbers: `[height, width]`.
///
/// Reads the stored number of a pixel, not its palette colour.
///
/// # Errors
/// [`ImageError::IndexMask`] for any other kind of file, [`ImageError::MaskSize`] for another size than `expect`
/// (width, height), and errors of reading and decoding.
pub fn load_index_mask(path: &Path, expect: (u32, u32)) -> Result<Vec<u8>, ImageError> {
    let bytes = read_file(path)?;
    let not_index = |found: String| ImageError::IndexMask { path: path.to_owned(), found };
    if !bytes.starts_with(SIGNATURE) {
        return Err(not_index("is not a PNG".into()));
    }
    let source = Source { path, format: "PNG", bytes: &bytes };
    guarded(&source, || {
        let png = Png::open(&source)?;
        // Check before allocating: `expect` is the size of a picture that was read, so it is within bounds.
        if png.size != expect {
            return Err(ImageError::MaskSize { path: path.to_owned(), mask: png.size, image: expect });
        }
        if !png.has_one_channel() || png.bits > 8 {
            return Err(not_index(format!("is a PNG of type {:?} with {} bits per sample", png.color, png.bits)));
        }
        Ok(png.numbers()?.numbers.into_iter().map(|number| number as u8).collect())
    })
}

/// The first bytes of every PNG.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The stored numbers of a one-channel PNG, before conversion to colours.
pub(super) struct OneChannel {
    /// Width and height.
    pub size: (u32, u32),
    pub bits: u8,
    /// `[height, width]`
    pub numbers: Vec<u16>,
    /// The palette, if the numbers are indices.
    pub palette: Option<Vec<[u8; 3]>>,
    /// Alpha of the palette's first entries; others are opaque.
    pub alphas: Vec<u8>,
    /// The transparent number, if there is no palette.
    pub transparent: Option<u16>,
}

/// The numbers of a one-channel PNG; `None` for other files. The size must have been checked.
pub(super) fn one_channel(source: &Source) -> Result<Option<OneChannel>, ImageError> {
    if !source.bytes.starts_with(SIGNATURE) {
        return Ok(None);
    }
    let png = Png::open(source)?;
    if png.has_one_channel() { png.numbers().map(Some) } else { Ok(None) }
}

/// A PNG whose header was read.
struct Png<'a> {
    source: Source<'a>,
    reader: png::Reader<Cursor<&'a [u8]>>,
    size: (u32, u32),
    color: png::ColorType,
    bits: u8,
}

impl<'a> Png<'a> {
    fn open(source: &Source<'a>) -> Result<Png<'a>, ImageError> {
        let mut decoder = png::Decoder::new(Cursor::new(source.bytes));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let reader = decoder.read_info().map_err(|e| source.failed(e))?;
        let info = reader.info();
        let (size, color, bits) = ((info.width, info.height), info.color_type, info.bit_depth as u8);
        Ok(Png { source: *source, reader, size, color, bits })
    }

    fn has_one_channel(&self) -> bool {
        matches!(self.color, png::ColorType::Grayscale | png::ColorType::Indexed)
    }

    /// Reads the numbers of a one-channel PNG.
    fn numbers(mut self) -> Result<OneChannel, ImageError> {
        let (size, bits) = (self.size, self.bits);
        let (width, depth) = (size.0 as usize, usize::from(bits));
        let info = self.reader.info();
        let indexed = self.color == png::ColorType::Indexed;
        let palette = indexed.then(|| info.palette.as_deref().unwrap_or(&[]).as_chunks().0.to_vec());
        let trns = info.trns.as_deref().unwrap_or(&[]);
        let (alphas, transparent) = match (indexed, trns) {
            (true, alphas) => (alphas.to_vec(), None),
            (false, &[high, low, ..]) => (Vec::new(), Some(u16::from_be_bytes([high, low]))),
            // With at most 8 bits, the high byte is dropped.
            (false, &[low]) => (Vec::new(), Some(u16::from(low))),
            (false, []) => (Vec::new(), None),
        };
        let mut packed = vec![0; self.reader.output_buffer_size().unwrap_or(0)];
        let frame = self.reader.next_frame(&mut packed).map_err(|e| self.source.failed(e))?;
        let mut numbers = Vec::with_capacity(width * size.1 as usize);
        for row in packed.chunks_exact(frame.line_size.max(1)).take(size.1 as usize) {
            // Samples are packed from the high bits down; rows begin on a byte.
            let sample = |x: usize| match depth {
                16 => row.get(2 * x..2 * x + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])),
                8 => row.get(x).map(|&byte| u16::from(byte)),
                _ => {
                    let byte = u16::from(*row.get(x * depth / 8)?);
                    Some(byte >> (8 - depth - x * depth % 8) & ((1 << depth) - 1))
                }
            };
            numbers.extend((0..width).map_while(sample));
        }
        super::check_length("the index mask", numbers.len(), size, 1)?;
        Ok(OneChannel { size, bits, numbers, palette, alphas, transparent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png_file(color: png::ColorType, depth: png::BitDepth, size: (u32, u32), data: &[u8]) -> tempfile::TempPath {
        let mut file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            // All colours are equal: only the numbers differ.
            encoder.set_palette(vec![200; 3 * 256]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        file.into_temp_path()
    }

    #[test]
    fn numbers_come_back_for_every_depth() {
        use png::{BitDepth::*, ColorType::*};
        for color in [Grayscale, Indexed] {
            let file = png_file(color, Eight, (3, 2), &[0, 5, 255, 7, 80, 1]);
            assert_eq!(load_index_mask(&file, (3, 2)).unwrap(), [0, 5, 255, 7, 80, 1]);
            let file = png_file(color, Four, (3, 2), &[0x1f, 0x20, 0x03, 0xe0]);
            assert_eq!(load_index_mask(&file, (3, 2)).unwrap(), [1, 15, 2, 0, 3, 14]);
            let file = png_file(color, Two, (5, 1), &[0b00_01_10_11, 0b10_00_00_00]);
            assert_eq!(load_index_mask(&file, (5, 1)).unwrap(), [0, 1, 2, 3, 2]);
            let file = png_file(color, One, (9, 1), &[0b1010_0001, 0b1000_0000]);
            assert_eq!(load_index_mask(&file, (9, 1)).unwrap(), [1, 0, 1, 0, 0, 0, 0, 1, 1]);
        }
    }

    #[test]
    fn other_files_are_refused_by_name() {
        use png::{BitDepth::*, ColorType::*};
        let told = |file: &Path, size| load_index_mask(file, size).unwrap_err().to_string();
        let rgb = png_file(Rgb, Eight, (1, 1), &[1, 2, 3]);
        assert!(told(&rgb, (1, 1)).contains("Rgb") && told(&rgb, (1, 1)).contains(rgb.to_str().unwrap()));
        let deep = png_file(Grayscale, Sixteen, (1, 1), &[1, 2]);
        assert!(told(&deep, (1, 1)).contains("16 bits"));
        assert!(told(&rgb, (2, 1)).contains("1 x 1"));
        let jpeg = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(jpeg.path(), b"\xff\xd8\xff\xe0").unwrap();
        assert!(told(jpeg.path(), (1, 1)).contains("is not a PNG"));
        let grey = png_file(Grayscale, Eight, (1, 1), &[9]);
        let bytes = std::fs::read(&grey).unwrap();
        std::fs::write(jpeg.path(), &bytes[..bytes.len() - 20]).unwrap();
        assert!(load_index_mask(jpeg.path(), (1, 1)).is_err());
    }
}
