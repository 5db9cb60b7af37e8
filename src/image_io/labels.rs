//! Label maps: the class of each pixel.

use super::{DecodedMap, ImageError, Mask, check_length, write_whole};
use crate::settings::MaskRule;
use std::path::Path;

/// Most classes, numbered from 1; 0 is background.
pub const MOST_CLASSES: usize = 254;
/// The number of a pixel that may belong to two classes.
pub const VOID: u8 = 255;

/// A number for each pixel: 0 for background, 1 to 254 for classes, [`VOID`] where two of them are too close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    width: u32,
    height: u32,
    labels: Vec<u8>,
}

impl LabelMap {
    /// From numbers `[height, width]`; `size` is (width, height).
    ///
    /// # Errors
    /// [`ImageError::Length`] for a wrong number of them.
    pub fn new(size: (u32, u32), labels: Vec<u8>) -> Result<LabelMap, ImageError> {
        check_length("the label map", labels.len(), size, 1)?;
        Ok(LabelMap { width: size.0, height: size.1, labels })
    }

    /// (width, height)
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// `[height, width]`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The pixels with a number.
    pub fn mask(&self, label: u8) -> Mask {
        Mask::from_parts(self.width, self.height, self.labels.iter().map(|&l| l == label).collect())
    }

    /// Restricts a class to `mask`: its other pixels become background, and background in the mask becomes the class.
    ///
    /// # Errors
    /// A mask of another size.
    pub fn keep(&mut self, label: u8, mask: &Mask) -> Result<(), ImageError> {
        check_length("the mask of a class", mask.foreground().len(), self.size(), 1)?;
        for (own, &inside) in self.labels.iter_mut().zip(mask.foreground()) {
            match (*own, inside) {
                (0, true) => *own = label,
                (other, false) if other == label => *own = 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// Turns a class into background.
    pub fn remove(&mut self, label: u8) {
        self.labels.iter_mut().filter(|l| **l == label).for_each(|l| *l = 0);
    }

    /// The pixels of any class.
    pub fn foreground(&self) -> Mask {
        Mask::from_parts(self.width, self.height, self.labels.iter().map(|&l| l != 0 && l != VOID).collect())
    }

    /// Writes a PNG of the numbers with PASCAL VOC's palette.
    ///
    /// # Errors
    /// As [`write_whole`].
    pub fn write(&self, path: &Path, force: bool) -> Result<(), ImageError> {
        write_whole(path, &self.png().map_err(|reason| ImageError::Encode { path: path.into(), reason })?, force)
    }

    /// The bytes of that file.
    ///
    /// # Errors
    /// As text: no pixels, or more than PNG can hold.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette((0..=255).flat_map(voc_colour).collect::<Vec<u8>>());
        let written = encoder.write_header().and_then(|mut png| {
            png.write_image_data(&self.labels)?;
            png.finish()
        });
        written.map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

/// A colour of PASCAL VOC's palette: bit i of red, green and blue, from the top, is bit 3 i, 3 i + 1 and 3 i + 2 of the number (VOC2012's
/// development kit, `VOClabelcolormap`).
pub fn voc_colour(label: u8) -> [u8; 3] {
    let bit = |number: u32| u8::from(u32::from(label) >> number & 1 == 1);
    [0, 1, 2].map(|first| (0..3).map(|i| bit(3 * i + first) << (7 - i)).sum())
}

/// The label map of a picture of (width, height) from the maps of its classes: [`Labelling`] over all of them, with masks by `rule`.
///
/// # Errors
/// More than [`MOST_CLASSES`].
pub fn label_maps(maps: &[DecodedMap], size: (u32, u32), rule: MaskRule, margin: f32) -> Result<LabelMap, ImageError> {
    let mut labelling = Labelling::new(size);
    for map in maps {
        labelling.add(&map.map_at(size.0, size.1), &map.mask_at(size.0, size.1, rule))?;
    }
    Ok(labelling.finish(margin))
}

/// Assigns pixels to classes: a pixel gets the class with the largest map among the classes whose mask has the
/// pixel.
pub struct Labelling {
    size: (u32, u32),
    classes: u8,
    labels: Vec<u8>,
    best: Vec<f32>,
    second: Vec<f32>,
}

impl Labelling {
    /// For a picture of (width, height).
    pub fn new(size: (u32, u32)) -> Labelling {
        let pixels = size.0 as usize * size.1 as usize;
        let [best, second] = [(); 2].map(|()| vec![f32::NEG_INFINITY; pixels]);
        Labelling { size, classes: 0, labels: vec![0; pixels], best, second }
    }

    /// Adds the next class, from 1, with its map `[height, width]` and mask.
    ///
    /// # Errors
    /// Another size, or more than [`MOST_CLASSES`].
    pub fn add(&mut self, map: &[f32], mask: &Mask) -> Result<(), ImageError> {
        check_length("the map of a class", map.len(), self.size, 1)?;
        check_length("the mask of a class", mask.foreground().len(), self.size, 1)?;
        if usize::from(self.classes) == MOST_CLASSES {
            return Err(ImageError::Classes { most: MOST_CLASSES });
        }
        self.classes += 1;
        let contenders = self.labels.iter_mut().zip(&mut self.best).zip(&mut self.second);
        for (((label, best), second), (&value, &inside)) in contenders.zip(map.iter().zip(mask.foreground())) {
            if inside && value > *best {
                (*second, *best, *label) = (*best, value, self.classes);
            } else if inside && value > *second {
                *second = value;
            }
        }
        Ok(())
    }

    /// The class of each pixel; [`VOID`] where the best two maps differ by less than `margin`.
    pub fn finish(self, margin: f32) -> LabelMap {
        let Labelling { size: (width, height), mut labels, best, second, .. } = self;
        for (label, (best, second)) in labels.iter_mut().zip(best.into_iter().zip(second)) {
            if best - second < margin {
                *label = VOID;
            }
        }
        LabelMap { width, height, labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_vocs() {
        // From its development kit's table.
        let known = [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (2, [0, 128, 0]),
            (8, [64, 0, 0]),
            (15, [192, 128, 128]),
            (20, [0, 64, 128]),
        ];
        for (label, colour) in known {
            assert_eq!(voc_colour(label), colour, "{label}");
        }
        assert_eq!(voc_colour(VOID), [224, 224, 192]);
        let all: std::collections::HashSet<[u8; 3]> = (0..=255).map(voc_colour).collect();
        assert_eq!(all.len(), 256);
    }

    #[test]
    fn each_pixel_is_of_the_class_whose_map_is_the_largest() {
        let mask = |on: [bool; 4]| Mask::new(4, 1, on.to_vec()).unwrap();
        let mut labelling = Labelling::new((4, 1));
        labelling.add(&[0.9, 0.5, 0.2, 0.1], &mask([true, true, false, false])).unwrap();
        // The second pixel is closer than 0.05; the third's mask lacks the first class, whatever its map.
        labelling.add(&[0.6, 0.54, 0.4, 0.1], &mask([true, true, true, false])).unwrap();
        labelling.add(&[0.0, 0.45, 0.0, 0.0], &mask([false, true, false, false])).unwrap();
        let of = |margin| {
            Labelling {
                labels: labelling.labels.clone(),
                best: labelling.best.clone(),
                second: labelling.second.clone(),
                ..labelling
            }
            .finish(margin)
        };
        assert_eq!(of(0.0).labels(), [1, 2, 2, 0]);
        assert_eq!(of(0.05).labels(), [1, VOID, 2, 0]);
        let map = of(0.05);
        assert_eq!(map.mask(2).foreground(), [false, false, true, false]);
        assert_eq!(map.foreground().foreground(), [true, false, true, false]);
        assert!(labelling.add(&[0.0; 3], &mask([true; 4])).is_err());
    }

    #[test]
    fn the_file_holds_the_numbers_and_the_palette() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.png");
        let map = LabelMap { width: 3, height: 1, labels: vec![0, 7, VOID] };
        map.write(&path, false).unwrap();
        let mut reader =
            png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, [0, 7, VOID]);
        assert_eq!(reader.info().palette.as_ref().unwrap()[21..24], voc_colour(7));
        assert!(map.write(&path, false).is_err());
    }
}
