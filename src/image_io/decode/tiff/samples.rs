//! From chunks to a picture: unpacks samples, puts them in place and interprets them.

use half::f16;
use image::metadata::Orientation;

use super::chunk;
use super::directory::{Directory, File};
use super::layout::{Extra, Kind, Layout, Photometric};
use crate::image_io::ImageError;
use crate::image_io::decode::{MAX_PIXELS, Note, Pixels, Samples, Source};

/// The tag of palettes.
const PALETTE: u16 = 320;
/// Largest strip or tile, in bytes of decompressed samples (1 GiB).
const MOST_CHUNK_BYTES: u64 = 1 << 30;
/// Most bytes by which a strip or tile may exceed its picture: tiles of small pictures are padded.
const MOST_PADDING: u64 = 24 << 20;
/// Most bytes to decompress for a picture, all bands together (16 GiB).
const MOST_BYTES: u64 = 1 << 34;
/// The limit for any file (2 GiB); each byte of the file raises it, so that a small file cannot cause minutes of work.
const ANY_BYTES: u64 = 1 << 31;
const BYTES_PER_BYTE: u64 = 128;
/// Most bytes of overlapping chunks, as a multiple of the file's length: writers share equal tiles.
const MOST_SHARED: u64 = 16;

/// Reads the picture of `layout`. Orientation and profile are left to the caller.
pub fn read(source: &Source, layout: &Layout, file: File, directory: &Directory) -> Result<Pixels, ImageError> {
    let failed = |reason: String| source.failed(reason);
    let bands = bands(layout);
    let size = if layout.kind != Kind::Unsigned || layout.bits > 16 { 4 } else { layout.bits.div_ceil(8) as usize };
    // A palette expands one sample to three.
    let widest = bands.len().max(if layout.photometric == Photometric::Palette { 3 } else { 1 });
    source.check_size(layout.width, layout.height, (size * widest) as u8)?;
    let stored: u64 = layout
        .chunks
        .iter()
        .map(|&(offset, count)| if offset == 0 { 0 } else { count.unwrap_or(0) })
        .fold(0, u64::saturating_add);
    if stored > MOST_SHARED * file.bytes.len() as u64 {
        let length = file.bytes.len();
        return Err(failed(format!("its strips or tiles overlap: they claim {stored} bytes of a file of {length}")));
    }
    if are_too_large(layout, file.bytes.len() as u64) {
        let (width, height) = layout.chunk;
        return Err(failed(format!("its {} bands in chunks of {width} x {height} pixels are too large", layout.bands)));
    }

    let mut picture = Picture::new(layout, size, &bands);
    let (across, down) = layout.grid;
    let mut missing = 0;
    let planes = if layout.separate { layout.bands } else { 1 };
    for plane in 0..planes {
        // Needed samples of a chunk's pixels, and their channels.
        let picks: Vec<(usize, usize)> = bands.iter().enumerate().map(|(channel, &band)| (band, channel)).collect();
        let picks: Vec<(usize, usize)> = match layout.separate {
            false => picks,
            true => picks.into_iter().filter(|&(band, _)| band == plane).map(|(_, channel)| (0, channel)).collect(),
        };
        if picks.is_empty() {
            continue;
        }
        for row in 0..down {
            let rows = layout.chunk.1.min(layout.height - row * layout.chunk.1);
            for column in 0..across {
                let index = (plane * down as usize + row as usize) * across as usize + column as usize;
                match chunk::read(source, layout, file, index, rows).map_err(failed)? {
                    Some(bytes) => picture.place(layout, file, &bytes, (column, row), &picks),
                    None => missing += 1,
                }
            }
        }
    }
    let mut pixels = picture.finish(layout, directory).map_err(failed)?;
    if missing == layout.chunks.len() {
        return Err(failed("it holds no samples".into()));
    }
    if missing > 0 {
        pixels.notes.push(Note::Sparse { missing, chunks: layout.chunks.len() });
    }
    Ok(pixels)
}

