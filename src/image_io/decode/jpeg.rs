//! JPEG, with the pixels of libjpeg-turbo.

use image::metadata::Orientation;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::{Header, ImageError, Pixels, Samples, Source, orientation};
use crate::image_io::check_length;

/// Most scans of a file: a progressive picture has about ten, and each takes a pass over the whole picture.
const MAX_SCANS: usize = 256;

/// Size and orientation, without decoding.
pub(super) fn header(source: &Source) -> Result<Header, ImageError> {
    let decoder = open(source)?;
    let (width, height) = size(source, &decoder)?;
    Ok(Header { width, height, orientation: upright(&decoder) })
}

pub(super) fn decode(source: &Source) -> Result<Pixels, ImageError> {
    let markers = Markers::walk(source.bytes);
    if !markers.whole {
        let path = source.path.to_owned();
        return Err(ImageError::Truncated { path });
    }
    let mut decoder = open(source)?;
    let (width, height) = size(source, &decoder)?;
    let components = decoder.header().components.len();
    if let Some(kind) = unread_kind(&decoder, &markers) {
        return Err(source.failed(format!("{kind}, which is not supported")));
    }
    let (format, channels) = match components {
        1 => (PixelFormat::Grayscale, 1),
        4 => (PixelFormat::Cmyk, 4),
        _ => (PixelFormat::Rgb, 3),
    };
    decoder.set_output_format(format);
    // Like libjpeg: smooths blocks of progressive pictures whose last scans are missing.
    decoder.set_block_smoothing(true);
    let orientation = upright(&decoder);
    // Ignore a damaged profile.
    let icc = decoder.icc_profile().ok().flatten();
    let decoded = decoder.decode_image().map_err(|e| source.failed(e))?;
    let samples = decoded.into_vec();
    check_length("the decoded JPEG", samples.len(), (width, height), channels)?;
    let samples = match channels {
        // Like Photoshop and PIL: 255 is no ink.
        4 => Samples::Inks(samples.into_iter().map(|paper| 255 - paper).collect()),
        _ => Samples::Eight(samples),
    };
    Ok(Pixels { width, height, channels, samples, icc, orientation, notes: Vec::new(), place: None })
}

/// Reads the markers, not the pixels.
fn open<'a>(source: &Source<'a>) -> Result<Decoder<'a>, ImageError> {
    let limits = DecodeLimits { max_width: 65_535, max_height: 65_535, max_scans: MAX_SCANS, ..Default::default() };
    Decoder::new_with_limits(source.bytes, limits).map_err(|e| source.failed(e))
}

fn size(source: &Source, decoder: &Decoder) -> Result<(u32, u32), ImageError> {
    let header = decoder.header();
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    source.check_size(width, height, header.components.len() as u8)?;
    Ok((width, height))
}

fn upright(decoder: &Decoder) -> Orientation {
    orientation::of(decoder.exif_data(), decoder.xmp_data())
}

/// Valid but unusual kinds of JPEG that cannot be decoded.
fn unread_kind(decoder: &Decoder, markers: &Markers) -> Option<String> {
    let header = decoder.header();
    let components = &header.components;
    if header.precision != 8 {
        return Some(format!("it has {} bits a sample", header.precision));
    }
    if !matches!(components.len(), 1 | 3 | 4) {
        return Some(format!("it has {} colour components", components.len()));
    }
    let first = components.first()?;
    let out_sampled = |of: fn(&libjpeg_turbo_rs::ComponentInfo) -> u8| components.iter().any(|c| of(c) > of(first));
    if out_sampled(|c| c.horizontal_sampling) || out_sampled(|c| c.vertical_sampling) {
        return Some("its luma is sampled less than its colours".into());
    }
    let shared = |&n: &u8| n > 1 && usize::from(n) < components.len();
    if !header.is_progressive && markers.scans.iter().any(shared) {
        return Some("some of its colours share a scan while others have their own".into());
    }
    None
}

/// The markers of a file.
#[derive(Default)]
struct Markers {
    /// Whether there is an end-of-image marker. libjpeg would fill the missing rest with grey.
    whole: bool,
    /// Number of components of each scan.
    scans: Vec<u8>,
}

impl Markers {
    /// Skips segments by their lengths, so that the end marker of an EXIF thumbnail does not count.
    /// Between segments lies entropy-coded data, where 0xFF is followed only by 0 or a restart marker.
    fn walk(bytes: &[u8]) -> Self {
        let mut markers = Self::default();
        let mut at = 2;
        while let Some(step) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) {
            at += step + 1;
            match bytes.get(at) {
                Some(0xd9) => {
                    markers.whole = true;
                    return markers;
                }
                Some(0xff) => {}
                Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
                Some(marker) => match bytes.get(at + 1..at + 3) {
                    Some(length) => {
                        if *marker == 0xda && markers.scans.len() < MAX_SCANS {
                            markers.scans.extend(bytes.get(at + 3));
                        }
                        at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                    }
                    None => return markers,
                },
                None => return markers,
            }
        }
        markers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_end_is_found_behind_thumbnails_and_restart_markers() {
        let is_whole = |bytes: &[u8]| Markers::walk(bytes).whole;
        let mut jpeg = vec![0xff, 0xd8];
        jpeg.extend([0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9]); // a segment holding an end marker
        jpeg.extend([0xff, 0xda, 0, 3, 7, 1, 2, 0xff, 0x00, 3, 0xff, 0xd3, 9]);
        assert!(!is_whole(&jpeg));
        let mut whole = jpeg.clone();
        whole.extend([0xff, 0xff, 0xd9]);
        assert!(is_whole(&whole));
        whole.extend(*b"trailing bytes");
        assert!(is_whole(&whole));
        assert_eq!(Markers::walk(&whole).scans, [7]);
        // A segment that claims more than the file holds, and a file cut within a length.
        assert!(!is_whole(&[0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff, 0xff, 0xd9]));
        assert!(!is_whole(&[0xff, 0xd8, 0xff, 0xe1, 0]));
        assert!(!is_whole(&[0xff]));
    }
}
