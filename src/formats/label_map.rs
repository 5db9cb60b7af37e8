//! Label maps as PASCAL VOC has them (`SegmentationClass`): palette PNGs of class numbers, 0 background and 255 void.

use super::{FormatError, Picture};
use crate::image_io::{ImageError, Run, voc_colour};
use crate::shown;
use std::path::Path;

/// What is not background.
pub const BACKGROUND: u8 = 0;
/// What belongs to no class, or not to one alone.
pub const VOID: u8 = 255;

/// VOC's colours ([`voc_colour`]).
pub fn palette() -> [[u8; 3]; 256] {
    std::array::from_fn(|number| voc_colour(number as u8))
}

/// The class number of each pixel, `[height, width]`: the categories' own; [`VOID`] where instances of two classes overlap.
///
/// # Errors
/// [`FormatError::Label`] for a category whose number is not from 1 to 254.
pub fn labels(picture: &Picture) -> Result<Vec<u8>, FormatError> {
    let (width, height) = (picture.size().0 as usize, picture.size().1 as usize);
    let mut labels = vec![BACKGROUND; width * height];
    for instance in picture.instances() {
        let category = &instance.category;
        let label = u8::try_from(category.id).ok().filter(|label| ![BACKGROUND, VOID].contains(label));
        let label = label.ok_or_else(|| FormatError::Label { name: shown::text(&category.name), id: category.id })?;
        for Run { y, start, end } in instance.region.runs() {
            let row = *y as usize * width;
            for pixel in &mut labels[row + *start as usize..row + *end as usize] {
                *pixel = if [BACKGROUND, label].contains(pixel) { label } else { VOID };
            }
        }
    }
    Ok(labels)
}

/// A label map `[height, width]` as a PNG of 8-bit palette entries with VOC's colours. `size` is (width, height).
///
/// # Errors
/// [`ImageError::Length`] for another number of labels, [`ImageError::Encode`] for what PNG cannot hold: no pixels, or too many.
pub fn png(labels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, FormatError> {
    let (got, want) = (labels.len(), (width as usize).saturating_mul(height as usize));
    if got != want {
        return Err(ImageError::Length { what: "the label map", got, want }.into());
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette().as_flattened().to_vec());
    let failed =
        |e: png::EncodingError| ImageError::Encode { path: Path::new("label map").to_owned(), reason: e.to_string() };
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(labels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{instance, pets};

    #[test]
    fn colours_of_voc() {
        let palette = palette();
        let known = [(0, [0; 3]), (1, [128, 0, 0]), (8, [64, 0, 0]), (15, [192, 128, 128]), (20, [0, 64, 128])];
        for (number, colour) in known {
            assert_eq!(palette[number], colour);
        }
        assert_eq!(palette[255], [224, 224, 192]);
    }

    #[test]
    fn classes_and_what_is_of_two() {
        let picture = pets("a");
        let labels = labels(&picture).unwrap();
        assert_eq!(labels[..6], [1, 1, 1, 0, 0, 1]);
        assert_eq!(labels[18..], [0, 0, 0, 2, 0, 0]);
        let both = vec![instance(254, "a", &["##."]), instance(1, "b", &[".##"]), instance(1, "b", &["..#"])];
        let both = Picture::new(1, "a", (3, 1), both).unwrap();
        assert_eq!(super::labels(&both).unwrap(), [254, 255, 1]);
        for id in [0, 255, 300] {
            let one = Picture::new(1, "a", (1, 1), vec![instance(id, "a", &["#"])]).unwrap();
            assert!(matches!(super::labels(&one), Err(FormatError::Label { .. })));
        }
    }

    #[test]
    fn numbers_come_back() {
        let numbers: Vec<u8> = (0..=255).collect();
        let bytes = png(&numbers, (32, 8)).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(&bytes));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        let mut read = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut read).unwrap();
        assert_eq!(read, numbers);
        assert_eq!(reader.info().palette.as_deref(), Some(palette().as_flattened()));
        assert!(png(&numbers, (32, 7)).is_err() && png(&[], (0, 0)).is_err());
    }
}
