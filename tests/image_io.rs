//! Picture files in and out: decoding against PIL's results, masks, resizing, thresholds, hostile input, and what is
//! left on the disk. The fixtures and what they hold are listed in `tests/golden/{images,resize}/cases.json`.

use std::fs;
use std::path::{Path, PathBuf};

use diffews_wgpu::image_io::*;
use image::{ExtendedColorType, GrayImage, ImageFormat, Luma, Rgb};

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn cases(folder: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(golden(folder).join("cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 10, "{folder}: only {} cases", cases.len());
    cases
}

fn text<'a>(case: &'a serde_json::Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}

fn number(case: &serde_json::Value, key: &str) -> u32 {
    case[key].as_u64().unwrap() as u32
}

/// A picture with an edge, a gradient and some noise, the same at every run.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 7;
        Rgb([(x * 5) as u8, if x > y { 250 } else { 10 }, noise as u8])
    })
}

fn all_formats() -> [ImageFormat; 5] {
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff]
}

/// Every name in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An error's message, which must be one line that names the file.
fn message<T>(result: Result<T, ImageError>, path: &Path) -> String {
    let message = result.map(|_| ()).expect_err("an error was due").to_string();
    assert!(message.starts_with(&path.display().to_string()), "does not name the file: {message}");
    assert_eq!(message.lines().count(), 1, "more than a line: {message}");
    message
}

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
    // Those with all levels of grey, and no other.
    assert_eq!(grey, ["mask_levels.png", "mask_16bit.png"]);
}

#[test]
fn bilinear_resize_equals_both_pillows_in_every_sample() {
    let mut orders = 0;
    for case in cases("resize") {
        let input = load_rgb(&golden("resize").join(text(&case, "input"))).unwrap();
        let want = load_rgb(&golden("resize").join(text(&case, "output"))).unwrap();
        let got = resize_bilinear_rgb(&input, number(&case, "width"), number(&case, "height"));
        assert_eq!(got.dimensions(), want.dimensions(), "{case}");
        let differing = got.iter().zip(want.iter()).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{case}: {differing} of {} samples", want.len());
        let older = load_rgb(&golden("resize").join(text(&case, "rows_first"))).unwrap();
        let rows_first = resize_bilinear_rgb_rows_first(&input, number(&case, "width"), number(&case, "height"));
        assert_eq!(rows_first, older, "{case}");
        // The fixtures tell the orders apart, which lie within one level of each other.
        orders += usize::from(older != want);
        assert!(older.iter().zip(want.iter()).all(|(a, b)| a.abs_diff(*b) <= 1), "{case}");
        // The float resize is the same filter: the two stay within the two roundings of the byte version, the
        // second of which acts on sums of samples that the first has moved by up to a half.
        for channel in 0..3 {
            let map: Vec<f32> = input.chunks_exact(3).map(|p| f32::from(p[channel])).collect();
            let smooth = resize_map(&map, input.dimensions(), want.dimensions()).unwrap();
            for (value, pixel) in smooth.iter().zip(want.chunks_exact(3)) {
                let off = (value - f32::from(pixel[channel])).abs();
                assert!(off <= 1.01, "{case}: {value} against {}", pixel[channel]);
            }
        }
    }
    assert_eq!(orders, 3);
}

#[test]
fn resizes_of_degenerate_sizes_give_what_they_can() {
    let one = RgbImage::from_pixel(1, 1, Rgb([3, 200, 77]));
    assert!(resize_bilinear_rgb(&one, 9, 4).chunks_exact(3).all(|p| p == [3, 200, 77]));
    assert_eq!(resize_bilinear_rgb(&one, 0, 4).dimensions(), (0, 4));
    assert_eq!(resize_bilinear_rgb(&RgbImage::new(0, 0), 2, 2).as_raw(), &[0; 12]);
    assert_eq!(resize_map(&[0.5], (1, 1), (2, 3)).unwrap(), [0.5; 6]);
    assert_eq!(resize_map(&[], (0, 5), (1, 1)).unwrap(), [0.0]);
    assert!(resize_map(&[0.5; 3], (2, 2), (2, 2)).is_err());
    let none = Mask::new(0, 0, vec![]).unwrap();
    assert_eq!(resize_nearest_mask(&none, 2, 1).foreground(), [false; 2]);
}

