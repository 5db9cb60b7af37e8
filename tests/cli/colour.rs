//! How `infer` handles transparency, bit depth and colour profiles. An overlay without foreground is the picture as it was read.

use crate::command::{Place, lines, picture};
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage, Rgba, RgbaImage, codecs::png::PngEncoder};
use moxcms::ColorProfile;
use std::fs;

/// A 16-bit picture whose values use ten bits.
fn ten_bits(width: u32, height: u32) -> (Vec<u16>, RgbImage) {
    let seen = picture(width, height);
    (seen.as_raw().iter().enumerate().map(|(i, &v)| (u16::from(v) << 2) | (i as u16 % 4)).collect(), seen)
}

fn save16(place: &Place, name: &str, samples: &[u16], (width, height): (u32, u32)) {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    encoder.write_image(bytemuck::cast_slice(samples), width, height, ExtendedColorType::Rgb16).unwrap();
    place.write(name, &bytes);
}

/// Queries of the folder `in` as they were read, and the messages.
fn read(place: &Place, support: &str, args: &[&str]) -> (Vec<RgbImage>, String) {
    let common = ["infer", "--support", support, "--mask", "s_mask.png", "--query", "in", "--output", "out", "--force"];
    let run = place.run(&[&common[..], &["--overlay", "out", "--absolute-threshold", "1", "--json"], args].concat());
    let run = run.expect(0, &[]);
    let answers = lines(&run.out);
    let read =
        |answer: &serde_json::Value| image::open(place.path(answer["overlay"].as_str().unwrap())).unwrap().into_rgb8();
    (answers.iter().map(read).collect(), run.err)
}

#[test]
fn transparent_parts_are_put_on_white_or_another_colour() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    // Black where transparent, as programs leave it.
    let cutout = RgbaImage::from_fn(48, 40, |x, y| if x > y { Rgba([200, 30, 60, 255]) } else { Rgba([0, 0, 0, 0]) });
    for name in ["in/a.png", "in/b.png", "cutout.png"] {
        cutout.save(place.path(name)).unwrap();
    }
    let on = |colour: [u8; 3]| RgbImage::from_fn(48, 40, |x, y| Rgb(if x > y { [200, 30, 60] } else { colour }));
    let (read_back, said) = read(&place, "cutout.png", &[]);
    assert_eq!(read_back, [on([255; 3]), on([255; 3])]);
    assert_eq!(said.matches("transparent parts were put on the colour 255,255,255").count(), 1, "{said}");
    let (read_back, said) = read(&place, "s.png", &["--background", "#0000ff", "-q"]);
    assert_eq!(read_back, [on([0, 0, 255]), on([0, 0, 255])]);
    assert!(!said.contains("transparent"), "{said}");
}

#[test]
fn few_bits_of_16_are_brought_to_range_alike_in_a_run() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    let (samples, seen) = ten_bits(48, 40);
    assert_eq!(samples.iter().max().unwrap().ilog2(), 9);
    save16(&place, "deep.png", &samples, (48, 40));
    save16(&place, "in/a.png", &samples, (48, 40));
    // A darker picture of the run is not brightened more than the others.
    let dark: Vec<u16> = samples.iter().map(|s| s / 8).collect();
    save16(&place, "in/b.png", &dark, (48, 40));
    let darker = RgbImage::from_raw(48, 40, dark.iter().map(|s| (s >> 2) as u8).collect()).unwrap();
    let (read_back, said) = read(&place, "deep.png", &[]);
    assert_eq!(read_back, [seen.clone(), darker]);
    assert_eq!(said.matches("use only 10 bits: 1023 is taken as white").count(), 1, "{said}");

    // The support does not show it, so the user says it.
    let query =
        ["infer", "--support", "s.png", "--mask", "s_mask.png", "--query", "in/a.png", "--overlay", "o.png", "-q"];
    let run = |args: &[&str]| place.run(&[&query[..], &["--absolute-threshold", "1", "--force"], args].concat());
    run(&[]).expect(1, &["in/a.png", "--bits 10", "--stretch 2,98"]);
    run(&["--bits", "8"]).expect(1, &["in/a.png", "10 bits", "--bits 10"]);
    run(&["--bits", "10"]).expect(0, &[]);
    assert_eq!(image::open(place.path("o.png")).unwrap().into_rgb8(), seen);
    run(&["--stretch", "0,100"]).expect(0, &[]);
    let stretched = image::open(place.path("o.png")).unwrap().into_rgb8();
    for channel in 0..3 {
        let levels = || stretched.pixels().map(|p| p.0[channel]);
        assert_eq!((levels().min(), levels().max()), (Some(0), Some(255)), "{channel}");
    }
}

#[test]
fn colours_are_converted_by_their_profile_and_a_damaged_one_costs_a_note() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    let seen = picture(48, 40);
    let with_profile = |name: &str, icc: Vec<u8>| {
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(icc).unwrap();
        encoder.write_image(seen.as_raw(), 48, 40, ExtendedColorType::Rgb8).unwrap();
        place.write(name, &bytes);
    };
    with_profile("in/a.png", ColorProfile::new_adobe_rgb().encode().unwrap());
    with_profile("in/b.png", b"this is no profile".to_vec());
    with_profile("in/c.png", ColorProfile::new_srgb().encode().unwrap());
    let (read_back, said) = read(&place, "s.png", &[]);
    assert_ne!(read_back[0], seen);
    // Greys are the same in all profiles.
    let grey = |p: &Rgb<u8>| p.0.iter().all(|&v| v == p.0[0]);
    assert!(seen.pixels().zip(read_back[0].pixels()).all(|(a, b)| !grey(a) || a.0[0].abs_diff(b.0[0]) <= 1));
    assert_eq!(read_back[1..], [seen.clone(), seen.clone()]);
    assert!(said.contains("in/a.png: its colours were converted to sRGB"), "{said}");
    assert!(said.contains("in/b.png: its colour profile is not used"), "{said}");
    // As in the published evaluation.
    assert_eq!(diffews_wgpu::image_io::load_rgb(&place.path("in/a.png")).unwrap(), seen);
}
