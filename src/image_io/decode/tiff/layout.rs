//! The layout of a TIFF's picture in its file.

use super::directory::{Directory, File};
use crate::image_io::Bands;
use std::ops::Range;

/// The kinds of sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// The meaning of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    /// In JPEG only.
    YCbCr,
}

/// The first sample after the colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    None,
    /// Alpha that the colours are multiplied by.
    Associated,
    Alpha,
    Other,
}

/// A checked layout: sizes are not 0 and the chunks cover the picture.
pub struct Layout {
    pub width: u32,
    pub height: u32,
    /// Bits of each sample.
    pub bits: u32,
    pub kind: Kind,
    /// Samples of each pixel.
    pub bands: usize,
    /// Whether each band has its own chunks.
    pub separate: bool,
    pub photometric: Photometric,
    pub extra: Extra,
    /// The bands that the user chose as grey or RGB, from 0.
    pub chosen: Option<Vec<usize>>,
    pub compression: u64,
    pub predictor: u64,
    /// Whether the bits of each byte are reversed.
    pub reversed: bool,
    /// Width and height of a chunk (strip or tile) in pixels. The last strip may be lower.
    pub chunk: (u32, u32),
    pub tiled: bool,
    /// Chunks horizontally and vertically.
    pub grid: (u32, u32),
    /// Common JPEG tables of all chunks.
    pub jpeg_tables: Vec<u8>,
    /// Position and length of each chunk, plane by plane.
    pub chunks: Vec<(u64, Option<u64>)>,
}

/// TIFF's number of new-style JPEG.
pub const JPEG: u64 = 7;
/// Most samples of a pixel. Aerial and satellite pictures have up to some 300 bands.
const MOST_BANDS: u64 = 1024;

impl Layout {
    /// Width and height as stored.
    pub fn size(directory: &Directory) -> Result<(u32, u32), String> {
        let side = |tag: u16| directory.number(tag).and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
        side(256).zip(side(257)).ok_or_else(|| "its width or height is missing".into())
    }

    /// Reads the layout from `directory`, or says why it is not supported. `chosen` bands are used as they are.
    pub fn new(directory: &Directory, chosen: Option<Bands>) -> Result<Self, String> {
        let or = |tag: u16, default: u64| directory.number(tag).unwrap_or(default);
        let (width, height) = Self::size(directory)?;
        let bands = or(277, 1);
        if !(1..=MOST_BANDS).contains(&bands) {
            return Err(format!("it has {bands} samples per pixel"));
        }
        let bands = bands as usize;
        let same = |tag: u16, default: u64, what: &str| {
            let Some(mut all) = directory.numbers(tag) else { return Ok(default) };
            let first = all.next().unwrap_or(default);
            if all.take(bands - 1).all(|n| n == first) { Ok(first) } else { Err(format!("its bands differ in {what}")) }
        };
        let kind = match same(339, 1, "the kind of their samples")? {
            1 | 4 => Kind::Unsigned,
            2 => Kind::Signed,
            3 => Kind::Float,
            _ => return Err("its samples are complex numbers".into()),
        };
        let bits = same(258, 1, "depth")?;
        let known = match kind {
            Kind::Unsigned => matches!(bits, 1..=16 | 32),
            Kind::Signed => matches!(bits, 8 | 16 | 32),
            Kind::Float => matches!(bits, 16 | 32 | 64),
        };
        if !known {
            return Err(format!("its samples have {bits} bits each"));
        }
        let (photometric, extra) = match chosen {
            Some(chosen) => {
                chosen.check(bands)?;
                (if chosen.count() == 1 { Photometric::BlackIsZero } else { Photometric::Rgb }, Extra::Other)
            }
            None => {
                let photometric = photometric(directory, bands)?;
                (photometric, extra(directory, photometric, bands)?)
            }
        };
        if photometric == Photometric::Palette && (bits > 8 || kind != Kind::Unsigned) {
            return Err(format!("it has a palette with samples of {bits} bits"));
        }
        if photometric == Photometric::Cmyk && (!matches!(bits, 8 | 16) || kind != Kind::Unsigned) {
            return Err(format!("its CMYK samples have {bits} bits each"));
        }
        let compression = or(259, 1);
        if compression != JPEG && photometric == Photometric::YCbCr {
            return Err("its colours are YCbCr without JPEG compression, which is not supported".into());
        }
        if compression == JPEG && (bits != 8 || kind != Kind::Unsigned) {
            return Err(format!("its samples are compressed as JPEG and have {bits} bits each"));
        }
        let separate = match or(284, 1) {
            1 => false,
            2 => bands > 1,
            other => return Err(format!("it has the unknown planar configuration {other}")),
        };

        let tiled = directory.number(322).is_some();
        let side = |n: u64, most: u32| u32::try_from(n).unwrap_or(most).min(most);
        let chunk = match tiled {
            true => (side(or(322, 0), u32::MAX), side(or(323, 0), u32::MAX)),
            false => (width, side(or(278, u64::MAX), height)),
        };
        if chunk.0 == 0 || chunk.1 == 0 {
            return Err("its strips or tiles have size 0".into());
        }
        let grid = (width.div_ceil(chunk.0), height.div_ceil(chunk.1));
        let planes = if separate { bands } else { 1 };
        let wanted = u64::from(grid.0) * u64::from(grid.1) * planes as u64;
        let (offsets, counts) = if tiled { (324, 325) } else { (273, 279) };
        // Some writers swap the tags of strips and tiles.
        let offsets = directory.numbers(offsets).or_else(|| directory.numbers(273)).ok_or("it has no samples")?;
        let counts = directory.numbers(counts).or_else(|| directory.numbers(279));
        if (offsets.len() as u64) < wanted {
            return Err(format!("it has {} of {wanted} strips or tiles", offsets.len()));
        }
        let mut counts = counts.into_iter().flatten();
        let chunks = offsets.take(wanted as usize).map(|offset| (offset, counts.next())).collect();
        Ok(Self {
            width,
            height,
            bits: bits as u32,
            kind,
            bands,
            separate,
            photometric,
            extra,
            chosen: chosen.map(|bands| bands.indices().collect()),
            compression,
            predictor: or(317, 1),
            // JPEG has only one bit order.
            reversed: or(266, 1) == 2 && compression != JPEG,
            chunk,
            tiled,
            grid,
            jpeg_tables: directory.bytes(347).unwrap_or_default().to_vec(),
            chunks,
        })
    }

