//! Masks of every kind: their foreground, and the command's messages. `tests/golden/masks/cases.json` lists the files and the expectations.

/// The command's additions to the library's messages.
#[allow(dead_code)]
#[path = "../src/cli/advice.rs"]
mod advice;

use std::fs;
use std::path::{Path, PathBuf};

use diffews_wgpu::image_io::*;
use image::{GrayImage, Luma, Rgb};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
use serde_json::Value;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/masks").join(file)
}

fn reading(case: &Value) -> MaskReading {
    let how = &case["reading"];
    let source = match (how["value"].as_u64(), how["color"].as_array(), how["alpha"].as_bool()) {
        (Some(number), ..) => MaskSource::Value(number as u16),
        (_, Some(color), _) => MaskSource::Color(std::array::from_fn(|i| color[i].as_u64().unwrap() as u8)),
        (.., Some(true)) => MaskSource::Alpha,
        _ => MaskSource::Auto,
    };
    MaskReading { source, invert: how["invert"].as_bool().unwrap_or(false) }
}

fn told(warnings: &[MaskWarning]) -> Vec<String> {
    let line = |warning: &MaskWarning| {
        let text = format!("{warning}{}", advice::of_mask(warning));
        assert_eq!(text.lines().count(), 1, "{text}");
        format!("{}: {text}", if warning.is_note() { "note" } else { "warning" })
    };
    warnings.iter().map(line).collect()
}