/// Whether the chunks, or the bytes to decompress, far exceed the picture.
fn are_too_large(layout: &Layout, length: u64) -> bool {
    let most = MOST_BYTES.min(ANY_BYTES + BYTES_PER_BYTE * length);
    let all_bits = layout.bands as u64 * u64::from(layout.bits);
    let whole = u64::from(layout.chunk.0) * u64::from(layout.grid.0) * u64::from(layout.chunk.1);
    let padded = whole.saturating_mul(u64::from(layout.grid.1));
    let decoded = padded.saturating_mul(all_bits) / 8;
    let picture = u64::from(layout.width) * u64::from(layout.height) * all_bits / 8;
    let chunk = layout.row_bytes().saturating_mul(u64::from(layout.chunk.1.min(layout.height)));
    padded > 2 * MAX_PIXELS || chunk > MOST_CHUNK_BYTES.min(picture + MOST_PADDING) || decoded > most
}

/// The bands to read: the chosen ones, else the colours and alpha if there is one.
fn bands(layout: &Layout) -> Vec<usize> {
    if let Some(chosen) = &layout.chosen {
        return chosen.clone();
    }
    let colors = layout.colors();
    let alpha = matches!(layout.extra, Extra::Alpha | Extra::Associated) && layout.photometric != Photometric::Cmyk;
    (0..colors + usize::from(alpha)).collect()
}

/// A picture being assembled, with the file's samples.
struct Picture {
    channels: usize,
    samples: Samples,
}

impl Picture {
    fn new(layout: &Layout, size: usize, bands: &[usize]) -> Self {
        let count = layout.width as usize * layout.height as usize * bands.len();
        let samples = match size {
            1 => Samples::Eight(vec![0; count]),
            2 => Samples::Sixteen(vec![0; count]),
            _ => Samples::Float(vec![0.0; count]),
        };
        Self { channels: bands.len(), samples }
    }

    /// Puts a chunk at its place in the grid.
    fn place(&mut self, layout: &Layout, file: File, bytes: &[u8], at: (u32, u32), picks: &[(usize, usize)]) {
        let x = at.0 * layout.chunk.0;
        let across = layout.chunk.0.min(layout.width - x) as usize;
        let (step, bits) = (layout.together(), layout.bits as usize);
        let top = at.1 as usize * layout.chunk.1 as usize;
        for (y, row) in bytes.chunks_exact(layout.row_bytes() as usize).enumerate() {
            let first = ((top + y) * layout.width as usize + x as usize) * self.channels;
            let last = first + across * self.channels;
            match &mut self.samples {
                Samples::Eight(out) | Samples::Inks(out) => {
                    let out = &mut out[first..last];
                    match bits {
                        8 => spread(out, self.channels, step, picks, |i| row[i]),
                        _ => spread(out, self.channels, step, picks, |i| packed(row, i, bits) as u8),
                    }
                }
                Samples::Sixteen(out) => {
                    let out = &mut out[first..last];
                    match (bits, file.big_endian) {
                        (16, false) => {
                            spread(out, self.channels, step, picks, |i| u16::from_le_bytes(bytes_at(row, i)))
                        }
                        (16, true) => spread(out, self.channels, step, picks, |i| u16::from_be_bytes(bytes_at(row, i))),
                        _ => spread(out, self.channels, step, picks, |i| packed(row, i, bits)),
                    }
                }
                Samples::Float(out) => {
                    let value = |i: usize| float(layout, file, &row[i * bits / 8..][..bits / 8]);
                    spread(&mut out[first..last], self.channels, step, picks, value);
                }
            }
        }
    }

