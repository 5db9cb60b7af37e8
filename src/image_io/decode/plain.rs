//! Formats that the `image` crate decodes as they should be.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Header, ImageError, MAX_DECODED_BYTES, Pixels, Samples, Source, orientation};

/// Size and orientation, of which nothing is decoded.
pub(super) fn header(source: &Source, format: ImageFormat) -> Result<Header, ImageError> {
    let mut decoder = open(source, format)?;
    let (width, height) = decoder.dimensions();
    source.check_size(width, height, decoder.color_type().bytes_per_pixel())?;
    Ok(Header { width, height, orientation: upright(source, &mut decoder)? })
}

pub(super) fn decode(source: &Source, format: ImageFormat) -> Result<Pixels, ImageError> {
    let mut decoder = open(source, format)?;
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    source.check_size(width, height, color.bytes_per_pixel())?;
    let orientation = upright(source, &mut decoder)?;
    let icc = decoder.icc_profile().map_err(|e| source.failed(e))?;
    let channels = usize::from(color.channel_count());
    let count = width as usize * height as usize * channels;
    let failed = |e: image::ImageError| source.failed(e);
    let samples = match color {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => {
            let mut samples = vec![0; count];
            decoder.read_image(&mut samples).map_err(failed)?;
            Samples::Eight(samples)
        }
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => {
            let mut samples = vec![0_u16; count];
            decoder.read_image(bytemuck::cast_slice_mut(&mut samples)).map_err(failed)?;
            Samples::Sixteen(samples)
        }
        _ => {
            let mut samples = vec![0_f32; count];
            decoder.read_image(bytemuck::cast_slice_mut(&mut samples)).map_err(failed)?;
            Samples::Float(samples)
        }
    };
    Ok(Pixels { width, height, channels, samples, icc, orientation, notes: Vec::new() })
}

fn open<'a>(source: &Source<'a>, format: ImageFormat) -> Result<impl ImageDecoder + 'a, ImageError> {
    if format == ImageFormat::WebP && !webp_is_whole(source.bytes) {
        return Err(source.failed("it ends before its picture or what belongs to it does"));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(source.bytes), format);
    reader.limits(limits);
    reader.into_decoder().map_err(|e| source.failed(e))
}

/// Whether a WebP's chunks lie within the file. The decoder takes memory for as much as they claim, which may be 4 GiB.
fn webp_is_whole(bytes: &[u8]) -> bool {
    let length = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(|four| u32::from_le_bytes(four) as usize);
    // What follows the container is none of its chunks.
    let end = length(4).unwrap_or(0).saturating_add(8).min(bytes.len());
    let mut at = 12;
    while at + 8 <= end {
        let Some(after) = length(at + 4).and_then(|length| length.checked_add(at + 8)) else { return false };
        if after > bytes.len() {
            return false;
        }
        at = after + after % 2;
    }
    true
}

fn upright(source: &Source, decoder: &mut impl ImageDecoder) -> Result<Orientation, ImageError> {
    let failed = |e: image::ImageError| source.failed(e);
    let (exif, xmp) = (decoder.exif_metadata().map_err(failed)?, decoder.xmp_metadata().map_err(failed)?);
    Ok(orientation::of(exif.as_deref(), xmp.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_a_webp_must_lie_in_the_file() {
        let mut webp = b"RIFF\x1a\0\0\0WEBPVP8L\x03\0\0\0abc\0ICCP\x01\0\0\0x".to_vec();
        assert!(webp_is_whole(&webp));
        // A padding byte that is left out, and bytes behind the container.
        webp.extend(b"\0and more: EXIF\xff\xff\xff\xff");
        assert!(webp_is_whole(&webp));
        webp[28..32].fill(0xff);
        assert!(!webp_is_whole(&webp));
        assert!(!webp_is_whole(&webp[..20]));
        assert!(webp_is_whole(&webp[..4]));
    }
}
