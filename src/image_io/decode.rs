//! Picture files to 8-bit pixels, upright.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::ImageError;

/// Largest picture file that is read, in bytes (1 GiB).
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Most pixels that a picture may have: 2^28, about 268 million (a 16,384 x 16,384 picture).
pub const MAX_PIXELS: u64 = 1 << 28;
/// Longest side that a picture may have.
pub const MAX_SIDE: u32 = 1 << 18;
/// Most bytes of decoded samples: [`MAX_PIXELS`] of 8-bit RGBA.
const MAX_DECODED_BYTES: u64 = 1 << 30;

/// A decoded picture with 8 bits a sample, in the file's own orientation.
pub(super) struct Pixels {
    pub width: u32,
    pub height: u32,
    /// 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
    pub channels: usize,
    /// `[height, width, channels]`
    pub samples: Vec<u8>,
    pub orientation: Orientation,
}

/// Reads a JPEG, PNG, WebP, BMP or TIFF picture as upright 8-bit RGB.
///
/// The format is told by the file's content, not its name. Samples become what PIL's `convert("RGB")` makes of
/// them: grey is repeated, palettes are looked up, CMYK is multiplied out, alpha is dropped and not composited,
/// 16-bit samples keep their high byte (for 16-bit grey, where PIL clips at 255 instead, too). The EXIF
/// orientation is applied, so the size is that of the picture as displayed. Colour profiles are not.
///
/// # Errors
/// Unreadable, empty or damaged files, other formats, floating-point samples, and pictures over [`MAX_PIXELS`],
/// [`MAX_SIDE`] or [`MAX_FILE_BYTES`].
pub fn load_rgb(path: &Path) -> Result<RgbImage, ImageError> {
    let pixels = decode(path)?;
    let (width, height, orientation) = (pixels.width, pixels.height, pixels.orientation);
    let samples = to_rgb(pixels.samples, pixels.channels);
    let got = samples.len();
    let Some(rgb) = RgbImage::from_raw(width, height, samples) else {
        let want = width as usize * height as usize * 3;
        let what = "the decoded picture";
        return Err(ImageError::Length { what, got, want });
    };
    let mut picture = DynamicImage::ImageRgb8(rgb);
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Decodes a picture file to 8-bit samples of whatever channels it has.
pub(super) fn decode(path: &Path) -> Result<Pixels, ImageError> {
    let bytes = read_file(path)?;
    let (format, name) = sniff(path, &bytes)?;
    if format == ImageFormat::Jpeg && !jpeg_is_whole(&bytes) {
        // The decoder would fill the rest with grey and call it a picture.
        let path = path.to_owned();
        return Err(ImageError::Truncated { path });
    }
    let failed = |e: image::ImageError| ImageError::Decode {
        path: path.to_owned(),
        format: name,
        reason: one_line(&e.to_string()),
    };

    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;

    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    let pixels = u64::from(width) * u64::from(height);
    let decoded = pixels.saturating_mul(u64::from(color.bytes_per_pixel()));
    if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS || decoded > MAX_DECODED_BYTES {
        return Err(ImageError::TooManyPixels {
            path: path.to_owned(),
            width,
            height,
            bytes_per_pixel: color.bytes_per_pixel(),
        });
    }
    if matches!(color, ColorType::Rgb32F | ColorType::Rgba32F) {
        let path = path.to_owned();
        return Err(ImageError::FloatSamples { path });
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let mut samples = vec![0; decoded as usize];
    decoder.read_image(&mut samples).map_err(failed)?;

    let channels = usize::from(color.channel_count());
    if usize::from(color.bytes_per_pixel()) == 2 * channels {
        keep_high_bytes(&mut samples);
    }
    Ok(Pixels { width, height, channels, samples, orientation })
}

/// Reads a whole file, at most [`MAX_FILE_BYTES`] of it, be it a file or a pipe.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, ImageError> {
    let file = File::open(path).map_err(|e| {
        // Windows cannot open a directory at all; elsewhere it is the read that would fail.
        if path.is_dir() {
            let path = path.to_owned();
            ImageError::IsDirectory { path }
        } else {
            ImageError::read(path, e)
        }
    })?;
    let about = file.metadata().map_err(|e| ImageError::read(path, e))?;
    let path_buf = || path.to_owned();
    if about.is_dir() {
        return Err(ImageError::IsDirectory { path: path_buf() });
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { path: path_buf() });
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| ImageError::read(path, e))?;
    if bytes.is_empty() {
        return Err(ImageError::Empty { path: path_buf() });
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge { path: path_buf() });
    }
    Ok(bytes)
}

