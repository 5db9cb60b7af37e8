//! Pictures of every kind, and files that are not pictures.

use crate::command::{NO_DRIVER, Place, infer, lines, picture, repository};
use image::{GrayImage, ImageEncoder, Luma};
use std::fs;

/// A 1-bit grey PNG that claims a size, with all of its rows or none.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(&[0], 1, 1, image::ExtendedColorType::L8).unwrap();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// PNG's checksum (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ if c & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Each is found before looking for a driver.
#[test]
fn files_that_are_no_pictures_end_with_1() {
    let place = Place::new();
    let whole = fs::read(place.path("s.png")).unwrap();
    place.write("empty.png", b"");
    place.write("text.png", b"this is no picture");
    place.write("cut.png", &whole[..whole.len() / 2]);
    place.write("bomb.png", &png_header(200_000, 200_000));
    fs::create_dir(place.path("folder.png")).unwrap();
    let bad = [
        ("empty.png", "empty"),
        ("text.png", "not a picture"),
        ("cut.png", "PNG"),
        ("bomb.png", "200000 x 200000"),
        ("folder.png", "directory"),
        ("absent.png", "cannot be read"),
    ];
    for (name, why) in bad {
        let run = |args: &[&str]| drop(place.run_with(&NO_DRIVER, args).expect(1, &[name, why]));
        run(&["infer", "--support", name, "--mask", "s_mask.png", "--query", "q.png"]);
        run(&["infer", "--support", "s.png", "--mask", name, "--query", "q.png"]);
        if name != "folder.png" {
            run(&infer(&["--query", name]));
        }
    }
    place
        .run_with(&NO_DRIVER, &["infer", "--support", "s.png", "--mask", "q.png", "--query", "q.png"])
        .expect(1, &["q.png", "60 x 50", "48 x 40"]);
}

#[test]
fn pictures_of_every_kind_give_masks_of_their_size() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    let golden = repository().join("tests/golden/images");
    let kinds = [
        "cmyk.jpg",
        "exif_6.jpg",
        "grey.png",
        "grey16.png",
        "palette.png",
        "progressive.jpg",
        "rgb.bmp",
        "rgb.tiff",
        "rgb.webp",
        "rgb16.png",
        "rgba.png",
    ];
    for (i, name) in kinds.iter().enumerate() {
        // Unique names, because some differ only in their extension.
        fs::copy(golden.join(name), place.path(&format!("in/{i:02}_{name}"))).unwrap();
    }
    picture(1, 1).save(place.path("in/tiny.png")).unwrap();
    picture(3, 200).save(place.path("in/narrow.PNG")).unwrap();
    let run = place.infer(&["--query", "in", "--output", "out", "--overlay", "out", "--probability", "out", "--json"]);
    let answers = lines(&run.expect(0, &[]).out);
    assert_eq!(answers.len(), kinds.len() + 2);
    for answer in &answers {
        let size = (answer["width"].as_u64().unwrap() as u32, answer["height"].as_u64().unwrap() as u32);
        let query = answer["query"].as_str().unwrap();
        let rgb = diffews_wgpu::image_io::load_rgb(&place.path(query)).unwrap();
        assert_eq!(size, rgb.dimensions(), "{query}");
        for output in ["mask", "overlay", "probability"] {
            let written = image::open(place.path(answer[output].as_str().unwrap())).unwrap();
            assert_eq!((written.width(), written.height()), size, "{output} of {query}");
        }
        let mask = image::open(place.path(answer["mask"].as_str().unwrap())).unwrap().into_luma8();
        assert!(mask.as_raw().iter().all(|&v| v == 0 || v == 255), "{query}");
    }
}

#[test]
fn a_hundred_megapixels_are_segmented() {
    let place = Place::new();
    // The network sees it at 160 x 160, where it is a disc on black as in the support.
    let large = GrayImage::from_fn(10_000, 10_000, |x, y| {
        let (dx, dy) = (i64::from(x) - 5000, i64::from(y) - 5000);
        Luma([if dx * dx + dy * dy < 4_000_000 { 255 } else { 0 }])
    });
    large.save(place.path("large.png")).unwrap();
    drop(large);
    let run = place.infer(&["--query", "large.png", "--json"]);
    assert_eq!(lines(&run.expect(0, &[]).out)[0]["width"], 10_000);
    let mask = image::open(place.path("large_mask.png")).unwrap();
    assert_eq!((mask.width(), mask.height()), (10_000, 10_000));
}

