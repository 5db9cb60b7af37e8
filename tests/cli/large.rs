//! Pictures that are large, or far from square.

use crate::command::{Place, SUPPORT, lines, picture};
use diffews_wgpu::formats::geotiff;
use diffews_wgpu::image_io::{GeoTags, GeoValues, PictureOptions, PictureStrips, load_rgb_with};

const SMALL: [&str; 5] = ["--size", "64", "--precision", "f32", "-q"];

#[test]
fn a_large_picture_is_done_in_tiles() {
    let place = Place::new();
    picture(150, 90).save(place.path("large.png")).unwrap();
    let run = |more: &[&str]| place.run(&[&["infer", "--query", "large.png"], &SUPPORT[..], &SMALL, more].concat());
    let said = run(&["--tile", "64", "--overlap", "20", "--probability", "p.png", "--json"]).expect(0, &[]);
    let said = lines(&said.out).remove(0);
    assert_eq!((said["tiles"].clone(), said["width"].as_u64()), (serde_json::json!([64, 20]), Some(150)));
    let map = image::open(place.path("p.png")).unwrap().into_luma16();
    assert_eq!(map.dimensions(), (150, 90));
    // A pixel of a single tile has that tile's result.
    let corner = image::open(place.path("large.png")).unwrap().crop_imm(0, 0, 64, 64);
    corner.save(place.path("corner.png")).unwrap();
    let args = ["infer", "--query", "corner.png", "--probability", "c.png"];
    place.run(&[&args[..], &SUPPORT, &SMALL].concat()).expect(0, &[]);
    let own = image::open(place.path("c.png")).unwrap().into_luma16();
    for (x, y, pixel) in own.enumerate_pixels().filter(|(x, y, _)| *x < 43 && *y < 25) {
        assert!(pixel.0[0].abs_diff(map.get_pixel(x, y).0[0]) <= 1, "{x} {y}");
    }
    for (flags, word) in [
        (&["--tile", "8"][..], "16 to"),
        (&["--tile", "64", "--overlap", "40"], "by at most 32"),
        (&["--overlap", "4"], "--tile"),
    ] {
        run(&[flags, &["--output", "n.png"]].concat()).expect(2, &[word]);
    }
}

#[test]
fn the_shape_is_kept_where_that_is_asked_for() {
    let place = Place::new();
    picture(120, 40).save(place.path("wide.png")).unwrap();
    let run = |fit: &str| {
        let args = [
            "infer",
            "--query",
            "wide.png",
            "--force",
            "--probability",
            "p.npy",
            "--absolute-threshold",
            "0",
            "--json",
            "--fit",
            fit,
        ];
        let said = lines(&place.run(&[&args[..], &SUPPORT, &SMALL].concat()).expect(0, &[]).out).remove(0);
        assert_eq!(
            (said["fit"].as_str(), said["width"].as_u64(), said["height"].as_u64()),
            (Some(fit), Some(120), Some(40))
        );
        let mask = image::open(place.path("wide_mask.png")).unwrap().into_luma8();
        let header = std::fs::read(place.path("p.npy")).unwrap()[10..80].to_vec();
        let shape = String::from_utf8(header).unwrap();
        (mask, shape.split("'shape': ").nth(1).unwrap().split(')').next().unwrap().to_owned())
    };
    assert_eq!(run("squash").1, "(64, 64");
    assert_eq!(run("pad").1, "(21, 64");
    let (mask, shape) = run("crop");
    assert_eq!(shape, "(40, 120");
    // Nothing is found outside of the square in the middle, and something in it.
    assert!(mask.enumerate_pixels().all(|(x, _, p)| (39..81).contains(&x) || p.0[0] == 0));
    assert!(mask.pixels().any(|p| p.0[0] == 255));
    place.infer(&["--query", "wide.png", "--fit", "stretch"]).expect(2, &["squash"]);
}

#[test]
fn a_picture_from_above_keeps_its_place() {
    let place = Place::new();
    let there = GeoTags::of([
        (33550, GeoValues::Doubles(vec![0.5, 0.5, 0.0])),
        (33922, GeoValues::Doubles(vec![0.0, 0.0, 0.0, 4e5, 5e6, 0.0])),
        (34735, GeoValues::Shorts(vec![1, 1, 0, 1, 3072, 0, 1, 32633])),
    ]);
    let grey: Vec<u8> = picture(60, 50).pixels().map(|p| p.0[2]).collect();
    geotiff::save(&place.path("above.tif"), &grey, (60, 50), Some(&there), false).unwrap();
    let run = |more: &[&str]| {
        let args =
            [&["infer", "--query", "above.tif", "--absolute-threshold", "0"], &SUPPORT[..], &SMALL, more].concat();
        place.run(&args).expect(0, &[])
    };
    run(&["--format", "tiff"]);
    run(&[]);
    let mask = load_rgb_with(&place.path("above_mask.tif"), &PictureOptions::default()).unwrap();
    assert_eq!(
        (mask.place.as_ref(), mask.rgb),
        (Some(&there), image::open(place.path("above_mask.png")).unwrap().into_rgb8())
    );
    run(&["--format", "geojson"]);
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(place.path("above.geojson")).unwrap()).unwrap();
    assert_eq!(json["crs"]["properties"]["name"], "urn:ogc:def:crs:EPSG::32633");
    let feature = &json["features"][0]["geometry"]["coordinates"];
    let mut point = feature;
    while point[0].is_array() {
        point = &point[0];
    }
    let (x, y) = (point[0].as_f64().unwrap(), point[1].as_f64().unwrap());
    assert!((4e5..=4e5 + 30.0).contains(&x) && (5e6 - 25.0..=5e6).contains(&y), "{x} {y}");
}

