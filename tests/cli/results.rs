//! The embedded model on the demonstration's pictures, against PyTorch and the ground truth.

use crate::command::{Place, infer, lines, picture, repository};
use std::fs;
use std::path::Path;

/// IoU of PyTorch's masks of the three scenes with the ground truth. A pixel at the border changes it by a thousandth.
const IOU: [f64; 3] = [0.939, 0.961, 0.980];

/// `[h, w]` float32 of a NumPy file of format 1.0.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..data]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("(160, 160)"), "{header}");
    bytes[data..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn relative_l2(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let difference = square(&mut got.iter().zip(want).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    (difference / square(&mut want.iter().map(|&v| f64::from(v)))).sqrt()
}

fn iou(a: &Path, b: &Path) -> f64 {
    let [a, b] = [a, b].map(|path| image::open(path).unwrap().into_luma8());
    assert_eq!(a.dimensions(), b.dimensions());
    let count =
        |hit: fn(bool, bool) -> bool| a.iter().zip(b.iter()).filter(|&(&a, &b)| hit(a >= 128, b >= 128)).count();
    count(|a, b| a && b) as f64 / count(|a, b| a || b) as f64
}

/// Segments scene `i` and compares map and mask; its IoU may differ by `apart` from that of PyTorch's mask.
fn scene(i: usize, precision: &str, most: f64, apart: f64) {
    let place = Place::new();
    let example = |name: &str| repository().join(format!("examples/{i}/{name}.png"));
    let [support, mask, query] = ["support", "support_mask", "query"].map(|n| example(n).to_str().unwrap().to_owned());
    let args = ["infer", "--support", &support, "--mask", &mask, "--query", &query, "--precision", precision];
    place.run(&[&args[..], &["--output", "mask.png", "--probability", "map.npy", "-q"]].concat()).expect(0, &[]);
    let golden = npy(&repository().join(format!("tests/golden/nano/{i}.npy")));
    let error = relative_l2(&npy(&place.path("map.npy")), &golden);
    let overlap = iou(&place.path("mask.png"), &example("query_truth"));
    println!("scene {i} in {precision}: relative L2 {error:.2e}, IoU with the truth {overlap:.3}");
    assert!(error <= most, "scene {i} in {precision}: relative L2 {error:e}");
    assert!((overlap - IOU[i]).abs() < apart, "scene {i} in {precision}: IoU {overlap}");
    // The comparison itself can fail: another scene's map is far away.
    let other = npy(&repository().join(format!("tests/golden/nano/{}.npy", (i + 1) % 3)));
    assert!(relative_l2(&other, &golden) > 0.1);
}

#[test]
fn scenes_agree_with_pytorch_in_f32() {
    (0..3).for_each(|i| scene(i, "f32", 1e-5, 0.003));
}

#[test]
fn scenes_agree_with_pytorch_in_half_precision() {
    (0..3).for_each(|i| scene(i, "f16", 3e-3, 0.003));
}

/// The cost of 8 bits is a property of the weights: measured, and bounded by that.
#[test]
fn scenes_agree_with_pytorch_in_8_bits() {
    (0..3).for_each(|i| scene(i, "q8", 3e-2, 0.01));
}

/// A requested form runs, or it is an error.
#[test]
fn forms_are_taken_as_asked_or_refused() {
    let place = Place::new();
    let asked =
        ["--query", "q.png", "--json", "--size", "64", "--form", "conv2d=tiled-64", "--form", "attention=tiled-64"];
    let answers = lines(&place.infer(&asked).expect(0, &[]).out);
    assert_eq!(
        answers[0]["forms"],
        serde_json::json!(["affine=plain", "attention=tiled-64", "conv2d=tiled-64", "group_stats=plain"])
    );
    for size in [&[][..], &["--size", "64"]] {
        let misfit = [&["--query", "q.png", "--force", "--form", "conv2d=rows-4"], size].concat();
        place.infer(&misfit).expect(2, &["--form", "rows-4 of conv2d", "does not take"]);
    }
    let several = ["--query", "q.png", "--json", "--force", "--size", "64"];
    let several = [&several[..], &["--form", "conv2d=winograd-tiled-32", "--form", "conv2d=tiled-64"]].concat();
    let answers = lines(&place.infer(&several).expect(0, &[]).out);
    let forms = answers[0]["forms"].to_string();
    assert!(forms.contains("conv2d=winograd-tiled-32") && forms.contains("conv2d=tiled-64"), "{forms}");
    assert!(!forms.contains("conv2d=tiled-32"), "{forms}");
}

/// An adapter's passed checks are stored and shown. A damaged file counts as none, and `--no-self-check` skips the checks.
#[test]
fn devices_tells_which_adapters_passed() {
    let place = Place::new();
    let env = [("DIFFEWS_CACHE", "cache/of/mine")];
    let infer = |more: &[&str]| {
        let args = [&["--query", "q.png", "--size", "16", "--force"], more].concat();
        place.run_with(&env, &infer(&args)).expect(0, &[]);
    };
    let checks = || {
        let said = place.run_with(&env, &["devices", "--json"]).expect(0, &[]).out;
        let rows: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        rows.into_iter().find(|row| row["chosen"] == true).unwrap()["self_check"].clone()
    };
    infer(&["--no-self-check"]);
    assert_eq!(checks(), "not_checked");
    infer(&[]);
    assert_eq!(checks(), "passed");
    std::fs::write(place.path("cache/of/mine/self-check.json"), "[{").unwrap();
    assert_eq!(checks(), "not_checked");
    infer(&[]);
    assert_eq!(checks(), "passed");
}

#[test]
fn json_tells_what_was_done() {
    let place = Place::new();
    let shots =
        ["--support", "q.png", "--mask", "q.png", "--query", "q.png", "--absolute-threshold", "0.5", "--json", "-v"];
    let run = place.infer(&shots).expect(0, &["note: no --weights", "device memory"]);
    let answers = lines(&run.out);
    assert_eq!(answers.len(), 1);
    let answer = &answers[0];
    assert_eq!((answer["query"].as_str(), answer["mask"].as_str()), (Some("q.png"), Some("q_mask.png")));
    assert_eq!(answer["supports"][1]["mask"], "q.png");
    assert_eq!(answer["threshold"]["absolute"], 0.5);
    assert_eq!(answer["guided_filter"]["radius"], 8);
    assert_eq!(
        (answer["width"].as_u64(), answer["height"].as_u64(), answer["size"].as_u64()),
        (Some(60), Some(50), Some(160))
    );
    assert!(["adapter", "backend", "driver"].iter().all(|key| !answer[*key].as_str().unwrap().is_empty()));
    assert!(["f32", "packed", "f16"].contains(&answer["precision"].as_str().unwrap()));
    for stage in ["load_weights", "encode_support", "support_pass", "encode_query", "query_pass", "decode"] {
        assert!(answer["seconds"][stage].as_f64().unwrap() > 0.0, "{stage}");
    }
    assert!(answer["peak_memory_bytes"].as_u64().unwrap() > 4_000_000);
    // Fraction and box match the written mask.
    let mask = image::open(place.path("q_mask.png")).unwrap().into_luma8();
    let found: Vec<(u32, u32)> = mask.enumerate_pixels().filter(|p| p.2.0[0] == 255).map(|p| (p.0, p.1)).collect();
    let fraction = found.len() as f64 / 3000.0;
    assert!((answer["foreground_fraction"].as_f64().unwrap() - fraction).abs() < 1e-9);
    let edges = |of: fn(&(u32, u32)) -> u32| (found.iter().map(of).min(), found.iter().map(of).max());
    match &answer["bounding_box"] {
        serde_json::Value::Null => assert!(found.is_empty()),
        b => {
            let side = |at: &str, by: &str| {
                let first = b[at].as_u64().unwrap() as u32;
                (Some(first), Some(first + b[by].as_u64().unwrap() as u32 - 1))
            };
            assert_eq!((side("x", "width"), side("y", "height")), (edges(|p| p.0), edges(|p| p.1)));
        }
    }
}

#[test]
fn what_scores_too_low_is_not_there() {
    let place = Place::new();
    let answer = |flags: &[&str]| {
        let args = [&["--query", "q.png", "--output", "m.png", "--force", "--json"], flags].concat();
        let answer = lines(&place.infer(&args).expect(0, &[]).out).remove(0);
        let white = image::open(place.path("m.png")).unwrap().into_luma8().pixels().filter(|p| p.0[0] == 255).count();
        assert_eq!(answer["found"], white > 0);
        (answer["score"].as_f64().unwrap(), white)
    };
    let (score, white) = answer(&["--absolute-threshold", "0"]);
    assert!(score > 0.0 && score < 1.0 && white > 0, "{score} {white}");
    let just_below = (score - 1e-4).to_string();
    assert_eq!(answer(&["--absolute-threshold", "0", "--min-score", &just_below]), (score, white));
    let just_above = (score + 1e-4).to_string();
    assert_eq!(answer(&["--absolute-threshold", "0", "--min-score", &just_above]), (score, 0));
    place.infer(&["--query", "q.png", "--min-score", "1.5"]).expect(2, &["--min-score", "from 0 to 1"]);
}

#[test]
fn outlines_are_refined_as_the_model_says_or_the_user() {
    let place = Place::new();
    let filtered = |map: &str, flag: &[&str]| {
        let args =
            [&["--query", "q.png", "--output", "m.png", "--force", "--probability", map, "--json"], flag].concat();
        let answer = lines(&place.infer(&args).expect(0, &[]).out)[0]["guided_filter"].clone();
        (answer, npy(&place.path(map)))
    };
    let (none, raw) = filtered("raw.npy", &["--guided-filter", "0"]);
    let (default, map) = filtered("default.npy", &[]);
    let (same, again) = filtered("same.npy", &["--guided-filter", "8,1e-5"]);
    let (other, wide) = filtered("other.npy", &["--guided-filter", "2,0.01"]);
    assert!(none.is_null() && other["radius"] == 2, "{none} {other}");
    assert_eq!((default, map.clone()), (same, again));
    for different in [raw, wide] {
        assert!(relative_l2(&different, &map) > 1e-3);
    }
}

#[test]
fn several_queries_share_a_bank_and_answer_as_alone() {
    let place = Place::new();
    picture(33, 44).save(place.path("r.png")).unwrap();
    place.infer(&["--query", "q.png", "r.png", "--output", "both", "--probability", "both"]).expect(0, &[]);
    assert_eq!(
        crate::command::names(&place.path("both")),
        ["q_mask.png", "q_probability.png", "r_mask.png", "r_probability.png"]
    );
    place.infer(&["--query", "r.png", "--probability", "alone.png", "--absolute-threshold", "0.4"]).expect(0, &[]);
    let same = |a: &str, b: &str| assert_eq!(fs::read(place.path(a)).unwrap(), fs::read(place.path(b)).unwrap());
    same("both/r_probability.png", "alone.png");
    same("both/r_mask.png", "r_mask.png");
}

#[test]
fn quiet_says_nothing_and_show_draws() {
    let place = Place::new();
    let mut command = place.command(&infer(&["--query", "q.png", "-q"]));
    // Mesa's EGL prints to stderr where there is no GPU; Vulkan alone is silent.
    let quiet = command.env("WGPU_BACKEND", "vulkan,metal,dx12").output().unwrap();
    assert!(quiet.status.success() && quiet.stdout.is_empty(), "{quiet:?}");
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
    let shown = place.infer(&["--query", "q.png", "--force", "--show"]).expect(0, &["demonstration model"]).out;
    let drawing: Vec<&str> =
        shown.lines().filter(|l| l.len() == 64 && l.chars().all(|c| c == '#' || c == '.')).collect();
    assert_eq!(drawing.len(), 27, "{shown}");
}

/// File names that are not UTF-8 work like others.
#[cfg(target_os = "linux")]
#[test]
fn names_beyond_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let name = |end: &str| std::ffi::OsStr::from_bytes(&[b"q\xff", end.as_bytes()].concat()).to_owned();
    fs::copy(place.path("q.png"), place.path("").join(name(".png"))).unwrap();
    let mut command = place.command(&infer(&["--json", "--query"]));
    let output = command.arg(name(".png")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer = &lines(std::str::from_utf8(&output.stdout).unwrap())[0];
    assert_eq!((answer["query"].as_str(), answer["query_bytes"].as_str()), (Some("q\u{fffd}.png"), Some("q%FF.png")));
    assert_eq!(answer["mask_bytes"], "q%FF_mask.png");
    assert!(answer["supports"][0]["image_bytes"].is_null());
    assert!(place.path("").join(name("_mask.png")).is_file());
}

/// Interrupted in the middle: exit code 130, and every existing file is complete.
#[cfg(unix)]
#[test]
fn interrupts_leave_no_half_file() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    for i in 0..20 {
        picture(300, 300).save(place.path(&format!("in/{i:02}.png"))).unwrap();
    }
    let args = infer(&["--query", "in", "--output", "out", "--size", "256"]);
    let mut child = place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The first result is written, the others are not.
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("00_mask.png"), "{first}");
    crate::command::signal(&child, nix::sys::signal::Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    let written = crate::command::names(&place.path("out"));
    assert!(!written.is_empty() && written.len() < 20, "{written:?}");
    for name in written {
        assert!(image::open(place.path("out").join(&name)).is_ok_and(|m| m.width() == 300), "{name}");
    }
}
