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
    let found = match (bytes.get(4..8), bytes.get(8..12), format) {
        // ISO media files: phones write pictures as HEIC.
        (Some(b"ftyp"), Some(b"heic" | b"heix" | b"mif1" | b"msf1"), _) => {
            "is a HEIC picture, which is not read".to_owned()
        }
        (_, _, Some(other)) => format!("is of the format {other:?}, which is not read"),
        _ => "is not a picture of a known format".to_owned(),
    };
    let path = path.to_owned();
    Err(ImageError::NotAPicture { path, found })
}
