//! What kind of file it is, told by its first bytes.

use std::path::Path;

use image::ImageFormat;

use super::ImageError;

/// The picture format that the first bytes announce, and its name.
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
        (Some(name), _) => format!("is a {name} file, which is not read"),
        (_, Some(other)) => format!("is of the format {other:?}, which is not read"),
        _ => "is not a picture of a known format".to_owned(),
    };
    let path = path.to_owned();
    Err(ImageError::NotAPicture { path, found })
}

/// Names of kinds of files that are taken for pictures and are none that is read here.
fn known(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        // ISO media files. A picture's brand may be the main one, or stand among the compatible ones.
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
