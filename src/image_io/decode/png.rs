//! PNG: metadata in its chunks, before or after the pixels.

use std::borrow::Cow;
use std::io::Read;

use image::ImageFormat;
use image::metadata::Orientation;

use super::{Header, ImageError, Note, Pixels, Source, orientation, plain};

/// Most bytes to unpack of a compressed text.
const MOST_TEXT: u64 = 1 << 20;

/// Size and orientation, without decoding.
pub(super) fn header(source: &Source) -> Result<Header, ImageError> {
    let about = About::read(source)?;
    Ok(Header { orientation: about.orientation(), ..plain::header(source, ImageFormat::Png)? })
}

pub(super) fn decode(source: &Source) -> Result<Pixels, ImageError> {
    let about = About::read(source)?;
    let mut pixels = plain::decode(source, ImageFormat::Png)?;
    pixels.orientation = about.orientation();
    pixels.notes.extend(Note::of_frames(about.frames));
    Ok(pixels)
}

/// Metadata in the chunks.
#[derive(Default)]
struct About<'a> {
    exif: Option<&'a [u8]>,
    /// EXIF as ImageMagick writes it: hexadecimal in a text chunk.
    exif_text: Option<Vec<u8>>,
    xmp: Option<Cow<'a, [u8]>>,
    frames: usize,
}

impl<'a> About<'a> {
    /// Walks over all chunks: EXIF and XMP may follow the pixels.
    fn read(source: &Source<'a>) -> Result<Self, ImageError> {
        let mut about = Self::default();
        let mut rest = source.bytes.get(8..).unwrap_or_default();
        while let Some((head, behind)) = rest.split_first_chunk::<8>() {
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            // The decoder refuses cut-off files.
            let Some(data) = behind.get(..length) else { break };
            match &head[4..] {
                // The decoder panics on such a palette.
                b"PLTE" if !length.is_multiple_of(3) || !(3..=768).contains(&length) => {
                    return Err(source
                        .failed(format!("its palette has {length} bytes; it must have 1 to 256 colours of 3 bytes")));
                }
                b"eXIf" => about.exif = Some(data),
                b"acTL" => {
                    let frames = data.first_chunk::<4>().map_or(0, |n| u32::from_be_bytes(*n));
                    about.frames = frames as usize;
                }
                b"tEXt" | b"zTXt" => {
                    let packed = head[4] == b'z';
                    if let Some(text) = text(data, b"Raw profile type exif", usize::from(packed)) {
                        about.exif_text = from_hex(&unpacked(text, packed));
                    }
                }
                b"iTXt" => {
                    // A compression flag and method, then a language and a translated keyword.
                    if let Some(text) = text(data, b"XML:com.adobe.xmp", 2) {
                        let packed = data.get(data.len() - text.len() - 2) == Some(&1);
                        let mut parts = text.splitn(3, |&byte| byte == 0);
                        about.xmp = parts.nth(2).map(|text| unpacked(text, packed));
                    }
                }
                b"IEND" => break,
                _ => {}
            }
            // The checksum follows.
            rest = behind.get(length + 4..).unwrap_or_default();
        }
        Ok(about)
    }

    fn orientation(&self) -> Orientation {
        orientation::of(self.exif.or(self.exif_text.as_deref()), self.xmp.as_deref())
    }
}

/// The part of a text chunk after `keyword`, its NUL and `skip` further bytes.
fn text<'a>(data: &'a [u8], keyword: &[u8], skip: usize) -> Option<&'a [u8]> {
    data.strip_prefix(keyword)?.strip_prefix(b"\0")?.get(skip..)
}

fn unpacked(text: &[u8], packed: bool) -> Cow<'_, [u8]> {
    if !packed {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::new();
    // Use what can be unpacked; a damaged text is no reason to refuse a picture.
    let _ = flate2::read::ZlibDecoder::new(text).take(MOST_TEXT).read_to_end(&mut out);
    Cow::Owned(out)
}

/// Decodes hexadecimal after the first three lines.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.splitn(4, |&byte| byte == b'\n').nth(3)?;
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
    let digits: Vec<u8> = lines.iter().filter(|byte| !byte.is_ascii_whitespace()).map_while(digit).collect();
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