/// The picture format that the first bytes announce, and its name.
fn sniff(path: &Path, bytes: &[u8]) -> Result<(ImageFormat, &'static str), ImageError> {
    let format = image::guess_format(bytes).ok();
    if let Some(format) = format {
        let name = match format {
            ImageFormat::Jpeg => "JPEG",
            ImageFormat::Png => "PNG",
            ImageFormat::WebP => "WebP",
            ImageFormat::Bmp => "BMP",
            ImageFormat::Tiff => "TIFF",
            _ => "",
        };
        if !name.is_empty() {
            return Ok((format, name));
        }
    }
    let found = match (bytes.get(4..8), bytes.get(8..12), format) {
        // ISO media files: phones write pictures as HEIC.
        (Some(b"ftyp"), Some(b"heic" | b"heix" | b"mif1" | b"msf1"), _) => {
            "is a HEIC picture, which is not read".to_owned()
        }
        (_, _, Some(other)) => format!("is of the format {other:?}, which is not read"),
        _ if bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+") => {
            "is a BigTIFF picture, which is not read".to_owned()
        }
        _ => "is not a picture of a known format".to_owned(),
    };
    let path = path.to_owned();
    Err(ImageError::NotAPicture { path, found })
}

/// Whether a JPEG's markers lead to its end-of-image marker.
///
/// Segments are stepped over by their lengths, so that the end marker of an EXIF thumbnail does not count.
/// Between segments lies entropy-coded data, where 0xFF is followed by 0 or a restart marker only.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(step) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) {
        at += step + 1;
        match bytes.get(at) {
            Some(0xd9) => return true,
            Some(0xff) => {}
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(length) => at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
            None => return false,
        }
    }
    false
}

/// Turns native-endian 16-bit samples into 8-bit ones in place, as PIL's raw modes for 16-bit colour do.
fn keep_high_bytes(samples: &mut Vec<u8>) {
    let high = usize::from(cfg!(target_endian = "little"));
    let count = samples.len() / 2;
    for i in 0..count {
        samples[i] = samples[2 * i + high];
    }
    samples.truncate(count);
}

/// Drops alpha and repeats grey: `[n, channels]` to `[n, 3]`.
fn to_rgb(mut samples: Vec<u8>, channels: usize) -> Vec<u8> {
    match channels {
        1 | 2 => samples.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
        4 => {
            // In place: a large picture is not held twice.
            let count = samples.len() / 4;
            for i in 0..count {
                samples.copy_within(4 * i..4 * i + 3, 3 * i);
            }
            samples.truncate(3 * count);
            samples
        }
        _ => samples,
    }
}

/// Decoders' messages may span lines; ours do not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_end_is_found_behind_thumbnails_and_restart_markers() {
        let mut jpeg = vec![0xff, 0xd8];
        jpeg.extend([0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9]); // a segment holding an end marker
        jpeg.extend([0xff, 0xda, 0, 3, 7, 1, 2, 0xff, 0x00, 3, 0xff, 0xd3, 9]);
        assert!(!jpeg_is_whole(&jpeg));
        let mut whole = jpeg.clone();
        whole.extend([0xff, 0xff, 0xd9]);
        assert!(jpeg_is_whole(&whole));
        whole.extend(*b"trailing bytes");
        assert!(jpeg_is_whole(&whole));
        // A segment that claims more than the file holds, and a file cut within a length.
        assert!(!jpeg_is_whole(&[0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff, 0xff, 0xd9]));
        assert!(!jpeg_is_whole(&[0xff, 0xd8, 0xff, 0xe1, 0]));
        assert!(!jpeg_is_whole(&[0xff]));
    }

    #[test]
    fn sixteen_bits_keep_the_high_byte() {
        let mut samples: Vec<u8> = [0x1234_u16, 0xffff, 0x00ff, 0x8000].iter().flat_map(|v| v.to_ne_bytes()).collect();
        keep_high_bytes(&mut samples);
        assert_eq!(samples, [0x12, 0xff, 0x00, 0x80]);
    }

    #[test]
    fn alpha_is_dropped_and_grey_repeated() {
        assert_eq!(to_rgb(vec![5, 9], 1), [5, 5, 5, 9, 9, 9]);
        assert_eq!(to_rgb(vec![5, 0, 9, 255], 2), [5, 5, 5, 9, 9, 9]);
        assert_eq!(to_rgb(vec![1, 2, 3, 0, 4, 5, 6, 7], 4), [1, 2, 3, 4, 5, 6]);
    }
}
