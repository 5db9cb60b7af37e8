//! Detects the kind of a file or stream by its first bytes.

use std::path::Path;

use image::ImageFormat;

use super::ImageError;

/// The picture format by the first bytes, and its name.
pub(super) fn sniff(path: &Path, bytes: &[u8]) -> Result<(ImageFormat, &'static str), ImageError> {
    if bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+") {
        return Ok((ImageFormat::Tiff, "TIFF"));
    }
    let format = image::guess_format(bytes).ok();
    if let Some(format) = format {
        let name = match format {
            ImageFormat::Jpeg => "JPEG",
            ImageFormat::Png => "PNG",
            ImageFormat::WebP => "WebP",
            ImageFormat::Bmp => "BMP",
            ImageFormat::Tiff => "TIFF",
            ImageFormat::Gif => "GIF",
            _ => "",
        };
        if !name.is_empty() {
            return Ok((format, name));
        }
    }
    let found = match (known(bytes), format) {
        (Some(name), _) => format!("is a {name} file, which is not supported"),
        (_, Some(other)) => format!("has the format {other:?}, which is not supported"),
        _ => "is not a picture of a known format".to_owned(),
    };
    let path = path.to_owned();
    Err(ImageError::NotAPicture { path, found })
}

/// Names of formats that are often used for pictures but are not supported here.
fn known(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        // ISO media files. A picture's brand is the main one or among the compatible ones.
        let length = bytes.first_chunk::<4>().map_or(0, |n| u32::from_be_bytes(*n) as usize);
        let brands = bytes.get(8..length.clamp(8, bytes.len().min(256))).unwrap_or_default();
        let any = |wanted: &[&[u8; 4]]| brands.chunks_exact(4).any(|brand| wanted.iter().any(|w| *w == brand));
        return Some(match () {
            () if any(&[b"avif", b"avis"]) => "AVIF",
            // Phones write pictures as HEIC.
            () if any(&[b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"]) => "HEIC",
            () if any(&[b"crx "]) => "Canon raw",
            () => "video",
        });
    }
    let starts: [(&[u8], &str); 9] = [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"8BPS", "Photoshop"),
        (b"%PDF", "PDF"),
        (b"<svg", "SVG"),
        (b"<?xml", "SVG or XML"),
        (b"DICM", "DICOM"),
    ];
    if bytes.get(128..132) == Some(b"DICM") {
        return Some("DICOM");
    }
    starts.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
}

/// The kind of a stream by its first bytes: a picture, or a text such as a list of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// A picture, or anything else that is not text.
    Picture,
    /// UTF-8 without control characters, in lines or in NUL-terminated parts.
    Text,
    /// More bytes are needed.
    Short,
}

/// This many bytes are always enough: headers of pictures have zeros among them.
const TELLING: usize = 64;

/// Decides on as few bytes as possible, so that a program that writes a line and waits gets an answer. `ended`: no more bytes will come.
pub fn beginning(bytes: &[u8], ended: bool) -> Beginning {
    // Files that begin like text: text formats, and binary ones whose zeros come later.
    const TEXTS: [&[u8]; 3] = [b"%PDF", b"<svg", b"<?xml"];
    const HEADERS: [&[u8]; 6] = [b"BM", b"GIF8", b"RIFF", b"II*", b"II+", b"MM\0"];
    let bytes = &bytes[..bytes.len().min(TELLING)];
    let like = |starts: &[&[u8]]| starts.iter().any(|start| bytes.starts_with(start) || start.starts_with(bytes));
    let whole = |starts: &[&[u8]]| starts.iter().any(|start| bytes.starts_with(start));
    if !is_text(bytes, ended) || whole(&TEXTS) {
        return Beginning::Picture;
    }
    let told = ended || bytes.len() == TELLING;
    let line = bytes.iter().any(|b| matches!(b, b'\n' | 0));
    match told || line && !like(&TEXTS) && !like(&HEADERS) {
        true => Beginning::Text,
        false => Beginning::Short,
    }
}

/// Whether these are the first bytes of a text; the last character may be cut off.
fn is_text(bytes: &[u8], ended: bool) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && !(ended && bytes.len() < TELLING) => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    // Names are not empty, so NULs do not follow each other.
    let empty = bytes.first() == Some(&0) || bytes.windows(2).any(|pair| pair == [0, 0]);
    !empty && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_from_pictures() {
        let picture = |format| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            // 266 and 10 give line feeds in the size fields.
            image::RgbImage::new(266, 10).write_to(&mut bytes, format).unwrap();
            bytes.into_inner()
        };
        let formats = [ImageFormat::Png, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP];
        let mut pictures: Vec<Vec<u8>> = formats.into_iter().map(picture).collect();
        pictures.extend([
            b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(),
            b"II*\0\n\0\0\0\0\0".to_vec(),
            b"MM\0*\0\0\0\x08".to_vec(),
            b"RIFF\n\x01\0\0WEBPVP8 ".to_vec(),
            b"%PDF-1.7\n".to_vec(),
            b"<?xml version".to_vec(),
            b"\0\0\0\x18ftypheic".to_vec(),
            b"caf\xe9.png\n".to_vec(),
        ]);
        for bytes in &pictures {
            // With any number of bytes at a time.
            let told: Vec<Beginning> = (1..=bytes.len()).map(|n| beginning(&bytes[..n], n == bytes.len())).collect();
            let first = told.iter().find(|told| **told != Beginning::Short);
            assert_eq!(first, Some(&Beginning::Picture), "{:?}", &bytes[..bytes.len().min(12)]);
        }
        let texts: [&[u8]; 8] = [
            b"a.png\nb.png\n",
            b"a.png\0b\nb.png\0",
            b"a.png\r\n",
            "\u{444}\u{43e}\u{442}\u{43e}/1.png\n".as_bytes(),
            b"no line feed.png",
            b"GIF89a.png\n",
            b"BM\n",
            b"II*.png",
        ];
        for bytes in texts {
            let told: Vec<Beginning> = (1..=bytes.len()).map(|n| beginning(&bytes[..n], n == bytes.len())).collect();
            let first = told.iter().find(|told| **told != Beginning::Short);
            assert_eq!(first, Some(&Beginning::Text), "{:?}", String::from_utf8_lossy(bytes));
        }
        // A line that cannot be a picture decides at once.
        assert_eq!(beginning(b"a.png\n", false), Beginning::Text);
        assert_eq!(beginning(b"a.pn", false), Beginning::Short);
        assert_eq!(beginning(b"", true), Beginning::Text);
    }
}
