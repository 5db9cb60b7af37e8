//! `conformance report` and `replay`: a case as one file, from an untrusted source.

use crate::command::{NO_DRIVER, Place};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

const CASE: &str = "kernels.affine.plain.packed.7x11x-5-2";

type Files = BTreeMap<String, Vec<u8>>;

fn unpacked(bytes: &[u8]) -> Files {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let file = |entry: std::io::Result<tar::Entry<GzDecoder<&[u8]>>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().strip_prefix("case").unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    archive.entries().unwrap().map(file).collect()
}

fn packed(files: &Files) -> Vec<u8> {
    let mut all = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        all.append_data(&mut header, format!("case/{name}"), bytes.as_slice()).unwrap();
    }
    all.into_inner().unwrap().finish().unwrap()
}

/// The files of a case reported here.
fn reported(place: &Place) -> Files {
    place.run(&["conformance", "report", CASE, "-o", "c.tar.gz"]).expect(0, &["replay"]);
    unpacked(&fs::read(place.path("c.tar.gz")).unwrap())
}

#[test]
fn a_case_is_reported_whole_and_replayed() {
    let place = Place::new();
    let files = reported(&place);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    for part in ["README.md", "case.json", "shaders/0-affine.wgsl", "shaders/0-affine.spv", "shaders/0-affine.hlsl"] {
        assert!(names.contains(&part), "{part}: {names:?}");
    }
    for folder in ["data/", "elements/", "got/"] {
        assert!(names.iter().any(|name| name.starts_with(folder)), "{folder}: {names:?}");
    }
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let readme = text("README.md");
    let command = format!("--only '^{CASE}$'");
    assert!(readme.contains("conformance replay") && readme.contains(&command) && !readme.contains('@'), "{readme}");
    let case: Value = serde_json::from_str(&text("case.json")).unwrap();
    assert!(case["row"]["status"] == "passed" && case["made"]["seed"] == 20241, "{case}");

    let run = place.run(&["conformance", "replay", "c.tar.gz"]).expect(0, &[]);
    let ends: Vec<&str> = run.out.lines().map(|line| line.split_once(": ").unwrap().1.trim_start()).collect();
    // Running it again on the same adapter.
    assert!(ends.len() == 2 && ends[0] == ends[1] && ends[0].starts_with("ok"), "{}", run.out);
    place.run(&["conformance", "report", CASE, "-o", "c.tar.gz"]).expect(1, &["c.tar.gz", "--force"]);
    place.run(&["conformance", "report", CASE, "-o", "c.tar.gz", "--force", "--seed", "2"]).expect(0, &[]);
    place.run(&["conformance", "report", "no.such.case", "-o", "d.tar.gz"]).expect(2, &["no.such.case"]);
    place.run(&["conformance", "report", "whole.model.rule.f32.mask", "-o", "d.tar.gz"]).expect(2, &["whole model"]);
    place.run_with(&NO_DRIVER, &["conformance", "replay", "c.tar.gz"]).expect(4, &["no adapter"]);
    assert!(!place.path("d.tar.gz").exists());
    // A bundle from another machine.
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/conformance/convert.tar.gz");
    let kept = place.run(&["conformance", "replay", kept]).expect(0, &[]);
    assert!(kept.out.contains("here:  ok"), "{}", kept.out);
}

#[test]
fn a_wrong_result_is_seen_and_a_foreign_shader_told_of() {
    let place = Place::new();
    let mut files = reported(&place);
    let shader = "shaders/0-affine.wgsl";
    let text = String::from_utf8(files[shader].clone()).unwrap();
    files.insert(shader.into(), (text + "\n// mended\n").into_bytes());
    place.write("foreign.tar.gz", &packed(&files));
    let note = "differ from this program's";
    place.run(&["conformance", "replay", "foreign.tar.gz"]).expect(0, &[note]);

    let mut files = reported_again(&place);
    let elements = files.keys().find(|name| name.starts_with("elements/")).unwrap().clone();
    let text = String::from_utf8(files[&elements].clone()).unwrap();
    // Change the first expected element.
    let line = text.lines().nth(1).unwrap();
    files.insert(elements, text.replacen(line, "0,7e3,7e3,7e3,1e-3,7e3,7e3,1e-3,", 1).into_bytes());
    place.write("wrong.tar.gz", &packed(&files));
    let run = place.run(&["conformance", "replay", "wrong.tar.gz"]).expect(5, &[]);
    assert!(
        run.out.contains("here:  FAIL") && run.out.contains("expected 7e3") && !run.err.contains(note),
        "{}",
        run.out
    );
}

fn reported_again(place: &Place) -> Files {
    unpacked(&fs::read(place.path("c.tar.gz")).unwrap())
}