    /// Resolves palettes, inverts white and black, scales to full depth.
    fn finish(mut self, layout: &Layout, directory: &Directory) -> Result<Pixels, String> {
        let top = (1_u32 << layout.bits.min(16)) - 1;
        let mut channels = self.channels;
        if layout.photometric == Photometric::WhiteIsZero {
            // Alpha stays as it is.
            match &mut self.samples {
                Samples::Eight(samples) | Samples::Inks(samples) => {
                    samples.iter_mut().step_by(channels).for_each(|s| *s = top as u8 - *s);
                }
                Samples::Sixteen(samples) => samples.iter_mut().step_by(channels).for_each(|s| *s = top as u16 - *s),
                Samples::Float(_) => return Err("its white is 0, and its samples have no known black".into()),
            }
        }
        let samples = match (layout.photometric, self.samples) {
            (Photometric::Palette, Samples::Eight(samples)) => {
                let palette = Palette::new(directory, layout.bits)?;
                let looked_up = palette.look_up(&samples, channels);
                channels += 2;
                Samples::Eight(looked_up)
            }
            (Photometric::Cmyk, samples) => Samples::Inks(high_bytes(samples)?),
            (_, samples) if layout.extra == Extra::Associated => {
                let mut bytes = high_bytes(samples)?;
                divide_by_alpha(&mut bytes, channels);
                Samples::Eight(bytes)
            }
            (_, Samples::Eight(mut samples)) if layout.bits < 8 => {
                samples.iter_mut().for_each(|s| *s = ((u32::from(*s) * 255 + top / 2) / top) as u8);
                Samples::Eight(samples)
            }
            (_, Samples::Sixteen(mut samples)) if layout.bits < 16 => {
                // Repeat the high bits below, so that white stays white.
                let (up, down) = (16 - layout.bits, 2 * layout.bits - 16);
                samples.iter_mut().for_each(|s| *s = *s << up | *s >> down);
                Samples::Sixteen(samples)
            }
            (_, samples) => samples,
        };
        let (width, height) = (layout.width, layout.height);
        let orientation = Orientation::NoTransforms;
        Ok(Pixels { width, height, channels, samples, icc: None, orientation, notes: Vec::new(), place: None })
    }
}

/// Copies `picks` (band, channel) of each pixel's `step` bands to `channels` of `out`.
fn spread<T>(out: &mut [T], channels: usize, step: usize, picks: &[(usize, usize)], get: impl Fn(usize) -> T) {
    for (i, pixel) in out.chunks_exact_mut(channels).enumerate() {
        for &(band, channel) in picks {
            pixel[channel] = get(i * step + band);
        }
    }
}

/// Sample `i` of a row packed from the high bits down, with `bits` of at most 16 each.
fn packed(row: &[u8], i: usize, bits: usize) -> u16 {
    let begin = i * bits;
    let byte = |at: usize| u32::from(row.get(begin / 8 + at).copied().unwrap_or(0));
    let window = byte(0) << 16 | byte(1) << 8 | byte(2);
    (window >> (24 - begin % 8 - bits) & ((1 << bits) - 1)) as u16
}

fn bytes_at<const N: usize>(row: &[u8], i: usize) -> [u8; N] {
    std::array::from_fn(|k| row[i * N + k])
}

/// A sample with more than 16 bits or a sign.
fn float(layout: &Layout, file: File, bytes: &[u8]) -> f32 {
    let value = file.unsigned(bytes);
    match (layout.kind, layout.bits) {
        (Kind::Float, 16) => f16::from_bits(value as u16).to_f32(),
        (Kind::Float, 32) => f32::from_bits(value as u32),
        (Kind::Float, _) => f64::from_bits(value) as f32,
        (Kind::Signed, 8) => f32::from(value as u8 as i8),
        (Kind::Signed, 16) => f32::from(value as u16 as i16),
        (Kind::Signed, _) => value as u32 as i32 as f32,
        (Kind::Unsigned, _) => value as f32,
    }
}

/// The palette's 8-bit colours.
struct Palette(Vec<[u8; 3]>);