    /// The layout of the chunks that cover `rows`, as if they were a picture, and its first row.
    pub fn rows(self, rows: Range<u32>) -> (u32, Layout) {
        let high = self.chunk.1;
        let (begin, end) = (rows.start / high, rows.end.div_ceil(high).min(self.grid.1));
        let (across, down) = (self.grid.0 as usize, self.grid.1 as usize);
        let of_plane = |plane: usize| {
            plane * down * across + begin as usize * across..plane * down * across + end as usize * across
        };
        let planes = self.chunks.len() / (across * down);
        let chunks = (0..planes).flat_map(|plane| self.chunks[of_plane(plane)].to_vec()).collect();
        let first = begin * high;
        let last = u32::try_from(u64::from(end) * u64::from(high)).unwrap_or(u32::MAX).min(self.height);
        (first, Layout { height: last - first, grid: (self.grid.0, end - begin), chunks, ..self })
    }

    /// Number of samples of a colour.
    pub fn colors(&self) -> usize {
        match self.photometric {
            Photometric::WhiteIsZero | Photometric::BlackIsZero | Photometric::Palette => 1,
            Photometric::Rgb | Photometric::YCbCr => 3,
            Photometric::Cmyk => 4,
        }
    }

    /// Number of interleaved samples per pixel of a chunk.
    pub fn together(&self) -> usize {
        if self.separate { 1 } else { self.bands }
    }

    /// Bytes of a row of a chunk. Rows begin on a byte.
    pub fn row_bytes(&self) -> u64 {
        (u64::from(self.chunk.0) * self.together() as u64 * u64::from(self.bits)).div_ceil(8)
    }

    /// Compressed bytes of chunk `index`; `None` if the file lacks it.
    pub fn raw<'a>(&self, file: File<'a>, index: usize) -> Result<Option<&'a [u8]>, String> {
        match self.chunks.get(index) {
            None | Some((0, _) | (_, Some(0))) => Ok(None),
            Some(&(offset, count)) => {
                let rest = (file.bytes.len() as u64).saturating_sub(offset);
                let bytes = file.slice(offset, count.unwrap_or(rest));
                bytes.map(Some).ok_or_else(|| format!("{} lies outside the file", self.named(index)))
            }
        }
    }

    /// A chunk for messages.
    pub fn named(&self, index: usize) -> String {
        format!("{} {}", if self.tiled { "tile" } else { "strip" }, index + 1)
    }
}

fn photometric(directory: &Directory, bands: usize) -> Result<Photometric, String> {
    let (found, needed) = match directory.number(262) {
        Some(0) => (Photometric::WhiteIsZero, 1),
        Some(1) => (Photometric::BlackIsZero, 1),
        Some(2) => (Photometric::Rgb, 3),
        Some(3) => (Photometric::Palette, 1),
        Some(5) if directory.number(332).unwrap_or(1) != 1 => return Err("its inks are not CMYK".into()),
        Some(5) => (Photometric::Cmyk, 4),
        Some(6) => (Photometric::YCbCr, 3),
        Some(4) => return Err("it is a transparency mask of another picture".into()),
        Some(8..=10) => return Err("its colours are CIE L*a*b*".into()),
        Some(32803 | 34892) => return Err("it is a camera's raw picture".into()),
        Some(32844 | 32845) => return Err("its colours are LogLuv".into()),
        Some(other) => return Err(format!("it has the unknown photometric interpretation {other}")),
        None => return Err("its photometric interpretation is missing".into()),
    };
    if bands < needed {
        return Err(format!("it has {bands} of {needed} samples per pixel"));
    }
    Ok(found)
}

fn extra(directory: &Directory, photometric: Photometric, bands: usize) -> Result<Extra, String> {
    let (colors, grey) = match photometric {
        Photometric::Rgb | Photometric::YCbCr => (3, false),
        Photometric::Cmyk => (4, false),
        Photometric::Palette => (1, false),
        Photometric::WhiteIsZero | Photometric::BlackIsZero => (1, true),
    };
    if grey && bands > 2 {
        return Err(format!("it has {bands} bands and does not say which are red, green and blue"));
    }
    Ok(match (bands - colors, directory.number(338)) {
        (0, _) => Extra::None,
        (_, Some(1)) => Extra::Associated,
        // 999 is Corel's; without the tag, all programs treat one sample after RGB as alpha.
        (_, Some(2 | 999)) => Extra::Alpha,
        (1, None) if photometric == Photometric::Rgb => Extra::Alpha,
        _ => Extra::Other,
    })
}
