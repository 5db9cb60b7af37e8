//! Errors before anything is computed, and the precedence of settings.

use crate::command::{NO_DRIVER, Place, infer};
use std::process::Stdio;

#[test]
fn wrong_usage_ends_with_2() {
    let place = Place::new();
    let refused = |args: &[&str], parts: &[&str]| drop(place.run(args).expect(2, parts));
    refused(&["infer", "--no-such-flag"], &["--no-such-flag"]);
    refused(&["nonsense"], &["nonsense"]);
    refused(&["infer"], &["--support", "--bank", "--query"]);
    refused(&infer(&["--query", "q.png", "--support", "q.png"]), &["2 --support", "1 --mask"]);
    refused(&infer(&["--query", "q.png", "--threshold", "1.5"]), &["1.5", "from 0 to 1"]);
    refused(&infer(&["--query", "q.png", "--threshold", "NaN"]), &["from 0 to 1"]);
    refused(
        &infer(&["--query", "q.png", "--threshold", "0.2", "--absolute-threshold", "0.2"]),
        &["cannot be used with"],
    );
    for (filter, says) in [("x", "8,1e-5"), ("65", "64"), ("8,0", "epsilon"), ("8,1e-5,2", "8,1e-5")] {
        refused(&infer(&["--query", "q.png", "--guided-filter", filter]), &["--guided-filter", says]);
    }
    refused(&infer(&["--query", "q.png", "--unet", "."]), &["--weights"]);
    refused(&infer(&["--query", "q.png", "--precision", "f64"]), &["f64", "f32"]);
    for (form, says) in [("tiled", "KERNEL=FORM"), ("gemm=tiled", "conv2d"), ("conv2d=tiled-65", "tiled-64")] {
        refused(&infer(&["--query", "q.png", "--form", form]), &["--form", says]);
    }
    refused(&infer(&["--query", "q.png", "--output", "mask.jpg"]), &["mask.jpg", ".png"]);
    refused(&infer(&["--query", "q.png", "--output", "mask"]), &["mask"]);
    refused(&infer(&["--query", "q.png", "--probability", "map.tiff"]), &["map.tiff", ".png"]);
    refused(&infer(&["--query", "q.png", "s.png", "--output", "q.png"]), &["q.png", "directory"]);
    refused(&infer(&["--query", "q.png", "--output", "o.png", "--overlay", "o.png"]), &["o.png", "different"]);
    assert_eq!(place.names(), ["q.png", "s.png", "s_mask.png"]);
}

#[test]
fn sizes_that_cannot_be_halved_name_the_nearest() {
    let place = Place::new();
    for (size, nearest) in [("100", ["96", "112"]), ("0", ["16", "32"]), ("4294967295", ["16384", "16"])] {
        let run = place.infer(&["--query", "q.png", "--size", size]);
        let parts = if size.len() > 3 { vec!["4294967295", "multiple of 16"] } else { nearest.to_vec() };
        run.expect(2, &parts);
    }
    place.infer(&["--query", "q.png", "--size", "-5"]).expect(2, &["-5"]);
}

#[test]
fn help_tells_codes_environment_and_weights() {
    let place = Place::new();
    let help = place.run(&["--help"]).expect(0, &[]).out;
    for part in
        ["Exit codes", "143", "DIFFEWS_CHECKED", "WGPU_BACKEND", "stable-diffusion-2-1", "--unet", "demonstration"]
    {
        assert!(help.contains(part), "{part}");
    }
    let help = place.run(&["infer", "--help"]).expect(0, &[]).out;
    for flag in "support mask query weights unet size precision backend adapter output overlay probability threshold \
                 absolute-threshold guided-filter json force quiet verbose trace"
        .split_whitespace()
    {
        assert!(help.contains(&format!("--{flag}")), "{flag}");
    }
    assert!(place.run(&["--version"]).expect(0, &[]).out.contains(env!("CARGO_PKG_VERSION")));
}

