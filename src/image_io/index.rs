//! Masks whose samples are class numbers, as the annotations of data sets are.

use std::io::Cursor;
use std::path::Path;

use super::ImageError;
use super::decode::guard::guarded;
use super::decode::{Source, read_file};

/// Reads a PNG of one channel with at most 8 bits (grey or palette) as class numbers: `[height, width]`.
///
/// What counts is the number stored for a pixel, not the colour that a palette shows for it.
///
/// # Errors
/// [`ImageError::IndexMask`] for any other kind of file, [`ImageError::MaskSize`] for another size than `expect`
/// (width, height), and whatever reading and decoding bring.
pub fn load_index_mask(path: &Path, expect: (u32, u32)) -> Result<Vec<u8>, ImageError> {
    let bytes = read_file(path)?;
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(ImageError::IndexMask { path: path.to_owned(), found: "is no PNG".into() });
    }
    let source = Source { path, format: "PNG", bytes: &bytes };
    guarded(&source, || numbers(&source, expect))
}

fn numbers(source: &Source, expect: (u32, u32)) -> Result<Vec<u8>, ImageError> {
    let path = source.path;
    let not_index = |found: String| ImageError::IndexMask { path: path.to_owned(), found };
    let failed = |e: png::DecodingError| source.failed(e);
    let mut decoder = png::Decoder::new(Cursor::new(source.bytes));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(failed)?;
    let info = reader.info();
    let (size, depth, color) = ((info.width, info.height), info.bit_depth, info.color_type);
    // Before memory is taken: the size is the picture's, which was read, so it is within bounds.
    if size != expect {
        return Err(ImageError::MaskSize { path: path.to_owned(), mask: size, image: expect });
    }
    if !matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed) || depth == png::BitDepth::Sixteen {
        return Err(not_index(format!("is a PNG of the kind {color:?} with {} bits a sample", depth as u8)));
    }
    let (width, bits) = (size.0 as usize, depth as usize);
    let mut packed = vec![0; reader.output_buffer_size().unwrap_or(0)];
    let frame = reader.next_frame(&mut packed).map_err(failed)?;
    let mut numbers = Vec::with_capacity(width * size.1 as usize);
    for row in packed.chunks_exact(frame.line_size.max(1)).take(size.1 as usize) {
        // Samples are packed from the high bits down; rows begin on a byte.
        let sample = |x: usize| match bits {
            8 => row.get(x).copied(),
            _ => row.get(x * bits / 8).map(|byte| byte >> (8 - bits - x * bits % 8) & ((1 << bits) - 1) as u8),
        };
        numbers.extend((0..width).map_while(sample));
    }
    super::check_length("the index mask", numbers.len(), size, 1)?;
    Ok(numbers)
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
            // All colours alike: only the numbers tell the pixels apart.
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
        assert!(told(jpeg.path(), (1, 1)).contains("is no PNG"));
        let grey = png_file(Grayscale, Eight, (1, 1), &[9]);
        let bytes = std::fs::read(&grey).unwrap();
        std::fs::write(jpeg.path(), &bytes[..bytes.len() - 20]).unwrap();
        assert!(load_index_mask(jpeg.path(), (1, 1)).is_err());
    }
}