/// Any contents of such a file give a clear error, never a panic.
#[test]
fn strange_files_are_refused() {
    let place = Place::new();
    let files = reported(&place);
    let case: Value = serde_json::from_slice(&files["case.json"]).unwrap();
    let refused = |files: &Files, said: &str| {
        place.write("x.tar.gz", &packed(files));
        place.run(&["conformance", "replay", "x.tar.gz"]).expect(2, &["x.tar.gz", said]);
    };
    let changed = |path: &str, value: Value| {
        let mut case = case.clone();
        *case.pointer_mut(path).unwrap() = value;
        let mut files = files.clone();
        files.insert("case.json".into(), case.to_string().into_bytes());
        files
    };
    let huge = u64::from(u32::MAX);
    for (path, value, said) in [
        ("/format", json!(2), "format 2"),
        ("/tensors/0/height", json!(0), "shape"),
        ("/tensors/0/height", json!(huge), "shape"),
        ("/tensors/0/width", json!(-1), "case.json"),
        ("/tensors/0/channels", json!([]), "shape"),
        ("/tensors/0/channels", json!([huge, huge, huge]), "shape"),
        ("/tensors/0/height", json!(3), "its tensor"),
        ("/dispatches", json!([]), "nothing to run"),
        ("/dispatches/0/inputs/0/tensor", json!(99), "tensor 99"),
        ("/dispatches/0/inputs/0/offset", json!(u64::MAX), "which is outside of it"),
        ("/dispatches/0/inputs/0/size", json!(0), "binds 0 bytes"),
        ("/dispatches/0/inputs/0/size", json!(huge), "which is outside of it"),
        ("/dispatches/0/workgroups", json!([0, 1, 1]), "workgroups"),
        ("/dispatches/0/params", json!([]), "0 parameters"),
        ("/dispatches/0/outputs", json!([]), "bindings"),
        ("/dispatches/0/shader", json!("../../etc/passwd"), "it lacks shaders/"),
        ("/row/id", json!("a b"), "not a case id"),
        ("/row", json!(3), "case.json"),
    ] {
        refused(&changed(path, value), said);
    }
    let without = |name: &str| {
        let mut files = files.clone();
        files.remove(name).unwrap();
        files
    };
    refused(&without("case.json"), "lacks case.json");
    refused(&without("shaders/0-affine.wgsl"), "lacks shaders/0-affine.wgsl");
    let elements = files.keys().find(|name| name.starts_with("elements/")).unwrap();
    let with = |name: &str, bytes: &[u8]| {
        let mut files = files.clone();
        files.insert(name.into(), bytes.to_vec());
        files
    };
    for text in ["", "head\n9999999,0,0,0,0,0,0,0,", "head\n0,nan,0,0,0,0,0,0,", "head\n0,0,1,0,1,0,0,0,", "head\n0,1"]
    {
        refused(&with(elements, text.as_bytes()), "elements/");
    }
    refused(&with("shaders/0-affine.wgsl", b"#for i 4000000000\nx\n#endfor"), "begin with #");
    refused(&with("shaders/0-affine.wgsl", &[0xff]), "not UTF-8 text");
    // A shader that the translator rejects fails the case, as in any other case.
    let sums = format!("@compute @workgroup_size(1) fn main() {{ var x = 1{}; }}", "+1".repeat(130_000));
    for text in ["fn main() {}", "nonsense", &"(".repeat(100_000), &sums] {
        place.write("x.tar.gz", &packed(&with("shaders/0-affine.wgsl", text.as_bytes())));
        let run = place.run(&["conformance", "replay", "x.tar.gz"]).expect(5, &[]);
        assert!(run.out.contains("here:  FAIL"), "{}", run.out);
    }
    // Beyond an adapter's limits, which only the adapter knows.
    for (path, value) in
        [("/dispatches/0/workgroups", json!([huge, 1, 1])), ("/dispatches/0/inputs/0/offset", json!(4))]
    {
        place.write("x.tar.gz", &packed(&changed(path, value)));
        let run = place.run(&["conformance", "replay", "x.tar.gz"]);
        assert!([1, 2].contains(&run.code), "{}: {}", run.code, run.err);
    }
    for (name, bytes) in [("a", &b"no archive"[..]), ("b", &[0x1f, 0x8b, 8, 0][..]), ("c", &[][..])] {
        place.write(name, bytes);
        place.run(&["conformance", "replay", name]).expect(2, &["not a case of conformance report"]);
    }
    place.run(&["conformance", "replay", "absent"]).expect(1, &["absent: cannot be read"]);
    place.run(&["conformance", "replay", "."]).expect(1, &["is not a regular file"]);
}
