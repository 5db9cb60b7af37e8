//! JPEG.

use image::ImageFormat;

use super::{Header, ImageError, Pixels, Source, plain};

/// Size and orientation, of which nothing is decoded.
pub(super) fn header(source: &Source) -> Result<Header, ImageError> {
    plain::header(source, ImageFormat::Jpeg)
}

pub(super) fn decode(source: &Source) -> Result<Pixels, ImageError> {
    if !is_whole(source.bytes) {
        // The decoder would fill the rest with grey and call it a picture.
        let path = source.path.to_owned();
        return Err(ImageError::Truncated { path });
    }
    plain::decode(source, ImageFormat::Jpeg)
}

/// Whether a JPEG's markers lead to its end-of-image marker.
///
/// Segments are stepped over by their lengths, so that the end marker of an EXIF thumbnail does not count.
/// Between segments lies entropy-coded data, where 0xFF is followed by 0 or a restart marker only.
fn is_whole(bytes: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_end_is_found_behind_thumbnails_and_restart_markers() {
        let mut jpeg = vec![0xff, 0xd8];
        jpeg.extend([0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9]); // a segment holding an end marker
        jpeg.extend([0xff, 0xda, 0, 3, 7, 1, 2, 0xff, 0x00, 3, 0xff, 0xd3, 9]);
        assert!(!is_whole(&jpeg));
        let mut whole = jpeg.clone();
        whole.extend([0xff, 0xff, 0xd9]);
        assert!(is_whole(&whole));
        whole.extend(*b"trailing bytes");
        assert!(is_whole(&whole));
        // A segment that claims more than the file holds, and a file cut within a length.
        assert!(!is_whole(&[0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff, 0xff, 0xd9]));
        assert!(!is_whole(&[0xff, 0xd8, 0xff, 0xe1, 0]));
        assert!(!is_whole(&[0xff]));
    }
}
