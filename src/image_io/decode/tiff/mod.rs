//! TIFF, in all layouts of photographs and aerial pictures.
//!
//! The `tiff` crate reads some of them wrongly without an error (bands after the colours together with a predictor, chunks
//! side by side, reversed bits), so the container is read here and other crates decompress.
//!
//! ```text
//! bytes --directory--> tags --layout--> where the chunks lie --chunk--> packed samples --samples--> Pixels
//! ```
//!
//! A file may hold several pictures. The first full picture is used, not a thumbnail or a mask.

mod chunk;
pub(super) mod directory;
mod layout;
mod samples;

use super::super::geo::{self, GeoTags, GeoValues};
use super::{Bands, Header, ImageError, Note, Pixels, Source, orientation};
use directory::{Directory, File};
use image::metadata::Orientation;
use layout::Layout;
use std::ops::Range;

/// The tag of XMP metadata.
const XMP: u16 = 700;
/// The tag of a colour profile.
const ICC: u16 = 34675;
/// The tag of subdirectories.
const SUB: u16 = 330;

/// Size and orientation, without decoding.
pub(super) fn header(source: &Source) -> Result<Header, ImageError> {
    let (_, directory, _) = open(source)?;
    let (width, height) = Layout::size(&directory).map_err(|e| source.failed(e))?;
    source.check_size(width, height, 1)?;
    Ok(Header { width, height, orientation: upright(&directory) })
}

pub(super) fn decode(source: &Source, bands: Option<Bands>) -> Result<Pixels, ImageError> {
    let (file, directory, pages) = open(source)?;
    let layout = Layout::new(&directory, bands).map_err(|e| source.failed(e))?;
    let mut pixels = samples::read(source, &layout, file, &directory)?;
    pixels.icc = directory.bytes(ICC).filter(|profile| !profile.is_empty() && bands.is_none()).map(<[u8]>::to_vec);
    pixels.orientation = upright(&directory);
    pixels.place = place(&directory);
    if pages > 1 {
        pixels.notes.push(Note::Pages { pages });
    }
    Ok(pixels)
}

/// Size and orientation without limits on the size, and the georeference.
pub(super) fn about(source: &Source) -> Result<(Header, Option<GeoTags>), ImageError> {
    let (_, directory, _) = open(source)?;
    let (width, height) = Layout::size(&directory).map_err(|e| source.failed(e))?;
    Ok((Header { width, height, orientation: upright(&directory) }, place(&directory)))
}

/// Decodes all chunks that cover `rows`: their first row, number of rows, and samples if the file has any.
pub(super) fn decode_rows(
    source: &Source,
    bands: Option<Bands>,
    rows: Range<u32>,
) -> Result<(u32, u32, Option<Pixels>), ImageError> {
    let (file, directory, _) = open(source)?;
    let layout = Layout::new(&directory, bands).map_err(|e| source.failed(e))?;
    let (first, layout) = layout.rows(rows);
    if layout.chunks.iter().all(|&(offset, _)| offset == 0) {
        return Ok((first, layout.height, None));
    }
    let mut pixels = samples::read(source, &layout, file, &directory)?;
    pixels.icc = directory.bytes(ICC).filter(|profile| !profile.is_empty() && bands.is_none()).map(<[u8]>::to_vec);
    Ok((first, layout.height, Some(pixels)))
}

/// The directory of the first full picture, and the number of full pictures.
fn open<'a>(source: &Source<'a>) -> Result<(File<'a>, Directory<'a>, usize), ImageError> {
    let file = File::new(source.bytes).ok_or_else(|| source.failed("its header is damaged"))?;
    let mut chain = file.directories();
    let full: Vec<usize> = (0..chain.len()).filter(|&i| is_full(&chain[i])).collect();
    if let Some(&first) = full.first() {
        return Ok((file, chain.swap_remove(first), full.len()));
    }
    // Some cameras put the picture in a subdirectory of its thumbnail.
    let below = chain.iter().flat_map(|directory| directory.numbers(SUB)).flatten().take(64);
    if let Some(directory) = below.filter_map(|at| file.directory(at)).map(|(found, _)| found).find(is_full) {
        return Ok((file, directory, 1));
    }
    match chain.into_iter().next() {
        Some(only) => Ok((file, only, 1)),
        None => Err(source.failed("it has no directory within the file")),
    }
}

/// Whether a directory holds a full picture, not a smaller version (bit 0) or a mask (bit 2).
fn is_full(directory: &Directory) -> bool {
    let kind = directory.number(254).unwrap_or(0);
    // The older tag: 2 means a smaller version.
    kind & 0b101 == 0 && directory.number(255) != Some(2) && Layout::size(directory).is_ok()
}

/// GeoTIFF tags, if there are any, with values of the standard's types.
fn place(directory: &Directory) -> Option<GeoTags> {
    let shorts = |tag| Some((tag, GeoValues::Shorts(directory.numbers(tag)?.map(|v| v as u16).collect())));
    let doubles = |tag| Some((tag, GeoValues::Doubles(directory.doubles(tag)?.collect())));
    let text = |tag| Some((tag, GeoValues::Text(directory.bytes(tag)?.to_vec())));
    let tags = [
        doubles(geo::SCALE),
        doubles(geo::TIE_POINTS),
        doubles(geo::TRANSFORMATION),
        shorts(geo::KEYS),
        doubles(geo::KEY_DOUBLES),
        text(geo::KEY_TEXT),
    ];
    let tags: Vec<(u16, GeoValues)> = tags.into_iter().flatten().collect();
    (!tags.is_empty()).then(|| GeoTags::of(tags))
}

fn upright(directory: &Directory) -> Orientation {
    orientation::from_tags(Some(directory), directory.bytes(XMP))
}