#[test]
fn float_resize_is_the_antialiased_triangle() {
    // Halving: each output is centred between two inputs and reaches two to each side, with weights 1 3 3 1 (of 8),
    // and 3 3 1 (of 7) at the border.
    let map = [8.0, 0.0, 16.0, 0.0, 0.0, 4.0];
    let got = resize_map(&map, (6, 1), (3, 1)).unwrap();
    let want = [40.0 / 7.0, 48.0 / 8.0, 12.0 / 7.0];
    for (got, want) in got.iter().zip(want) {
        // The weights and sums are f64; one rounding to f32 remains for each pass.
        let off = (got - want).abs();
        assert!(off <= 2.0 * f32::EPSILON * want, "{got} against {want}");
    }
    // Doubling: plain interpolation at the quarters, constant beyond the outermost centres.
    let got = resize_map(&[0.0, 4.0], (1, 2), (1, 4)).unwrap();
    assert_eq!(got, [0.0, 1.0, 3.0, 4.0]);
}

#[test]
fn nearest_follows_torchs_index_rule() {
    let indices = |from: u32, to: u32| -> Vec<usize> {
        // Find each output's source by lighting one input at a time.
        let mut found = vec![usize::MAX; to as usize];
        for lit in 0..from as usize {
            let foreground = (0..from as usize).map(|i| i == lit).collect();
            let line = Mask::new(from, 1, foreground).unwrap();
            let out = resize_nearest_mask(&line, to, 1);
            let column = Mask::new(1, from, line.foreground().to_vec()).unwrap();
            let turned = resize_nearest_mask(&column, 1, to);
            assert_eq!(out.foreground(), turned.foreground());
            out.foreground().iter().enumerate().filter(|(_, f)| **f).for_each(|(at, _)| found[at] = lit);
        }
        found
    };
    assert_eq!(indices(3, 7), [0, 0, 0, 1, 1, 2, 2]);
    assert_eq!(indices(7, 3), [0, 2, 4]);
    assert_eq!(indices(4, 4), [0, 1, 2, 3]);
    assert_eq!(indices(2, 4), [0, 0, 1, 1]);
    // torch multiplies by the f32 nearest to in / out: here 109 * 2 / 218 is just short of the 1 that it should be.
    assert_eq!((indices(2, 218)[109], indices(2, 218)[110]), (0, 1));
    let both = Mask::new(2, 2, vec![true, false, false, true]).unwrap();
    let wide = resize_nearest_mask(&both, 4, 2);
    assert_eq!(wide.foreground(), [true, true, false, false, false, false, true, true]);
}

#[test]
fn model_inputs_span_minus_one_to_one() {
    let rgb = RgbImage::from_raw(2, 1, vec![0, 255, 51, 1, 128, 254]).unwrap();
    let want = [-1.0, 1.0, -0.6, 1.0 / 127.5 - 1.0, 128.0 / 127.5 - 1.0, 254.0 / 127.5 - 1.0_f32];
    for (got, want) in to_model_input(&rgb).iter().zip(want) {
        // Three roundings of values of at most 2.
        assert!((got - want).abs() <= 3.0 * f32::EPSILON, "{got} against {want}");
    }
    let mask = Mask::new(2, 1, vec![true, false]).unwrap();
    assert_eq!(mask_to_model_input(&mask), [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]);
}

