//! `-`: pictures through pipes.

use crate::command::{NO_DRIVER, Place, SUPPORT, infer, lines};
use std::fs::{self, File};
use std::process::{Output, Stdio};

/// Runs with a file as standard input.
fn fed(place: &Place, file: &str, args: &[&str]) -> Output {
    let input = File::open(place.path(file)).unwrap();
    place.command(args).stdin(Stdio::from(input)).output().unwrap()
}

#[test]
fn a_picture_goes_through_pipes() {
    let place = Place::new();
    let named = lines(&place.infer(&["--query", "q.png", "--overlay", "o.png", "--json"]).expect(0, &[]).out);
    let [mask, overlay] = ["q_mask.png", "o.png"].map(|name| fs::read(place.path(name)).unwrap());
    // Standard output has only the picture.
    let piped = fed(&place, "q.png", &infer(&["--query", "-", "--output", "-"]));
    let err = String::from_utf8_lossy(&piped.stderr);
    assert!(piped.status.success() && piped.stdout == mask && err.contains("- -> -"), "{err}");
    // A mask from a pipe, and another kind of result to one.
    let args =
        ["infer", "--support", "s.png", "--mask", "-", "--query", "q.png", "-q", "--output", "m.png", "--overlay", "-"];
    let piped = fed(&place, "s_mask.png", &args);
    assert!(piped.status.success() && piped.stdout == overlay, "{}", String::from_utf8_lossy(&piped.stderr));
    assert_eq!(fs::read(place.path("m.png")).unwrap(), mask);
    // A default name where none is given.
    let args = infer(&["--query", "-", "--json"]);
    let piped = fed(&place, "q.png", &args);
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    let answer = &lines(std::str::from_utf8(&piped.stdout).unwrap())[0];
    assert_eq!((answer["query"].as_str(), answer["mask"].as_str()), (Some("-"), Some("stdin_mask.png")));
    assert_eq!(answer["bounding_box"], named[0]["bounding_box"]);
    assert_eq!(fs::read(place.path("stdin_mask.png")).unwrap(), mask);
    assert!(!place.path("-").exists());
}

#[test]
fn what_cannot_go_through_pipes_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    fs::copy(place.path("q.png"), place.path("in/a.png")).unwrap();
    let refused = |args: &[&str], parts: &[&str]| drop(place.run_with(&NO_DRIVER, &infer(args)).expect(2, parts));
    refused(&["--query", "-", "-"], &["standard input"]);
    refused(&["--support", "-", "--mask", "-", "--query", "q.png"], &["standard input"]);
    refused(&["--query", "in", "--output", "-"], &["--output -", "several"]);
    refused(&["--query", "q.png", "s.png", "--overlay", "-"], &["--overlay -", "several"]);
    refused(&["--query", "q.png", "--output", "-", "--probability", "-"], &["--output - and --probability -"]);
    for flag in ["--json", "--show", "--skip-existing"] {
        refused(&["--query", "q.png", "--output", "-", flag], &["--output -", flag]);
    }
    // Input that is not a picture, or empty, is reported before looking for a driver.
    place.write("text", b"no picture");
    place.write("empty", b"");
    // For a query, text is a list.
    place.write("binary", b"\x01\x02 no picture");
    let support = &["infer", "--support", "-", "--mask", "s_mask.png", "--query", "q.png"][..];
    let query = &infer(&["--query", "-"])[..];
    for (file, args, code, says) in [
        ("text", support, 1, "-: is not a picture"),
        ("text", query, 6, "no picture: cannot be read"),
        ("binary", query, 1, "-: is not a picture"),
        ("empty", support, 1, "-: the file is empty"),
        ("empty", query, 1, "--query -: standard input is empty"),
    ] {
        let output = fed(&place, file, args);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && err.contains(says), "{err}");
    }
    // A file with this name is given with its folder.
    fs::copy(place.path("q.png"), place.path("-")).unwrap();
    let args = [&["infer"], &SUPPORT[..], &["--query", "./-"]].concat();
    place.run_with(&NO_DRIVER, &args).expect(4, &["no adapter"]);
}
