//! The orientation of a picture, found like Pillow's `exif_transpose`: in EXIF with any type of number, else in XMP.

use image::metadata::Orientation;

use super::tiff::directory::{Directory, File};

/// EXIF's tag of the orientation.
const ORIENTATION: u16 = 274;

/// The orientation in EXIF or XMP.
pub fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    // JPEG's EXIF header may precede the TIFF.
    let tiff = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    let directory = tiff.and_then(File::new).and_then(|file| file.directories().into_iter().next());
    from_tags(directory.as_ref(), xmp)
}

/// The orientation in a directory, else in XMP.
pub fn from_tags(directory: Option<&Directory>, xmp: Option<&[u8]>) -> Orientation {
    let number = directory.and_then(|directory| directory.number(ORIENTATION));
    let number = number.or_else(|| in_xmp(xmp?).map(u64::from));
    number.and_then(|n| Orientation::from_exif(u8::try_from(n).ok()?)).unwrap_or(Orientation::NoTransforms)
}

/// The digit after the first `tiff:Orientation="` or `tiff:Orientation>`.
fn in_xmp(xmp: &[u8]) -> Option<u8> {
    let name = b"tiff:Orientation";
    let behind =
        xmp.windows(name.len()).enumerate().filter(|(_, window)| window == name).map(|(at, _)| at + name.len());
    behind
        .filter_map(|at| {
            let rest = &xmp[at..];
            let rest = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
            rest.first().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0')
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exif_comes_before_xmp_and_any_type_of_number_counts() {
        let exif = |kind: u8, value: [u8; 4]| {
            let mut bytes = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0".to_vec();
            bytes.extend([kind, 0, 0, 0, 1]);
            bytes.extend(value);
            bytes.extend([0; 4]);
            bytes
        };
        let (short, long) = (exif(3, [0, 6, 0, 0]), exif(4, [0, 0, 0, 6]));
        let xmp: &[u8] = b"<x tiff:Orientationless='1' tiff:Orientation=\"3\"/>";
        assert_eq!(of(Some(&short), Some(xmp)), Orientation::Rotate90);
        assert_eq!(of(Some(&long[6..]), None), Orientation::Rotate90);
        assert_eq!(of(None, Some(xmp)), Orientation::Rotate180);
        assert_eq!(of(Some(b"Exif\0\0MM"), Some(b"<tiff:Orientation>8</tiff:Orientation>")), Orientation::Rotate270);
        // An invalid number in EXIF takes precedence over XMP, too.
        assert_eq!(of(Some(&exif(3, [0, 9, 0, 0])), Some(xmp)), Orientation::NoTransforms);
        assert_eq!(of(None, Some(b"tiff:Orientation='6' and tiff:Orientation>")), Orientation::NoTransforms);
    }
}
