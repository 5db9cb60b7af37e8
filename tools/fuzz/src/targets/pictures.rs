//! Picture files, read as pictures, as masks and as class numbers.

use super::{Ran, Runner};
use crate::mutate::{self, Source, fields};
use diffews_wgpu::image_io::{self, MaskReading, MaskSource, PictureOptions, PictureStrips, RgbImage};
use std::path::Path;

/// Limit of memory in bytes per pixel that a file's header announces: the decoder's own memory, samples of up to 8 bytes, and RGB, both
/// upright and as stored.
const PER_PIXEL: usize = 16;

/// Larger pictures are read once: a few bytes may announce so many pixels that four reads would take all of a run's time.
const LARGE: u64 = 1 << 20;

const SOURCES: [MaskSource; 4] =
    [MaskSource::HalfOfWhite, MaskSource::Value(1), MaskSource::Color([255, 0, 0]), MaskSource::Alpha];

pub fn mutate_bmp(input: &mut Vec<u8>, source: &mut Source) {
    if source.rng.bool() { fields::set(input, fields::BMP, false, source) } else { mutate::bytes(input, source) }
}

/// GIF's screen, and its first frame if that follows a palette of two colours.
pub fn mutate_gif(input: &mut Vec<u8>, source: &mut Source) {
    if source.once_in(3) { fields::set(input, fields::GIF, false, source) } else { mutate::bytes(input, source) }
}

pub fn open(_: &Path) -> Runner {
    Box::new(|bytes, file| {
        let announced = image_io::dimensions(file);
        let pixels = announced.as_ref().map_or(0, |&(width, height)| u64::from(width) * u64::from(height));
        let allowed = if pixels > image_io::MAX_PIXELS { 0 } else { pixels as usize * PER_PIXEL };
        if (LARGE..=image_io::MAX_PIXELS).contains(&pixels) {
            let accepted = match bytes.len() % 2 {
                0 => image_io::load_rgb_with(file, &PictureOptions::default()).is_ok(),
                _ => image_io::load_mask(file, announced.unwrap_or_default()).is_ok(),
            };
            return Ran { accepted, allowed };
        }
        let picture = image_io::load_rgb_with(file, &PictureOptions::default());
        if let Ok(picture) = &picture {
            let size = picture.rgb.dimensions();
            assert!(announced.as_ref().is_ok_and(|a| *a == size), "announced {announced:?}, but read {size:?}");
            picture.notes.iter().for_each(|note| one_line(&note.to_string()));
            let seen = image_io::resize_bilinear_rgb(&picture.rgb, 9, 9);
            assert_eq!(image_io::to_model_input(&seen).len(), 9 * 9 * 3);
        }
        let size = announced.as_ref().map_or((24, 24), |a| *a);
        let mask = image_io::load_mask(file, size);
        if let Ok(loaded) = &mask {
            assert_eq!(loaded.mask.size(), size, "a mask of another size than asked for");
            assert_eq!(loaded.mask.foreground().len(), size.0 as usize * size.1 as usize);
            loaded.warnings.iter().for_each(|warning| one_line(&warning.to_string()));
        }
        // One of the other ways to read, selected by the input alone.
        let source = SOURCES[bytes.len() % SOURCES.len()];
        let how = MaskReading { source, invert: bytes.len() & 8 != 0 };
        let other = image_io::load_mask_with(file, size, how);
        if let Ok(loaded) = &other {
            assert_eq!(loaded.mask.size(), size, "a mask of another size than asked for");
            loaded.warnings.iter().for_each(|warning| one_line(&warning.to_string()));
        }
        let numbers = image_io::load_index_mask(file, size);
        let errors = [
            announced.as_ref().err(),
            picture.as_ref().err(),
            mask.as_ref().err(),
            other.as_ref().err(),
            numbers.as_ref().err(),
        ];
        errors.into_iter().flatten().for_each(|error| one_line(&error.to_string()));
        Ran { accepted: picture.is_ok() || mask.is_ok() || numbers.is_ok(), allowed }
    })
}

/// TIFFs in parts: both ways to read give the same result.
pub fn open_rows(_: &Path) -> Runner {
    Box::new(|_, file| {
        let options = PictureOptions::default();
        let Ok(mut strips) = PictureStrips::open(file, &options) else { return Ran::new(false) };
        let (width, height) = strips.size();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > LARGE {
            return Ran::new(false);
        }
        let whole = image_io::load_rgb_with(file, &options);
        let rows =
            [0..height, height / 3..height / 2 + 1, height - 1..height].map(|rows| (rows.clone(), strips.rows(rows)));
        for (rows, strip) in &rows {
            if let (Ok(whole), Ok(strip)) = (&whole, strip) {
                let row = 3 * width as usize;
                let same = &whole.rgb.as_raw()[rows.start as usize * row..rows.end as usize * row];
                assert_eq!(strip.as_raw().as_slice(), same, "rows {rows:?}");
            }
        }
        Ran { accepted: rows.iter().all(|(_, strip)| strip.is_ok()), allowed: pixels as usize * PER_PIXEL }
    })
}

/// A message is a single line of limited length.
fn one_line(text: &str) {
    assert!(!text.contains('\n') && text.len() < 2000, "one line of sense: {text}");
}

pub fn resize_seeds() -> Vec<Vec<u8>> {
    let sizes: [[u8; 4]; 5] = [[1, 1, 17, 17], [64, 64, 64, 64], [200, 3, 64, 31], [3, 200, 8, 8], [90, 120, 1, 1]];
    sizes.iter().map(|s| [s.as_slice(), &[0, 255, 7, 128]].concat()).collect()
}

/// Two sizes, then samples that are repeated as often as needed.
pub fn open_resize(_: &Path) -> Runner {
    Box::new(|bytes, _| {
        let Some((&[w, h, to_w, to_h], samples)) = bytes.split_first_chunk::<4>() else { return Ran::new(false) };
        let [w, h, to_w, to_h] = [w, h, to_w, to_h].map(|side| u32::from(side).max(1));
        let count = (w * h) as usize;
        let endless = || samples.iter().copied().chain([3]).cycle();
        let Some(picture) = RgbImage::from_raw(w, h, endless().take(3 * count).collect()) else {
            return Ran::new(false);
        };
        let small = image_io::resize_bilinear_rgb(&picture, to_w, to_h);
        assert_eq!(small.dimensions(), (to_w, to_h));
        let (least, most) = (picture.iter().min(), picture.iter().max());
        assert!(small.iter().min() >= least && small.iter().max() <= most, "resizing leaves the range of its input");
        let Ok(mask) = image_io::Mask::new(w, h, endless().take(count).map(|b| b > 127).collect()) else {
            return Ran::new(false);
        };
        let seen = image_io::resize_nearest_mask(&mask, to_w, to_h);
        assert_eq!(image_io::mask_to_model_input(&seen).len(), 3 * (to_w * to_h) as usize);
        Ran::new(true)
    })
}
