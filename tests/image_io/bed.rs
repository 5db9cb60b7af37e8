//! Fixtures and pictures that the tests share.

use diffews_wgpu::image_io::*;
use image::{ImageFormat, Rgb};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
use std::fs;
use std::path::{Path, PathBuf};
use tiff::encoder::colortype::{ColorType, RGB8};
use tiff::encoder::{TiffEncoder, TiffValue};

pub fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

pub fn cases(folder: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(golden(folder).join("cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 10, "{folder}: only {} cases", cases.len());
    cases
}

pub fn text<'a>(case: &'a serde_json::Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}

pub fn number(case: &serde_json::Value, key: &str) -> u32 {
    case[key].as_u64().unwrap() as u32
}

/// A picture with an edge, a gradient and some noise, the same in every run.
pub fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 7;
        Rgb([(x * 5) as u8, if x > y { 250 } else { 10 }, noise as u8])
    })
}

pub fn all_formats() -> [ImageFormat; 5] {
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff]
}

/// Writes `picture` with an encoder other than the reader's, where there is one.
pub fn save(picture: &RgbImage, path: &Path, format: ImageFormat) {
    let (width, height) = picture.dimensions();
    match format {
        ImageFormat::Jpeg => {
            let (w, h) = (width as usize, height as usize);
            fs::write(path, compress(picture.as_raw(), w, h, PixelFormat::Rgb, 75, Subsampling::S444).unwrap())
                .unwrap();
        }
        ImageFormat::Tiff => write_tiff::<RGB8>(path, (width, height), picture.as_raw()),
        _ => picture.save_with_format(path, format).unwrap(),
    }
}

pub fn write_tiff<C: ColorType>(path: &Path, (width, height): (u32, u32), samples: &[C::Inner])
where
    [C::Inner]: TiffValue,
{
    let mut encoder = TiffEncoder::new(fs::File::create(path).unwrap()).unwrap();
    encoder.write_image::<C>(width, height, samples).unwrap();
}

/// Every name in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An error's message, which must be one line that names the file.
pub fn message<T>(result: Result<T, ImageError>, path: &Path) -> String {
    let message = result.map(|_| ()).expect_err("an error was due").to_string();
    assert!(message.starts_with(&path.display().to_string()), "does not name the file: {message}");
    assert_eq!(message.lines().count(), 1, "more than a line: {message}");
    message
}
