//! Formats that the `image` crate decodes correctly.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Header, ImageError, MAX_DECODED_BYTES, Pixels, Samples, Source, orientation};

/// Size and orientation, without decoding.
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
    Ok(Pixels { width, height, channels, samples, icc, orientation, notes: Vec::new(), place: None })
}

fn open<'a>(source: &Source<'a>, format: ImageFormat) -> Result<impl ImageDecoder + 'a, ImageError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(source.bytes), format);
    reader.limits(limits);
    reader.into_decoder().map_err(|e| source.failed(e))
}

fn upright(source: &Source, decoder: &mut impl ImageDecoder) -> Result<Orientation, ImageError> {
    let failed = |e: image::ImageError| source.failed(e);
    let (exif, xmp) = (decoder.exif_metadata().map_err(failed)?, decoder.xmp_metadata().map_err(failed)?);
    Ok(orientation::of(exif.as_deref(), xmp.as_deref()))
}
