//! Reading and writing pictures: decoding compared with PIL's results, masks, resizing, thresholds, hostile input, and files left on disk.
//! `tests/golden/{images,resize}/cases.json` list the fixtures and their contents.

mod bed;
mod resize;
mod written;

use bed::{all_formats, cases, golden, message, number, picture, save, text, write_tiff};
use diffews_wgpu::image_io::*;
use image::{ExtendedColorType, GrayImage, ImageFormat, Luma};
use std::fs;
use std::path::Path;
use tiff::encoder::colortype::RGB32Float;

#[test]
fn pictures_decode_as_pil_does() {
    for case in cases("images").iter().filter(|case| text(case, "kind") == "image") {
        let got = load_rgb(&golden("images").join(text(case, "file"))).unwrap();
        let want = load_rgb(&golden("images").join(text(case, "expected"))).unwrap();
        assert_eq!(got.dimensions(), want.dimensions(), "{case}");
        let worst = got.iter().zip(want.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(u32::from(worst) <= number(case, "tolerance"), "{case}: differs by {worst}");
    }
}

#[test]
fn masks_of_every_kind_are_read() {
    let mut grey = Vec::new();
    for case in cases("images").iter().filter(|case| text(case, "kind") == "mask") {
        let want = load_rgb(&golden("images").join(text(case, "expected"))).unwrap();
        let got = load_mask(&golden("images").join(text(case, "file")), want.dimensions()).unwrap();
        match &got.warnings[..] {
            [] => {}
            [MaskWarning::Grey { .. }] => grey.push(text(case, "file").to_owned()),
            others => panic!("{case}: {others:?}"),
        }
        let want: Vec<bool> = want.chunks_exact(3).map(|p| p[0] >= 128).collect();
        assert!(want.contains(&true) && want.contains(&false));
        assert_eq!(got.mask.foreground(), want, "{case}");
    }
    // Exactly the masks with all levels of grey.
    assert_eq!(grey, ["mask_levels.png", "mask_16bit.png"]);
}

#[test]
fn every_format_is_told_by_content_not_by_name() {
    let directory = tempfile::tempdir().unwrap();
    for format in all_formats() {
        let path = directory.path().join("picture.txt");
        save(&picture(37, 21), &path, format);
        let got = load_rgb(&path).unwrap();
        assert_eq!(got.dimensions(), (37, 21));
        if format != ImageFormat::Jpeg {
            assert_eq!(got, picture(37, 21), "{format:?}");
        }
    }
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.png");
    let refuse = |bytes: &[u8], part: &str| {
        fs::write(&path, bytes).unwrap();
        let text = message(load_rgb(&path), &path);
        assert!(text.contains(part), "{text}");
        assert_eq!(message(load_mask(&path, (1, 1)), &path), text);
    };
    refuse(b"", "empty");
    refuse(b"x", "not a picture");
    refuse(b"hello, this is a text of some length", "not a picture");
    refuse(b"GIF89a\x01\x00\x01\x00\x00\x00\x00", "cannot be decoded as GIF");
    refuse(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC");
    refuse(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF");
    refuse(b"\xff\x0a....", "JPEG XL");
    refuse(b"\x89PNG\r\n\x1a\n", "cannot be decoded as PNG");
    refuse(b"\xff\xd8\xff\xd9 no more than two markers", "JPEG");
    refuse(b"BM", "BMP");
    let text = message(load_rgb(directory.path()), directory.path());
    assert!(text.contains("is a directory"), "{text}");
    let absent = directory.path().join("absent.png");
    assert!(message(load_rgb(&absent), &absent).contains("cannot be read"));
}

#[test]
fn truncated_pictures_are_errors_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut");
    for format in all_formats() {
        save(&picture(64, 48), &path, format);
        let whole = fs::read(&path).unwrap();
        for part in [0.02, 0.1, 0.3, 0.5, 0.7, 0.9] {
            // A TIFF's directory may lie before or after its samples; a cut may remove either.
            fs::write(&path, &whole[..(whole.len() as f64 * part) as usize]).unwrap();
            message(load_rgb(&path), &path);
        }
    }
}

#[test]
fn damaged_pictures_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged");
    let mut seed = 12_345_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for format in all_formats() {
        save(&picture(40, 30), &path, format);
        let whole = fs::read(&path).unwrap();
        for round in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                // Half of the damage goes to the headers.
                let reach = if round % 2 == 0 { bytes.len() } else { bytes.len().min(64) };
                let at = random(reach);
                bytes[at] = random(256) as u8;
            }
            fs::write(&path, bytes).unwrap();
            match load_rgb(&path) {
                Ok(rgb) => assert!(!rgb.is_empty()),
                Err(error) => assert_eq!(error.to_string().lines().count(), 1),
            }
        }
    }
}