impl Palette {
    fn new(directory: &Directory, bits: u32) -> Result<Self, String> {
        let levels: Vec<u64> = directory.numbers(PALETTE).ok_or("its palette is missing")?.collect();
        let count = 1 << bits;
        if levels.len() < 3 * count {
            return Err(format!("its palette has {} of {} numbers", levels.len(), 3 * count));
        }
        // Some writers store 8-bit numbers instead of 16-bit ones.
        let shift = if levels.iter().any(|&level| level > 255) { 8 } else { 0 };
        Ok(Self((0..count).map(|i| [0, 1, 2].map(|c| (levels[c * count + i] >> shift) as u8)).collect()))
    }

    /// Converts `[n, channels]`, an index and maybe alpha, to `[n, channels + 2]`.
    fn look_up(&self, samples: &[u8], channels: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(samples.len() / channels * (channels + 2));
        for pixel in samples.chunks_exact(channels) {
            out.extend(self.0[usize::from(pixel[0])]);
            out.extend(&pixel[1..]);
        }
        out
    }
}

/// The high bytes of samples.
fn high_bytes(samples: Samples) -> Result<Vec<u8>, String> {
    match samples {
        Samples::Eight(samples) | Samples::Inks(samples) => Ok(samples),
        Samples::Sixteen(samples) => Ok(samples.iter().map(|s| (s >> 8) as u8).collect()),
        Samples::Float(_) => Err("its colours are premultiplied by an alpha of unknown range".into()),
    }
}

/// Undoes premultiplied alpha like PIL: rounds down, at most 255, 0 where alpha is 0.
fn divide_by_alpha(samples: &mut [u8], channels: usize) {
    for pixel in samples.chunks_exact_mut(channels) {
        let Some((&mut alpha, colors)) = pixel.split_last_mut() else { return };
        for color in colors {
            *color = (u32::from(*color) * 255).checked_div(u32::from(alpha)).map_or(0, |level| level.min(255) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_not_much_more_than_the_picture() {
        let of = |chunk: (u32, u32)| Layout {
            width: 61,
            height: 43,
            bits: 8,
            kind: Kind::Unsigned,
            bands: 4,
            separate: false,
            photometric: Photometric::Rgb,
            extra: Extra::Alpha,
            compression: 5,
            predictor: 1,
            reversed: false,
            chunk,
            tiled: true,
            grid: (1, 1),
            jpeg_tables: Vec::new(),
            chosen: None,
            chunks: vec![(8, Some(100))],
        };
        assert!(!are_too_large(&of((256, 256)), 100) && !are_too_large(&of((2048, 2048)), 100));
        // 500 MB for a picture of 10 kB.
        assert!(are_too_large(&of((4_000_000, 32)), 100));
        // 300 bands of 10 million pixels: allowed for a file of 20 MB, but not for one of 1 kB.
        let bands = Layout { bands: 300, width: 10_000, height: 1000, grid: (1, 1000), ..of((10_000, 1)) };
        assert!(are_too_large(&bands, 1000) && !are_too_large(&bands, 20_000_000));
    }

    #[test]
    fn packed_samples_of_every_width() {
        assert_eq!([0, 1, 2].map(|i| packed(&[0x12, 0x3a, 0xbc], i, 8)), [0x12, 0x3a, 0xbc]);
        assert_eq!([0, 1].map(|i| packed(&[0x12, 0x3a, 0xbc], i, 12)), [0x123, 0xabc]);
        assert_eq!([0, 1, 2, 7].map(|i| packed(&[0b1010_0001], i, 1)), [1, 0, 1, 1]);
        assert_eq!(
            [0, 1].map(|i| packed(&[0b1111_1111, 0b1101_1111, 0b1111_1111], i, 11)),
            [0b111_1111_1110, 0b111_1111_1111]
        );
    }

    #[test]
    fn alpha_is_divided_out_and_inks_multiplied() {
        let mut samples = [100, 50, 255, 128, 9, 9, 9, 0, 1, 2, 3, 255];
        divide_by_alpha(&mut samples, 4);
        assert_eq!(samples, [199, 99, 255, 128, 0, 0, 0, 0, 1, 2, 3, 255]);
    }
}