#[test]
fn masks_without_foreground_or_background_are_warnings() {
    let place = Place::new();
    for (name, level, says) in [("black.png", 0, "no foreground"), ("white.png", 255, "no background")] {
        GrayImage::from_pixel(48, 40, Luma([level])).save(place.path(name)).unwrap();
        let args = ["infer", "--support", "s.png", "--mask", name, "--query", "q.png", "--force", "-q"];
        place.run(&args).expect(0, &["warning", name, says]);
        assert!(place.path("q_mask.png").is_file());
    }
    // So small that it misses all of the model's 160 x 160 pixels.
    picture(480, 480).save(place.path("large.png")).unwrap();
    let dot = GrayImage::from_fn(480, 480, |x, y| Luma([255 * u8::from((x, y) == (100, 100))]));
    dot.save(place.path("dot.png")).unwrap();
    let args = ["infer", "--support", "large.png", "--mask", "dot.png", "--query", "q.png", "--force"];
    place.run(&args).expect(0, &["warning", "dot.png", "nothing of it is left at the model's 160 x 160"]);
    // The picture itself instead of its mask.
    let args = ["infer", "--support", "s.png", "--mask", "s.png", "--query", "q.png", "--force"];
    place.run(&args).expect(0, &["warning", "s.png", "neither near black nor near white"]);
}

#[test]
fn a_batch_goes_on_where_it_was_interrupted() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    for name in ["a", "b"] {
        picture(30, 20).save(place.path(&format!("in/{name}.png"))).unwrap();
    }
    fs::create_dir(place.path("out")).unwrap();
    place.write("out/a_mask.png", b"done");
    let again = ["--query", "in", "--output", "out", "--skip-existing", "--json"];
    let run = place.infer(&again).expect(0, &[]);
    assert_eq!(lines(&run.out).len(), 1);
    assert_eq!(fs::read(place.path("out/a_mask.png")).unwrap(), b"done");
    assert!(image::open(place.path("out/b_mask.png")).is_ok());
    let run = place.infer(&again).expect(0, &["nothing to do"]);
    assert!(run.out.is_empty());
    // Stopped between a mask and its overlay: replacing an incomplete result needs --force, and a complete one stays.
    let painted = [&again[..], &["--overlay", "out"]].concat();
    place.write("out/a_overlay.png", b"done");
    place.infer(&painted).expect(1, &["b_mask.png", "--force"]);
    let run = place.infer(&[&painted[..], &["--force"]].concat()).expect(0, &[]);
    assert_eq!(lines(&run.out).len(), 1);
    assert_eq!(fs::read(place.path("out/a_mask.png")).unwrap(), b"done");
    assert!(image::open(place.path("out/b_overlay.png")).is_ok());
}

#[test]
fn a_directory_goes_on_past_bad_files() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    for name in ["a", "c"] {
        picture(30, 20).save(place.path(&format!("in/{name}.png"))).unwrap();
    }
    place.write("in/b.png", b"no picture");
    let run = place.infer(&["--query", "in", "--output", "out", "--json"]);
    let run = run.expect(6, &["in/b.png", "1 of 3 queries failed"]);
    let answers = lines(&run.out);
    assert_eq!(answers.len(), 3);
    assert!(answers[1]["error"].as_str().unwrap().contains("in/b.png") && answers[1]["query"] == "in/b.png");
    assert!(answers[0]["error"].is_null() && answers[2]["error"].is_null());
    assert_eq!(crate::command::names(&place.path("out")), ["a_mask.png", "c_mask.png"]);
    // The same without a directory.
    place.infer(&["--query", "q.png", "--query", "absent.png"]).expect(6, &["absent.png", "1 of 2"]);
    assert!(place.path("q_mask.png").is_file());
}