/// The first 54 bytes of a 24-bit BMP: its claims, without the samples.
fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend(b"\x01\0\x18\0");
    bytes.resize(54, 0);
    bytes
}

#[test]
fn pictures_beyond_the_limits_are_refused_before_memory_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.bmp");
    let refused = |width: u32, height: u32| {
        let text = message(load_rgb(&path), &path);
        assert!(text.contains(&format!("{width} x {height} pixels")) && text.contains("268 million"), "{text}");
    };
    fs::write(&path, bmp_header(30_000, 20_000)).unwrap();
    refused(30_000, 20_000);
    for (width, height) in [(300_000, 1), (1, 300_000)] {
        GrayImage::new(width, height).save_with_format(&path, ImageFormat::Png).unwrap();
        refused(width, height);
    }
    // Within the limits, but the samples are missing.
    fs::write(&path, bmp_header(1000, 1000)).unwrap();
    assert!(message(load_rgb(&path), &path).contains("cannot be decoded as BMP"));
}

#[test]
fn a_mask_of_another_size_names_both_sizes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mask.png");
    GrayImage::new(5, 4).save(&path).unwrap();
    let text = message(load_mask(&path, (4, 5)), &path);
    assert!(text.contains("5 x 4") && text.contains("4 x 5"), "{text}");
}

#[test]
fn masks_without_foreground_or_background_come_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mask.png");
    let load = |mask: GrayImage| {
        mask.save(&path).unwrap();
        load_mask(&path, mask.dimensions()).unwrap()
    };
    let black = load(GrayImage::new(4, 2)).warnings;
    assert_eq!(black, [MaskWarning::NoForeground { brightest: 0.0, alpha: false }]);
    assert!(black[0].to_string().contains("black"));
    let dark = load(GrayImage::from_pixel(4, 2, Luma([1]))).warnings;
    let text = dark[0].to_string();
    assert!(dark.len() == 1 && text.contains("0.4 %") && text.lines().count() == 1, "{text}");
    let white = load(GrayImage::from_pixel(4, 2, Luma([255])));
    assert_eq!((white.warnings, white.mask.foreground_fraction()), (vec![MaskWarning::NoBackground], 1.0));
    // A single pixel has one warning or the other, never none.
    assert_eq!(load(GrayImage::new(1, 1)).warnings.len(), 1);
}

#[test]
fn sixteen_bit_floats_and_two_channel_pictures() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    // Grey and alpha: alpha is dropped.
    image::save_buffer_with_format(&path, &[9, 0, 200, 255], 2, 1, ExtendedColorType::La8, ImageFormat::Png).unwrap();
    assert_eq!(load_rgb(&path).unwrap().as_raw(), &[9, 9, 9, 200, 200, 200]);
    // Floating-point samples have no white point.
    write_tiff::<RGB32Float>(&path, (1, 1), &[0.1, 0.2, 0.3]);
    assert!(message(load_rgb(&path), &path).contains("floating-point"));
}

/// A palette of 4 bytes, on which the decoder panics (image-png #694), so it is refused earlier.
fn png_of_a_broken_palette() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![9, 9, 9, 9]);
    encoder.write_header().unwrap().write_image_data(&[0, 0, 0, 0]).unwrap();
    bytes
}