/// 269 million pixels are more than are read at once: 4 GB for a map and its picture.
#[test]
fn what_no_memory_holds_is_read_by_rows() {
    let place = Place::new();
    let (width, height) = (4100, 65_600);
    let row = |y: u32| {
        (0..width).map(|x| if (x / 512 + y / 512).is_multiple_of(3) { 200_u8 } else { 30 }).collect::<Vec<u8>>()
    };
    let there = GeoTags::of([(33550, GeoValues::Doubles(vec![0.5, 0.5, 0.0]))]);
    let mut y = 0;
    let mut next = || {
        y += 1;
        Ok(row(y - 1))
    };
    geotiff::save_rows(&place.path("tall.tif"), (width, height), Some(&there), false, &mut next).unwrap();
    let run = |more: &[&str]| {
        let args = ["infer", "--query", "tall.tif", "--absolute-threshold", "0", "--format", "tiff", "--json"];
        place.run(&[&args[..], &SUPPORT, &SMALL, more].concat())
    };
    run(&["--tile", "4100", "--probability", "o.npy"]).expect(2, &["tall.tif", "4100 x 65600", "--probability"]);
    run(&[]).expect(1, &["tall.tif", "65600"]);
    let said = lines(&run(&["--tile", "4100", "--overlap", "0", "--min-area", "20"]).expect(0, &[]).out).remove(0);
    assert_eq!((said["height"].as_u64(), said["mask"].as_str()), (Some(65_600), Some("tall_mask.tif")));
    let mut mask = PictureStrips::open(&place.path("tall_mask.tif"), &PictureOptions::default()).unwrap();
    assert_eq!((mask.size(), mask.place()), ((width, height), Some(&there)));
    let white = |rows: &image::RgbImage| rows.pixels().filter(|p| p.0[0] == 255).count() as f64;
    let count: f64 = (0..16).map(|i| white(&mask.rows(i * 4100..(i + 1) * 4100).unwrap())).sum();
    let part = count / (f64::from(width) * f64::from(height));
    assert!((said["foreground_fraction"].as_f64().unwrap() - part).abs() < 1e-9 && part > 0.0);
    let areas = |objects: &serde_json::Value| -> Vec<f64> {
        objects.as_array().unwrap().iter().map(|object| object["area"].as_f64().unwrap()).collect()
    };
    let found = areas(&said["objects"]);
    assert!(!found.is_empty() && found.is_sorted_by(|a, b| a >= b) && found.iter().all(|area| *area >= 20.0));
    assert_eq!(found.iter().sum::<f64>(), count);
    // A class, and a format that has outlines.
    let more = ["--tile", "4100", "--overlap", "0", "--largest", "--json", "--format", "coco", "--output", "tall.json"];
    let things = ["--support", "thing:s.png", "--mask", "s_mask.png"];
    let args = [&["infer", "--query", "tall.tif", "--absolute-threshold", "0"][..], &more, &things, &SMALL].concat();
    let said = lines(&place.run(&args).expect(0, &[]).out).remove(0);
    let found = areas(&said["classes"][0]["objects"]);
    let coco: serde_json::Value = serde_json::from_slice(&std::fs::read(place.path("tall.json")).unwrap()).unwrap();
    assert_eq!((coco["images"][0]["height"].as_u64(), areas(&coco["annotations"])), (Some(65_600), found));
}

#[test]
fn very_long_pictures_and_very_large_tiles_take_no_more_than_their_pixels() {
    let place = Place::new();
    image::RgbImage::from_fn(100_000, 2, |x, _| image::Rgb([(x / 100) as u8, 0, 0]))
        .save(place.path("long.png"))
        .unwrap();
    let run = |args: &[&str]| place.run(&[&["infer", "--force"], args, &SUPPORT[..], &SMALL].concat());
    run(&["--query", "long.png", "--fit", "crop"]).expect(0, &[]);
    run(&["--query", "long.png", "--fit", "pad"]).expect(0, &[]);
    run(&["--query", "q.png", "--tile", "16000"]).expect(0, &[]);
    run(&["--query", "q.png", "--tile", "100000"]).expect(2, &["16384"]);
    // A bank records how its examples were made square.
    place.run(&[&["bank", "encode", "-o", "a.bank", "--fit", "crop"], &SUPPORT[..], &SMALL].concat()).expect(0, &[]);
    let with = |fit: &str| {
        place.run(&["infer", "--bank", "a.bank", "--query", "q.png", "--output", "b.png", "--fit", fit, "-q"])
    };
    // Its thumbnail has the cropped shape.
    std::fs::create_dir(place.path("small")).unwrap();
    place.run(&["bank", "info", "a.bank", "--pictures", "small"]).expect(0, &[]);
    assert_eq!(image::open(place.path("small/0.png")).unwrap().into_rgb8().dimensions(), (64, 64));
    with("squash").expect(1, &["a.bank", "crop"]);
    with("crop").expect(0, &[]);
}