#[test]
fn every_format_is_told_by_content_not_by_name() {
    let directory = tempfile::tempdir().unwrap();
    for format in all_formats() {
        let path = directory.path().join("picture.txt");
        picture(37, 21).save_with_format(&path, format).unwrap();
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
        picture(64, 48).save_with_format(&path, format).unwrap();
        let whole = fs::read(&path).unwrap();
        for part in [0.02, 0.1, 0.3, 0.5, 0.7, 0.9] {
            // A TIFF's directory may lie before or behind its samples; the cut takes from either.
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
        picture(40, 30).save_with_format(&path, format).unwrap();
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

/// The first 54 bytes of a 24-bit BMP: what it claims to be, without the samples.
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
fn written_files_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mask = Mask::new(3, 2, vec![true, false, true, false, false, true]).unwrap();
    write_mask(&at("mask.png"), &mask, false).unwrap();
    assert_eq!(load_mask(&at("mask.png"), (3, 2)).unwrap(), LoadedMask { mask: mask.clone(), warnings: vec![] });
    let levels = image::open(at("mask.png")).unwrap();
    assert_eq!(levels.color(), image::ColorType::L8);
    assert_eq!(levels.into_luma8().as_raw(), &[255, 0, 255, 0, 0, 255]);

    let rgb = picture(3, 2);
    write_overlay(&at("overlay.png"), &rgb, &mask, false).unwrap();
    assert_eq!(load_rgb(&at("overlay.png")).unwrap(), paint_overlay(&rgb, &mask).unwrap());
    assert_ne!(paint_overlay(&rgb, &mask).unwrap(), rgb);

    let map = [0.0, 1.0, 0.5, 0.25, 1.0 / 65535.0, 0.75];
    write_probability_png(&at("p.png"), &map, (3, 2), false).unwrap();
    let levels = image::open(at("p.png")).unwrap();
    assert_eq!(levels.color(), image::ColorType::L16);
    assert_eq!(levels.into_luma16().as_raw(), &[0, 65535, 32768, 16384, 1, 49151]);

    write_probability_npy(&at("p.npy"), &map, (3, 2), false).unwrap();
    let bytes = fs::read(at("p.npy")).unwrap();
    assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
    let header = std::str::from_utf8(&bytes[10..128]).unwrap();
    assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    assert!(header.ends_with(" \n"));
    let values: Vec<f32> = bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values, map);
    assert_eq!(names(directory.path()), ["mask.png", "overlay.png", "p.npy", "p.png"]);
}

#[test]
fn maps_that_are_none_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let (png, npy) = (directory.path().join("p.png"), directory.path().join("p.npy"));
    for map in [[0.5, f32::NAN], [f32::INFINITY, 0.5]] {
        assert!(matches!(write_probability_png(&png, &map, (2, 1), true), Err(ImageError::NotFinite { count: 1, .. })));
        assert!(matches!(write_probability_npy(&npy, &map, (2, 1), true), Err(ImageError::NotFinite { count: 1, .. })));
    }
    assert!(matches!(write_probability_png(&png, &[0.5], (2, 1), true), Err(ImageError::Length { .. })));
    assert!(matches!(write_probability_npy(&npy, &[0.5], (2, 1), true), Err(ImageError::Length { .. })));
    assert!(names(directory.path()).is_empty());
}

#[test]
fn nothing_is_overwritten_without_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mask.png");
    let mask = Mask::new(1, 1, vec![true]).unwrap();
    fs::write(&path, "precious").unwrap();
    let text = message(write_mask(&path, &mask, false), &path);
    assert!(text.contains("--force"), "{text}");
    assert_eq!(message(check_output(&path, "png", false), &path), text);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    check_output(&path, "png", true).unwrap();
    write_mask(&path, &mask, true).unwrap();
    assert_eq!(load_mask(&path, (1, 1)).unwrap().mask, mask);
    assert_eq!(names(directory.path()), ["mask.png"]);
}

#[test]
fn places_that_cannot_be_written_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mask = Mask::new(1, 1, vec![true]).unwrap();
    let refuse = |path: &Path, part: &str| {
        for force in [false, true] {
            let text = message(write_mask(path, &mask, force), path);
            assert!(text.contains(part), "{text}");
        }
    };
    let folder = directory.path().join("folder.png");
    fs::create_dir(&folder).unwrap();
    refuse(&folder, "is a directory");
    refuse(&directory.path().join("absent/mask.png"), "is not a directory; create it");
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    refuse(&file.join("mask.png"), "is not a directory");
    refuse(&directory.path().join("mask.jpg"), "end in .png");
    refuse(&directory.path().join("mask"), "end in .png");
    let map = directory.path().join("map.png");
    assert!(message(check_output(&map, "npy", true), &map).contains("end in .npy"));
    assert!(message(write_probability_npy(&map, &[0.5], (1, 1), true), &map).contains("end in .npy"));
    assert_eq!(names(directory.path()), ["file", "folder.png"]);
    assert!(names(&folder).is_empty());
}