/// These must be found before looking for a driver: there is none, which would end with 4.
#[test]
fn outputs_are_checked_before_anything_is_computed() {
    let place = Place::new();
    let run = |args: &[&str]| place.run_with(&NO_DRIVER, &infer(args));
    place.write("q_mask.png", b"precious");
    run(&["--query", "q.png"]).expect(1, &["q_mask.png", "--force"]);
    run(&["--query", "q.png", "--output", "m.png", "--overlay", "q_mask.png"]).expect(1, &["q_mask.png", "--force"]);
    run(&["--query", "q.png", "--output", "none/m.png"]).expect(1, &["none/m.png", "not a directory"]);
    // --force does not permit replacing the inputs.
    for input in ["s.png", "s_mask.png", "q.png"] {
        run(&["--query", "q.png", "--force", "--output", input]).expect(2, &[input, "input"]);
    }
    assert_eq!(std::fs::read(place.path("q_mask.png")).unwrap(), b"precious");
    run(&["--query", "q.png", "--force"]).expect(4, &["no adapter"]);
    assert_eq!(std::fs::read(place.path("q_mask.png")).unwrap(), b"precious");
    if cfg!(target_os = "linux") {
        run(&["--query", "q.png", "--output", "/proc/m.png"]).expect(1, &["/proc/m.png", "cannot be written"]);
        run(&["--query", "q.png", "--output", "/dev/null"]).expect(2, &["/dev/null"]);
    }
}

#[test]
fn queries_that_would_meet_in_one_file_are_named() {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for name in ["in/a.png", "in/a.jpg"] {
        crate::command::picture(20, 20).save_with_format(place.path(name), image::ImageFormat::Png).unwrap();
    }
    let run = |args: &[&str]| place.run_with(&NO_DRIVER, &infer(args));
    run(&["--query", "in"]).expect(2, &["in/a.jpg", "in/a.png", "a_mask.png"]);
    run(&["--query", "q.png", "--query", "./q.png"]).expect(2, &["q.png", "./q.png"]);
    let spelled = &["--query", "q.png", "--output", "m.png", "--overlay", "./m.png", "--force"];
    run(spelled).expect(2, &["m.png", "two results"]);
    // A file name in place of a directory does not create a directory of that name.
    run(&["--query", "q.png", "s.png", "--output", "m.png"]).expect(2, &["m.png", "must be a directory"]);
    assert!(!place.path("m.png").exists());
}

