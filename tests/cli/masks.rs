//! Masks that are not black and white, and the flags that describe them. Masks are read before looking for a driver, so these tests need
//! none.

use crate::command::{NO_DRIVER, Place, Run, disc, repository};
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::fs;

/// No adapter: these runs end with this error, after all messages about masks.
const NO_ADAPTER: i32 = 4;

fn run(place: &Place, mask: &str, args: &[&str]) -> Run {
    let all = [&["infer", "--support", "s.png", "--mask", mask, "--query", "q.png"], args].concat();
    place.run_with(&NO_DRIVER, &all)
}

/// The disc, with these levels for the background, the disc, and a frame around the picture.
fn labels(place: &Place, name: &str, [ground, thing, frame]: [u8; 3]) {
    let disc = disc(48, 40);
    let level = |x: u32, y: u32| match disc.get_pixel(x, y).0[0] {
        0 if y < 4 => frame,
        0 => ground,
        _ => thing,
    };
    GrayImage::from_fn(48, 40, |x, y| Luma([level(x, y)])).save(place.path(name)).unwrap();
}

#[test]
fn labels_are_read_as_such_and_told() {
    let place = Place::new();
    labels(&place, "one.png", [0, 1, 255]);
    run(&place, "one.png", &[]).expect(NO_ADAPTER, &["note: one.png: ", ": 1 (", "255 as ignored"]);
    let quiet = run(&place, "one.png", &["--quiet"]);
    assert!(!quiet.err.contains("one.png"), "{}", quiet.err);
    labels(&place, "two.png", [0, 1, 2]);
    let several = ["warning: two.png: ", "1 (", "2 (", "--mask-value K takes one of them"];
    run(&place, "two.png", &["--quiet"]).expect(NO_ADAPTER, &several);
    // Choosing a value silences the message.
    for args in [["--mask-value", "2"], ["--mask-color", "2,2,2"], ["--mask-color", "#010101"]] {
        let said = run(&place, "two.png", &args).expect(NO_ADAPTER, &[]);
        assert!(!said.err.contains("two.png"), "{}", said.err);
    }
    // One of several masks lacks the value.
    let both = [
        "infer",
        "--support",
        "s.png",
        "s.png",
        "--mask",
        "two.png",
        "one.png",
        "--query",
        "q.png",
        "--mask-value",
        "2",
    ];
    place.run_with(&NO_DRIVER, &both).expect(1, &["one.png: no visible pixel", " is 2; it holds 0, ", "255"]);
}

#[test]
fn what_is_in_doubt_is_a_warning_that_names_the_flag() {
    let place = Place::new();
    let disc = disc(48, 40);
    let colour = |x, y| if disc.get_pixel(x, y).0[0] > 0 { [17, 39, 0] } else { [200, 171, 44] };
    RgbImage::from_fn(48, 40, |x, y| Rgb(colour(x, y))).save(place.path("colours.png")).unwrap();
    let parts =
        ["warning: colours.png: ", "200,171,44 (", "17,39,0 (", "--invert-mask", "--mask-color R,G,B", "inverted?"];
    run(&place, "colours.png", &[]).expect(NO_ADAPTER, &parts);
    for args in [&["--invert-mask"][..], &["--mask-color", "17,39,0"]] {
        let said = run(&place, "colours.png", args).expect(NO_ADAPTER, &[]);
        assert!(!said.err.contains("colours.png"), "{}", said.err);
    }
    run(&place, "s_mask.png", &["--invert-mask"]).expect(NO_ADAPTER, &["is it inverted? leave out --invert-mask"]);
    run(&place, "s_mask.png", &["--mask-alpha"]).expect(1, &["s_mask.png: the mask has no alpha"]);
    run(&place, "colours.png", &["--mask-value", "1"])
        .expect(1, &["colours.png: the mask holds colours", "--mask-color"]);
    let plain = run(&place, "s_mask.png", &[]).expect(NO_ADAPTER, &[]);
    assert!(!plain.err.contains("s_mask.png"), "{}", plain.err);
}

#[test]
fn flags_that_make_no_sense_together_are_usage_errors() {
    let place = Place::new();
    for args in [
        &["--mask-value", "1", "--mask-alpha"][..],
        &["--mask-value", "1", "--mask-color", "1,1,1"],
        &["--mask-alpha", "--mask-color", "1,1,1"],
        &["--mask-value", "65536"],
        &["--mask-color", "red"],
    ] {
        run(&place, "s_mask.png", args).expect(2, &[args[0]]);
    }
}

#[test]
fn a_mask_of_the_stored_orientation_is_noted() {
    let place = Place::new();
    // Stored as 41 x 28, displayed as 28 x 41.
    fs::copy(repository().join("tests/golden/images/exif_6.jpg"), place.path("s.png")).unwrap();
    disc(41, 28).save(place.path("stored.png")).unwrap();
    disc(28, 41).save(place.path("displayed.png")).unwrap();
    run(&place, "stored.png", &[])
        .expect(NO_ADAPTER, &["note: stored.png: the mask has the size of its picture as stored"]);
    let upright = run(&place, "displayed.png", &[]).expect(NO_ADAPTER, &[]);
    assert!(!upright.err.contains("displayed.png"), "{}", upright.err);
}
