//! Pictures in JSON: base64 to pixels and back.

use super::problem::Problem;
use crate::image_io::{
    self, BoundingBox, LoadedPicture, Mark, Marks, Mask, MaskReading, MaskWarning, PictureOptions, RgbImage, Stroke,
};
use crate::segment::Example;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde::Deserialize;
use std::borrow::Cow;
use std::path::Path;
use utoipa::ToSchema;

/// Most pixels of a picture, checked before decoding: several pictures are in memory at once.
const MOST_PIXELS: u64 = 64 << 20;

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);

/// Decodes base64, which may be a `data:` URL and have line breaks. `what` names it in messages.
pub fn bytes(what: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let bad = |reason: &str| Problem::bad(format!("{what}: {reason}"));
    let text = match text.strip_prefix("data:") {
        Some(url) => match url.split_once(',') {
            Some((head, data)) if head.ends_with(";base64") => data,
            _ => return Err(bad("is a data URL that is not in base64")),
        },
        None => text,
    };
    let text = match text.contains(|c: char| c.is_ascii_whitespace()) {
        true => Cow::Owned(text.split_ascii_whitespace().collect::<String>()),
        false => Cow::Borrowed(text),
    };
    if text.is_empty() {
        return Err(bad("there is no picture; give its file in base64"));
    }
    BASE64.decode(text.as_bytes()).map_err(|error| bad(&format!("is not base64: {error}")))
}

/// Decodes a picture from base64, in display orientation.
pub fn picture(what: &str, text: &str) -> Result<LoadedPicture, Problem> {
    decoded(what, &bytes(what, text)?)
}

/// Decodes a picture file, in display orientation.
pub fn decoded(what: &str, bytes: &[u8]) -> Result<LoadedPicture, Problem> {
    let name = Path::new(what);
    check_size(what, bytes)?;
    image_io::load_rgb_from(bytes, name, &PictureOptions::default()).map_err(|e| Problem::bad(e.to_string()))
}

fn check_size(what: &str, bytes: &[u8]) -> Result<(), Problem> {
    let (width, height) =
        image_io::dimensions_from(bytes, Path::new(what)).map_err(|error| Problem::bad(error.to_string()))?;
    match u64::from(width) * u64::from(height) > MOST_PIXELS {
        true => {
            let detail =
                format!("{what}: {width} x {height} pixels are more than the {MOST_PIXELS} that this server reads");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        false => Ok(()),
    }
}

/// An example in a request: a picture, and a mask or marks.
#[derive(Deserialize, ToSchema)]
#[schema(as = Example)]
#[serde(deny_unknown_fields)]
pub struct Shown<'a> {
    /// A picture's file in base64, which may be a data URL.
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1)]
    image: Cow<'a, str>,
    /// A mask file in base64, of the picture's size: white on black, coloured, or a cut-out.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 1)]
    mask: Option<Cow<'a, str>>,
    /// Alternative to a mask. Boxes around the thing: left, top, right and bottom, in whole pixels.
    #[serde(default)]
    boxes: Vec<[u32; 4]>,
    /// Alternative to a mask, also together with boxes.
    #[serde(default)]
    strokes: Vec<Drawn>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = Stroke)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// x and y in pixels.
    points: Vec<[f32; 2]>,
    /// In pixels.
    width: Option<f32>,
    /// Whether the stroke is on the thing (true) or off it (false).
    #[serde(default = "inside")]
    inside: bool,
}

fn inside() -> bool {
    true
}

impl Shown<'_> {
    /// The example and warnings about its mask. `number` counts from 0.
    pub fn example(&self, number: usize) -> Result<(Example, Vec<String>), Problem> {
        let told = |warning: MaskWarning| format!("example {number}: {warning}");
        let picture = picture(&format!("image of example {number}"), &self.image)?;
        let (mask, warnings) = match &self.mask {
            Some(_) if !(self.boxes.is_empty() && self.strokes.is_empty()) => {
                return Err(Problem::bad(format!("example {number} has a mask and marks; give one of them")));
            }
            Some(mask) => {
                let what = format!("mask of example {number}");
                let bytes = bytes(&what, mask)?;
                check_size(&what, &bytes)?;
                let how = MaskReading::default();
                let loaded = image_io::load_mask_from(&bytes[..], Path::new(&what), &picture, how)
                    .map_err(|error| Problem::bad(error.to_string()))?;
                (loaded.mask, loaded.warnings.into_iter().map(told).collect())
            }
            None => (self.marked(number, &picture.rgb)?, Vec::new()),
        };
        let example = Example::new(picture.rgb, mask).map_err(|error| Problem::from(&error))?;
        Ok((example, warnings))
    }

    /// The mask made from its boxes and strokes.
    pub fn mask_of_marks(&self) -> Result<Mask, Problem> {
        match self.mask {
            Some(_) => Err(Problem::bad("this request has a mask; send boxes or strokes without it")),
            None => self.marked(0, &picture("image", &self.image)?.rgb),
        }
    }

    fn marked(&self, number: usize, rgb: &RgbImage) -> Result<Mask, Problem> {
        let bad = |reason: String| Problem::bad(format!("example {number}: {reason}"));
        let boxed = |&[x, y, right, bottom]: &[u32; 4]| match x < right && y < bottom {
            true => Ok(BoundingBox { x, y, width: right - x, height: bottom - y }),
            false => Err(bad("a box must be [left, top, right, bottom] in whole pixels".into())),
        };
        let stroke = |drawn: &Drawn| {
            let mark = if drawn.inside { Mark::Inside } else { Mark::Outside };
            Stroke { points: drawn.points.clone(), width: drawn.width, mark }
        };
        let boxes = self.boxes.iter().map(boxed).collect::<Result<_, _>>()?;
        let marks = Marks { boxes, strokes: self.strokes.iter().map(stroke).collect(), painted: None };
        marks.mask(rgb).map_err(|error| bad(error.to_string()))
    }
}

/// A mask as a PNG in base64, 255 for foreground.
pub fn mask_png(mask: &Mask) -> Result<String, Problem> {
    let levels: Vec<u8> = mask.foreground().iter().map(|&on| 255 * u8::from(on)).collect();
    grey_png(&levels, mask.size())
}

/// A PNG of one grey channel, in base64.
pub fn grey_png(levels: &[u8], (width, height): (u32, u32)) -> Result<String, Problem> {
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
        .write_image(levels, width, height, ExtendedColorType::L8)
        .map_err(|error| Problem::internal(format!("the result cannot be encoded: {error}")))?;
    Ok(BASE64.encode(png))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_clients_write_it() {
        for text in ["aGk=", "aGk", "data:image/png;base64,aGk=", "aG\r\nk=\n"] {
            assert_eq!(bytes("image", text).unwrap(), b"hi", "{text}");
        }
        for text in ["", "data:image/png;base64,", "data:text/plain,hi", "a", "aGk=!", "é"] {
            let problem = bytes("image", text).unwrap_err();
            assert!(problem.status == 400 && problem.detail.starts_with("image: "), "{text}: {problem:?}");
        }
    }

    #[test]
    fn sizes_come_before_pixels() {
        // One bit per pixel: 16 MiB of zeros, compressed to 16 KiB in the file.
        let (width, height) = (1 << 14, 1 << 13);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![0; (width * height / 8) as usize]).unwrap();
        writer.finish().unwrap();
        let problem = picture("image", &BASE64.encode(&file)).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.detail.contains("16384 x 8192")), (413, true), "{problem:?}");
        assert_eq!(picture("image", &BASE64.encode(&file[..40])).unwrap_err().status, 400);
    }
}