#[test]
fn what_decoders_panic_on_is_an_error_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("palette.png");
    fs::write(&path, png_of_a_broken_palette()).unwrap();
    assert!(message(load_rgb(&path), &path).contains("cannot be decoded as PNG: its palette has 4 bytes"));
    message(load_mask(&path, (2, 2)), &path);
    // Nothing refuses these before the decoder, so its panic is caught.
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fuzz/seeds/jpeg");
    for name in ["divides-by-zero.jpg", "index-32-of-32.jpg", "index-of-nothing.jpg", "index-of-nothing-2.jpg"] {
        let text = message(load_rgb(&seeds.join(name)), &seeds.join(name));
        assert!(text.contains("cannot be decoded as JPEG: the decoder panicked"), "{text}");
    }
}

#[test]
fn strips_that_lie_in_one_another_are_refused_before_they_are_unpacked() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fuzz/seeds/tiff/strips-in-one-another.tif");
    assert!(message(load_rgb(&path), &path).contains("claim 16707584 bytes of a file of 24630"));
}

#[test]
fn a_masks_size_is_compared_before_it_is_decoded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mask.bmp");
    // The samples are missing, which decoding would detect.
    fs::write(&path, bmp_header(1000, 800)).unwrap();
    let refusal = |size| message(load_mask(&path, size), &path);
    assert!(refusal((1000, 801)).contains("1000 x 800"));
    assert!(refusal((1000, 800)).contains("cannot be decoded") && refusal((800, 1000)).contains("1000 x 800"));
    assert_eq!(dimensions(&path).unwrap(), (1000, 800));
    assert_eq!(
        dimensions(&golden("images/exif_6.jpg")).unwrap(),
        load_rgb(&golden("images/exif_6.jpg")).unwrap().dimensions()
    );
}

#[test]
fn what_the_user_must_be_told_comes_along() {
    let told = |name: &str| load_rgb_with(&golden("images/corpus").join(name), &PictureOptions::PIL).unwrap().notes;
    assert_eq!(told("tiff_pages.tif"), [Note::Pages { pages: 2 }]);
    assert_eq!(told("tiff_thumbnail_first.tif"), []);
    assert_eq!(told("tiff_sparse_tile.tif"), [Note::Sparse { missing: 1, chunks: 12 }]);
    assert_eq!(told("gif_animation.gif"), [Note::Frames { frames: 3 }]);
    assert_eq!(told("webp_animation.webp"), [Note::Frames { frames: 3 }]);
    assert_eq!(told("png_animation.png"), [Note::Frames { frames: 3 }]);
}

/// An uncompressed little-endian TIFF with several 16-bit bands and no colour interpretation.
fn banded_tiff(width: u16, height: u16, bands: u16, samples: &[u16]) -> Vec<u8> {
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 3, 1, width.into()),
        (257, 3, 1, height.into()),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1, bands.into()),
        (278, 3, 1, height.into()),
        (279, 4, 1, 2 * samples.len() as u32),
    ];
    let mut bytes = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, kind, count, value) in entries {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    bytes.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    bytes
}

#[test]
fn bands_of_a_scientific_picture_become_its_colours() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bands.tif");
    // Two 16-bit pixels of five bands; the high byte counts.
    let samples: Vec<u16> = (0..10).map(|i| i * 25 * 256 + 7).collect();
    fs::write(&path, banded_tiff(2, 1, 5, &samples)).unwrap();
    assert!(message(load_rgb(&path), &path).contains("5 bands"));
    let of = |numbers: &[u16]| {
        let options = PictureOptions { bands: Bands::new(numbers), ..Default::default() };
        load_rgb_with(&path, &options).map(|picture| picture.rgb.into_raw())
    };
    assert_eq!(of(&[5, 3, 2]).unwrap(), [100, 50, 25, 225, 175, 150]);
    assert_eq!(of(&[4]).unwrap(), [75, 75, 75, 200, 200, 200]);
    assert!(of(&[1, 6, 2]).unwrap_err().to_string().contains("5 bands, but band 6"));
    // In other formats, too: alpha is the fourth band.
    let rgba = [1, 2, 3, 200, 4, 5, 6, 100];
    image::save_buffer_with_format(&path, &rgba, 2, 1, ExtendedColorType::Rgba8, ImageFormat::Png).unwrap();
    assert_eq!(of(&[4, 1, 1]).unwrap(), [200, 1, 1, 100, 4, 4]);
}
