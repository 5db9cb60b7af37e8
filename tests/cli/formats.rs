//! `--format`, and what counts as an object.

use crate::command::{Place, SUPPORT, lines};
use std::fs;

/// With such a threshold, objects are found in any picture.
const HOW: [&str; 6] = ["--size", "64", "--precision", "f32", "--threshold", "0.25"];

fn infer(place: &Place, more: &[&str]) -> crate::command::Run {
    place.run(&[&["infer"][..], &SUPPORT, &HOW, more].concat())
}

fn json(place: &Place, name: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap()
}

#[test]
fn objects_are_told_and_chosen() {
    let place = Place::new();
    let objects = |more: &[&str]| {
        let said = infer(&place, &[&["--query", "q.png", "--json", "--force"], more].concat()).expect(0, &[]);
        lines(&said.out)[0]["objects"].as_array().unwrap().clone()
    };
    let all = objects(&[]);
    let areas: Vec<u64> = all.iter().map(|object| object["area"].as_u64().unwrap()).collect();
    assert!(!areas.is_empty() && areas.is_sorted_by(|a, b| a >= b), "{areas:?}");
    assert!(all.iter().all(|object| (0.0..=1.0).contains(&object["score"].as_f64().unwrap())), "{all:?}");
    let foreground =
        || image::open(place.path("q_mask.png")).unwrap().to_luma8().pixels().filter(|p| p.0 == [255]).count() as u64;
    assert_eq!(foreground(), areas.iter().sum::<u64>());
    // The mask has the remaining objects.
    assert_eq!(objects(&["--largest"]).len(), 1);
    assert_eq!(foreground(), areas[0]);
    assert!(objects(&["--min-area", &(areas[0] + 1).to_string()]).is_empty());
    assert_eq!(foreground(), 0);
    let filled: u64 = objects(&["--fill-holes"]).iter().map(|object| object["area"].as_u64().unwrap()).sum();
    assert!(filled >= areas.iter().sum::<u64>(), "{filled}");
}

#[test]
fn all_queries_share_a_coco_file() {
    let place = Place::new();
    fs::copy(place.path("q.png"), place.path("r.png")).unwrap();
    infer(&place, &["--query", "q.png", "r.png", "--format", "coco", "--output", "c.json", "--json"]).expect(0, &[]);
    let coco = json(&place, "c.json");
    let [images, annotations] = ["images", "annotations"].map(|key| coco[key].as_array().unwrap().clone());
    assert_eq!((&images[0]["file_name"], &images[1]["file_name"]), (&"q.png".into(), &"r.png".into()));
    assert_eq!((&images[0]["width"], &images[0]["height"]), (&60.into(), &50.into()));
    assert_eq!(coco["categories"][0]["name"], "object");
    // Two pictures with the same content have the same objects.
    let of = |id: u64| {
        annotations.iter().filter(|a| a["image_id"] == id).map(|a| a["area"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert!(!of(1).is_empty() && of(1) == of(2), "{annotations:?}");
    assert!(annotations[0]["segmentation"]["counts"].is_string());
    assert!(!place.path("q_mask.png").exists());
    let kept = fs::read(place.path("c.json")).unwrap();
    let again = ["--query", "q.png", "--format", "coco", "--output", "c.json"];
    infer(&place, &again).expect(1, &["c.json", "--force"]);
    assert_eq!(fs::read(place.path("c.json")).unwrap(), kept);
    infer(&place, &[&again[..], &["--force", "--tolerance", "1"]].concat()).expect(0, &[]);
    assert!(json(&place, "c.json")["annotations"][0]["segmentation"][0].is_array());
    infer(&place, &["--query", "q.png", "--format", "coco-results", "--output", "r.json"]).expect(0, &[]);
    assert!(json(&place, "r.json")[0]["score"].is_number());
    infer(&place, &["--query", "q.png", "--format", "labelstudio"]).expect(0, &[]);
    assert!(json(&place, "annotations.json")[0]["predictions"][0]["result"].is_array());
}

#[test]
fn each_query_has_a_file_of_its_own() {
    let place = Place::new();
    for (format, file) in [
        ("yolo", "q.txt"),
        ("labelme", "q.json"),
        ("npz", "q.npz"),
        ("geojson", "q.geojson"),
        ("labelmap", "q_labels.png"),
    ] {
        let said = infer(&place, &["--query", "q.png", "--format", format, "--json"]).expect(0, &[]);
        assert!(!fs::read(place.path(file)).unwrap().is_empty(), "{file}");
        let said = &lines(&said.out)[0];
        let key = if format == "labelmap" { "mask" } else { "result" };
        assert_eq!(said[key], file, "{said}");
    }
    let yolo = fs::read_to_string(place.path("q.txt")).unwrap();
    assert!(yolo.lines().all(|line| line.starts_with("0 ") && line.split(' ').count() % 2 == 1), "{yolo}");
    assert_eq!(json(&place, "q.json")["shapes"][0]["label"], "object");
    assert_eq!(json(&place, "q.geojson")["type"], "FeatureCollection");
    let labels = image::open(place.path("q_labels.png")).unwrap().to_rgb8();
    assert!(labels.pixels().any(|p| p.0 == [128, 0, 0]));
    // Directories and names as for masks.
    infer(&place, &["--query", "q.png", "--format", "yolo", "--output", "labels/"]).expect(0, &[]);
    assert_eq!(fs::read_to_string(place.path("labels/q.txt")).unwrap(), yolo);
    assert_eq!(fs::read_to_string(place.path("labels/classes.txt")).unwrap(), "object\n");
    // A file with other classes is not overwritten.
    place.write("labels/classes.txt", b"cat\n");
    infer(&place, &["--query", "s.png", "--format", "yolo", "--output", "labels/"])
        .expect(1, &["classes.txt", "--force"]);
    infer(&place, &["--query", "q.png", "--format", "yolo", "--output", "other.txt"]).expect(0, &[]);
    infer(&place, &["--query", "q.png", "--format", "yolo", "--output", "other.png"]).expect(2, &[".txt"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("dir")).unwrap();
    let before = place.names();
    let refused = |more: &[&str], parts: &[&str]| {
        infer(&place, &[&["--query", "q.png"], more].concat()).expect(2, parts);
        assert_eq!(place.names(), before);
    };
    refused(&["--format", "coco", "--output", "dir"], &["dir", "one file"]);
    refused(&["--format", "coco", "--output", "s.png", "--force"], &["s.png", "input"]);
    refused(&["--format", "coco", "--skip-existing"], &["--skip-existing"]);
    refused(&["--format", "gif"], &["coco"]);
    refused(&["--format", "coco", "--tolerance=-1"], &["--tolerance"]);
    refused(&["--format", "coco", "--tolerance", "nan"], &["--tolerance"]);
}
