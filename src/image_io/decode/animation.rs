//! GIF and WebP: the number of frames, and checks for files that make their decoders panic.

use image::ImageFormat;

use super::{Header, ImageError, Note, Pixels, Source, plain};

/// Size and orientation, without decoding.
pub(super) fn header(source: &Source, format: ImageFormat) -> Result<Header, ImageError> {
    frames(source, format)?;
    plain::header(source, format)
}

/// The first frame.
pub(super) fn decode(source: &Source, format: ImageFormat) -> Result<Pixels, ImageError> {
    let frames = frames(source, format)?;
    let mut pixels = plain::decode(source, format)?;
    pixels.notes.extend(Note::of_frames(frames));
    Ok(pixels)
}

fn frames(source: &Source, format: ImageFormat) -> Result<usize, ImageError> {
    let counted = if format == ImageFormat::Gif { gif(source.bytes) } else { webp(source.bytes) };
    counted.map_err(|reason| source.failed(reason))
}

/// Walks over a GIF's blocks. The decoder refuses cut-off files.
fn gif(bytes: &[u8]) -> Result<usize, &'static str> {
    let number = |at: usize| bytes.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    // A colour table follows if the high bit is set.
    let table = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let screen = (number(6), number(8));
    let mut at = 13 + bytes.get(10).map_or(0, |&flags| table(flags));
    let mut count = 0;
    loop {
        match bytes.get(at) {
            Some(0x2c) => {
                let place = (number(at + 1), number(at + 3), number(at + 5), number(at + 7));
                let whole = place.3.is_some();
                if count == 0 && whole && place != (Some(0), Some(0), screen.0, screen.1) {
                    return Err("its first frame does not cover the picture");
                }
                count += 1;
                at += 11 + bytes.get(at + 9).map_or(0, |&flags| table(flags));
            }
            Some(0x21) => at += 2,
            _ => return Ok(count),
        }
        while let Some(&length) = bytes.get(at).filter(|&&length| length > 0) {
            at += 1 + usize::from(length);
        }
        at += 1;
    }
}

/// Walks over a WebP's chunks.
fn webp(bytes: &[u8]) -> Result<usize, &'static str> {
    if !is_whole(bytes) {
        return Err("it is cut off");
    }
    let mut count = 0;
    let mut canvas = None;
    for (kind, data) in chunks(bytes.get(12..).unwrap_or_default()) {
        match kind {
            b"VP8X" => canvas = sides(data, 4),
            b"VP8 " => sized(data, canvas)?,
            b"ANMF" => {
                count += 1;
                let frame = sides(data, 6);
                let parts = chunks(data.get(16..).unwrap_or_default());
                parts.filter(|c| c.0 == b"VP8 ").try_for_each(|c| sized(c.1, frame))?;
            }
            _ => {}
        }
    }
    Ok(count)
}

/// Width and height, each stored minus one in three bytes.
fn sides(data: &[u8], at: usize) -> Option<[u32; 2]> {
    let six = data.get(at..at + 6)?;
    Some([0, 3].map(|i| u32::from_le_bytes([six[i], six[i + 1], six[i + 2], 0]) + 1))
}

/// Whether a WebP's chunks lie within the file. The decoder allocates as much as they claim, up to 4 GiB.
fn is_whole(bytes: &[u8]) -> bool {
    let length = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(|four| u32::from_le_bytes(four) as usize);
    // Bytes after the container are not chunks.
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

/// The chunks of a RIFF file: a name of four bytes, a length, and that many bytes, padded to an even number.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let data = &behind[..length.min(behind.len())];
        rest = behind.get(length.checked_add(length % 2)?..).unwrap_or_default();
        Some((&head[..4], data))
    })
}

/// Fails for a lossy frame of size 0, on which the decoder panics, and for a frame whose size differs from the container's, for which
/// the decoder would allocate first. The frame's size follows a tag and a start code.
fn sized(frame: &[u8], announced: Option<[u32; 2]>) -> Result<(), &'static str> {
    let side = |at: usize| frame.get(at..at + 2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]) & 0x3fff));
    let (Some(width), Some(height)) = (side(6), side(8)) else { return Ok(()) };
    match announced {
        _ if width == 0 || height == 0 => Err("it has a frame of size 0"),
        Some(announced) if announced != [width, height] => Err("the size of a frame differs from the container's"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_over_damage() {
        // A screen of 1 x 1 with two colours, an extension, and two frames.
        let mut bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x21\xf9\x04\0\0\0\0\0".to_vec();
        let frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
        bytes.extend(frame);
        assert_eq!(gif(&bytes), Ok(1));
        bytes.extend(frame);
        assert_eq!(gif(&bytes), Ok(2));
        for length in 0..bytes.len() {
            assert!(gif(&bytes[..length]).is_ok_and(|n| n <= 2));
        }
        let place = bytes.len() - 2 * frame.len() + 1;
        bytes[place] = 1;
        assert!(gif(&bytes).is_err());
        assert_eq!(webp(b"RIFF\x0c\0\0\0WEBPANMF\0\0\0\0"), Ok(1));
        assert!(webp(b"RIFF\xff\xff\xff\xffWEBPANMF\xff\xff\xff\xff").is_err());
        assert_eq!(webp(b"RIFF"), Ok(0));
    }

    #[test]
    fn chunks_of_a_webp_must_lie_in_the_file() {
        let mut webp = b"RIFF\x1a\0\0\0WEBPVP8L\x03\0\0\0abc\0ICCP\x01\0\0\0x".to_vec();
        assert!(is_whole(&webp));
        // A missing padding byte, and bytes after the container.
        webp.extend(b"\0and more: EXIF\xff\xff\xff\xff");
        assert!(is_whole(&webp));
        webp[28..32].fill(0xff);
        assert!(!is_whole(&webp));
        assert!(!is_whole(&webp[..20]));
        assert!(is_whole(&webp[..4]));
    }

    #[test]
    fn a_webp_frame_of_no_size_is_refused() {
        let lossy = |width: u8| [b"VP8 \x0a\0\0\0" as &[u8], &[0, 0, 0, 0x9d, 1, 0x2a, width, 0, 1, 0]].concat();
        let file = |chunks: &[u8]| [b"RIFF\0\0\0\0WEBP" as &[u8], chunks].concat();
        let frame = |width| [b"ANMF\x22\0\0\0" as &[u8], &[0; 16], &lossy(width)].concat();
        assert_eq!((webp(&file(&lossy(1))), webp(&file(&frame(1)))), (Ok(0), Ok(1)));
        assert!(webp(&file(&lossy(0))).is_err() && webp(&file(&frame(0))).is_err());
    }

    #[test]
    fn a_webp_frame_of_another_size_than_announced_is_refused() {
        let lossy = |width: u16| [b"VP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a" as &[u8], &width.to_le_bytes(), &[1, 0]].concat();
        // A canvas, and a frame's place, of 300 x 1.
        let still =
            |width| [b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x2b\x01\0\0\0\0" as &[u8], &lossy(width)].concat();
        let place = b"RIFF\0\0\0\0WEBPANMF\x22\0\0\0\0\0\0\0\0\0\x2b\x01\0\0\0\0\0\0\0\0";
        let moving = |width| [place as &[u8], &lossy(width)].concat();
        assert_eq!((webp(&still(300)), webp(&moving(300))), (Ok(0), Ok(1)));
        assert!(webp(&still(301)).is_err() && webp(&moving(16383)).is_err());
    }
}