#[cfg(unix)]
#[test]
fn written_files_have_the_mode_of_ordinary_ones_and_follow_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mask = Mask::new(1, 1, vec![true]).unwrap();
    fs::write(at("ordinary"), "x").unwrap();
    write_mask(&at("mask.png"), &mask, false).unwrap();
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode();
    assert_eq!(mode("mask.png"), mode("ordinary"));

    // Through a link the target is replaced; the link stays.
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/real.png"), "old").unwrap();
    symlink(at("elsewhere/real.png"), at("link.png")).unwrap();
    write_mask(&at("link.png"), &mask, true).unwrap();
    assert!(at("link.png").is_symlink());
    assert_eq!(load_mask(&at("elsewhere/real.png"), (1, 1)).unwrap().mask, mask);
    // A link to nowhere, and a device.
    symlink(at("nowhere"), at("dangling.png")).unwrap();
    assert!(message(write_mask(&at("dangling.png"), &mask, true), &at("dangling.png")).contains("ordinary file"));
    symlink("/dev/null", at("device.png")).unwrap();
    assert!(message(check_output(&at("device.png"), "png", true), &at("device.png")).contains("ordinary file"));
    assert_eq!(names(&at("elsewhere")), ["real.png"]);
}

#[test]
fn sixteen_bit_floats_and_two_channel_pictures() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    // Grey and alpha: alpha is dropped.
    image::save_buffer_with_format(&path, &[9, 0, 200, 255], 2, 1, ExtendedColorType::La8, ImageFormat::Png).unwrap();
    assert_eq!(load_rgb(&path).unwrap().as_raw(), &[9, 9, 9, 200, 200, 200]);
    // Floating-point samples have no white point.
    let samples: Vec<u8> = [0.1_f32, 0.2, 0.3].iter().flat_map(|v| v.to_ne_bytes()).collect();
    image::save_buffer_with_format(&path, &samples, 1, 1, ExtendedColorType::Rgb32F, ImageFormat::Tiff).unwrap();
    assert!(message(load_rgb(&path), &path).contains("floating-point"));
}

/// A palette of 4 bytes: the decoder panics on it (image-png #694), so it is refused before.
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
}

#[test]
fn a_masks_size_is_compared_before_it_is_decoded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mask.bmp");
    // The samples are missing: whoever decodes it finds that.
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
    // Two pixels of five bands: of 16 bits, so that the high byte counts.
    let samples: Vec<u16> = (0..10).map(|i| i * 25 * 256 + 7).collect();
    fs::write(&path, banded_tiff(2, 1, 5, &samples)).unwrap();
    assert!(message(load_rgb(&path), &path).contains("5 bands"));
    let of = |numbers: &[u16]| {
        let options = PictureOptions { bands: Bands::new(numbers), ..Default::default() };
        load_rgb_with(&path, &options).map(|picture| picture.rgb.into_raw())
    };
    assert_eq!(of(&[5, 3, 2]).unwrap(), [100, 50, 25, 225, 175, 150]);
    assert_eq!(of(&[4]).unwrap(), [75, 75, 75, 200, 200, 200]);
    assert!(of(&[1, 6, 2]).unwrap_err().to_string().contains("5 bands, and the band 6"));
    // Of other formats too: alpha is the fourth band.
    let rgba = [1, 2, 3, 200, 4, 5, 6, 100];
    image::save_buffer_with_format(&path, &rgba, 2, 1, ExtendedColorType::Rgba8, ImageFormat::Png).unwrap();
    assert_eq!(of(&[4, 1, 1]).unwrap(), [200, 1, 1, 100, 4, 4]);
}