#[test]
fn masks_of_every_kind() {
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(golden("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 40, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let want = image::open(golden(case["expected"].as_str().unwrap())).unwrap().into_luma8();
        let loaded = load_mask_with(&golden(case["file"].as_str().unwrap()), want.dimensions(), reading(case)).unwrap();
        let differ =
            loaded.mask.foreground().iter().zip(want.as_raw()).filter(|&(&got, &want)| got != (want > 0)).count();
        // JPEG moves edges slightly.
        let most = if case["file"].as_str().unwrap().ends_with(".jpg") { want.as_raw().len() / 100 } else { 0 };
        let said = told(&loaded.warnings);
        let parts: Vec<&str> = case["said"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        let as_said = said.len() == parts.len()
            && said.iter().zip(&parts).all(|(line, part)| {
                let (kind, part) = part.split_once(": ").unwrap();
                line.starts_with(kind) && line.contains(part)
            });
        if differ > most || !as_said {
            wrong.push(format!("{case}\n  {differ} pixels differ; {said:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn published_evaluations_know_white_and_nothing_else() {
    let how = MaskReading { source: MaskSource::HalfOfWhite, invert: false };
    let read = |file: &str| load_mask_with(&golden(file), (46, 34), how).unwrap();
    let none = read("labels_0_1.png");
    assert!(matches!(none.warnings[..], [MaskWarning::NoForeground { .. }]) && none.mask.foreground_fraction() == 0.0);
    // Transparent pixels count by their colour.
    let object = load_mask(&golden("object.png"), (46, 34)).unwrap().mask;
    assert!(read("alpha_white_hidden.png").mask.foreground_fraction() > object.foreground_fraction());
    assert_eq!(read("trimap.png").mask, load_mask(&golden("grown.png"), (46, 34)).unwrap().mask);
    assert_eq!(read("object.png"), LoadedMask { mask: object, warnings: vec![] });
}

#[test]
fn what_no_pixel_has_is_an_error_that_says_what_is_there() {
    let refused = |file: &str, source| {
        let how = MaskReading { source, invert: false };
        let text = advice::describe(&load_mask_with(&golden(file), (46, 34), how).unwrap_err().into());
        assert!(text.contains(file) && text.lines().count() == 1, "{text}");
        text
    };
    let text = refused("labels_0_1_2_255.png", MaskSource::Value(7));
    assert!(text.contains("no visible pixel of the mask is 7; it holds 0, ") && text.contains("255"), "{text}");
    let text = refused("two_colours.png", MaskSource::Color([1, 2, 3]));
    assert!(text.contains("1,2,3; it holds 200,171,44; 17,39,0"), "{text}");
    let text = refused("two_colours.png", MaskSource::Value(1));
    assert!(text.contains("--mask-color"), "{text}");
    let text = refused("labels_0_1.png", MaskSource::Alpha);
    assert!(text.contains("no alpha"), "{text}");
    // If there are many, the most frequent ones.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ramp.png");
    GrayImage::from_fn(200, 1, |x, _| Luma([x as u8])).save(&path).unwrap();
    let how = MaskReading { source: MaskSource::Value(255), invert: false };
    let text = load_mask_with(&path, (200, 1), how).unwrap_err().to_string();
    assert!(text.ends_with("188 more"), "{text}");
}

#[test]
fn nothing_and_everything_are_told_of_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mask.png");
    let inverted = |level: u8| {
        GrayImage::from_pixel(4, 2, Luma([level])).save(&path).unwrap();
        let how = MaskReading { source: MaskSource::Auto, invert: true };
        load_mask_with(&path, (4, 2), how).unwrap()
    };
    let (none, all) = (inverted(255), inverted(0));
    assert_eq!((none.mask.foreground_fraction(), none.warnings), (0.0, vec![MaskWarning::InvertedAway]));
    assert_eq!((all.mask.foreground_fraction(), all.warnings), (1.0, vec![MaskWarning::NoBackground]));
}

/// A JPEG of `width` x `height` with an EXIF orientation.
fn turned_picture(path: &Path, (width, height): (u32, u32), orientation: u8) {
    let picture = image::RgbImage::from_fn(width, height, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, 90]));
    let (w, h) = (width as usize, height as usize);
    let mut jpeg = compress(picture.as_raw(), w, h, PixelFormat::Rgb, 75, Subsampling::S444).unwrap();
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() + 2) as u16;
    jpeg.splice(2..2, [&[0xff, 0xe1][..], &length.to_be_bytes(), &exif].concat());
    fs::write(path, jpeg).unwrap();
}

#[test]
fn a_mask_of_the_stored_orientation_is_turned_with_its_picture() {
    let directory = tempfile::tempdir().unwrap();
    let (image, path) = (directory.path().join("picture.jpg"), directory.path().join("mask.png"));
    let load = |size: (u32, u32), orientation: u8, mask: (u32, u32)| {
        turned_picture(&image, size, orientation);
        // The top left pixels.
        GrayImage::from_fn(mask.0, mask.1, |x, y| Luma([255 * u8::from(x < 2 && y < 3)])).save(&path).unwrap();
        load_mask_of(&path, &load_rgb_with(&image, &PictureOptions::default()).unwrap(), MaskReading::default())
    };
    // Orientation 6: the stored top is displayed on the right.
    let turned = load((12, 8), 6, (12, 8)).unwrap();
    assert_eq!((turned.mask.size(), &turned.warnings[..]), ((8, 12), &[MaskWarning::Turned][..]));
    let corner = BoundingBox { x: 5, y: 0, width: 3, height: 2 };
    assert_eq!(turned.mask.bounding_box(), Some(corner));
    // A mask of the displayed picture stays as it is, without ambiguity.
    let upright = load((12, 8), 6, (8, 12)).unwrap();
    assert_eq!((upright.mask.size(), &upright.warnings[..]), ((8, 12), &[][..]));
    // Here the size does not decide.
    for (size, orientation) in [((12, 8), 3), ((8, 8), 6), ((12, 8), 2)] {
        let open = load(size, orientation, size).unwrap();
        assert_eq!(open.warnings, [MaskWarning::NotTurned], "{orientation}");
        assert_eq!(open.mask.bounding_box(), Some(BoundingBox { x: 0, y: 0, width: 2, height: 3 }));
    }
    assert_eq!(load((12, 8), 1, (12, 8)).unwrap().warnings, []);
    // Without a rotated picture there is no reason to rotate the mask.
    let text = load((12, 8), 1, (8, 12)).unwrap_err().to_string();
    assert!(text.contains("8 x 12") && text.contains("12 x 8") && text.contains("turn"), "{text}");
}