#[test]
fn directories_without_pictures_are_an_error() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("in/below.png")).unwrap();
    place.write("in/notes.txt", b"not a picture");
    place.write("in/.hidden.png", b"not meant");
    // It has no writer, so opening it would block for ever.
    #[cfg(unix)]
    nix::unistd::mkfifo(&place.path("in/pipe.png"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.run_with(&NO_DRIVER, &infer(&["--query", "in"])).expect(1, &["in", "no picture in this directory"]);
}

#[test]
fn no_adapter_ends_with_4() {
    let place = Place::new();
    place.run_with(&NO_DRIVER, &infer(&["--query", "q.png"])).expect(4, &["no adapter", "mesa-vulkan-drivers"]);
    place.run_with(&NO_DRIVER, &["devices"]).expect(4, &["no adapter"]);
    let none = place.run_with(&NO_DRIVER, &["devices", "--json"]).expect(4, &["no adapter"]);
    assert_eq!(none.out.trim(), "[]");
    place.infer(&["--query", "q.png", "--adapter", "no such thing"]).expect(4, &["no such thing"]);
    place.infer(&["--query", "q.png", "--adapter", "999"]).expect(4, &["999"]);
    // Not the adapter whose name contains these digits.
    for index in [10, 25, 99] {
        place.run(&["devices", "--adapter", &index.to_string()]).expect(4, &["no adapter matches"]);
    }
    place.run_with(&[("WGPU_BACKEND", "nonsense")], &["devices"]).expect(2, &["WGPU_BACKEND=nonsense", "supports"]);
    assert_eq!(place.names(), ["q.png", "s.png", "s_mask.png"]);
}

#[test]
fn backends_that_cannot_be_are_wrong_usage() {
    let place = Place::new();
    let query = infer(&["--query", "q.png"]);
    let strange = if cfg!(target_os = "linux") { "dx12" } else { "noop" };
    for verb in [&query[..], &["devices"], &["bench"]] {
        place.run_with(&[("WGPU_BACKEND", "foo")], verb).expect(2, &["WGPU_BACKEND=foo", "this system supports"]);
        place.run_with(&[("WGPU_BACKEND", strange)], verb).expect(2, &[strange, "this system supports"]);
    }
    if cfg!(target_os = "linux") {
        for backend in ["dx12", "metal"] {
            let run = place.run(&["devices", "--backend", backend]);
            run.expect(2, &["does not exist", "this system supports: vulkan, gl"]);
            place.run_with(&[("DIFFEWS_BACKEND", backend)], &query).expect(2, &["does not exist"]);
        }
        // One of several is enough, and a flag has precedence.
        place.run_with(&[("WGPU_BACKEND", "dx12, vulkan"), NO_DRIVER[0], NO_DRIVER[1]], &["devices"]).expect(4, &[]);
        place
            .run_with(&[("WGPU_BACKEND", "foo"), NO_DRIVER[0], NO_DRIVER[1]], &["devices", "--backend", "vulkan"])
            .expect(4, &[]);
    }
    assert_eq!(place.names(), ["q.png", "s.png", "s_mask.png"]);
}

/// Flags, then DIFFEWS_*, then WGPU_*: the weaker setting names an adapter that does not exist.
#[test]
fn the_stronger_setting_wins() {
    let place = Place::new();
    let devices = |env: &[(&str, &str)], args: &[&str]| place.run_with(env, &[&["devices"], args].concat());
    devices(&[("WGPU_ADAPTER_NAME", "nothing")], &[]).expect(4, &["nothing"]);
    devices(&[("WGPU_ADAPTER_NAME", "nothing"), ("DIFFEWS_ADAPTER", "0")], &[]).expect(0, &[]);
    devices(&[("DIFFEWS_ADAPTER", "nothing")], &[]).expect(4, &["nothing"]);
    devices(&[("DIFFEWS_ADAPTER", "nothing")], &["--adapter", "0"]).expect(0, &[]);
    let size = [("DIFFEWS_SIZE", "100")];
    place.run_with(&size, &infer(&["--query", "q.png"])).expect(2, &["96", "112"]);
    place.run_with(&size, &infer(&["--query", "q.png", "--size", "64"])).expect(0, &[]);
    // Empty is unset.
    let empty = ["DIFFEWS_ADAPTER", "DIFFEWS_BACKEND", "WGPU_BACKEND", "WGPU_ADAPTER_NAME"];
    devices(&empty.map(|name| (name, "")), &[]).expect(0, &[]);
}

#[test]
fn devices_marks_one_adapter() {
    let place = Place::new();
    let all: serde_json::Value = serde_json::from_str(&place.run(&["devices", "--json"]).expect(0, &[]).out).unwrap();
    let chosen = all.as_array().unwrap().iter().filter(|a| a["chosen"] == true);
    let names: Vec<&str> = chosen.map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 1);
    let table = place.run(&["devices"]).expect(0, &[]).out;
    let marked: Vec<&str> = table.lines().filter(|l| l.starts_with("*  ")).collect();
    assert_eq!(marked.len(), 1);
    assert!(marked[0].contains(names[0]), "{table}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::new();
    for args in [&["devices"][..], &["model", "info"], &infer(&["--query", "q.png", "--json"])] {
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !err.contains("panicked"), "{args:?}: {err}");
    }
    assert!(place.path("q_mask.png").is_file());
}
