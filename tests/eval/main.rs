//! `eval` compared with numpy and PyTorch, and as a command: shards, interruptions, broken pictures.

mod bed;
#[path = "../common/mod.rs"]
mod common;
mod runs;
mod told;

use bed::Place;
use common::golden;
use diffews_wgpu::eval::{Counts, Summary, count, read_results};
use diffews_wgpu::image_io::{load_rgb, resize_bilinear_rgb};
use image::GrayImage;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn counts(of: &Value) -> Counts {
    serde_json::from_value(json!({"intersection": of["intersection"], "union": of["union"]})).unwrap()
}

#[test]
fn metrics_equal_numpys_on_random_masks() {
    let fixture = json_of(&golden().join("eval/metrics.json"));
    let episodes = fixture["episodes"].as_array().unwrap();
    assert!(episodes.len() >= 50);
    let mut scored = Vec::new();
    for (i, episode) in episodes.iter().enumerate() {
        let pixels = |key: &str| serde_json::from_value::<Vec<u8>>(episode[key].clone()).unwrap();
        let prediction: Vec<bool> = pixels("prediction").iter().map(|&p| p == 1).collect();
        let got = count(&prediction, &pixels("truth"));
        assert_eq!(got, counts(episode), "episode {i}");
        scored.push((episode["class"].as_str().unwrap(), got));
    }
    let summary = Summary::of(scored.iter().map(|(class, counts)| (*class, counts)), 0);
    // Sums of a few doubles in another order.
    let near = |got: f64, want: &Value| (got - want.as_f64().unwrap()).abs() <= 1e-14;
    assert!(near(summary.miou, &fixture["miou"]) && near(summary.fb_iou, &fixture["fb_iou"]), "{summary:?}");
    for (class, want) in fixture["per_class"].as_object().unwrap() {
        assert!(near(summary.per_class[class], want), "{class}");
    }
    assert_eq!(summary.per_class["never right"], 0.0);
    let [low, high] = summary.miou_ci95;
    assert!(low < summary.miou && summary.miou < high);
}

fn resized_picture(from: &Path, size: u32, to: &Path) {
    resize_bilinear_rgb(&load_rgb(from).unwrap(), size, size).save(to).unwrap();
}

/// Resizes a mask of levels or class numbers with PyTorch's nearest-neighbour indices.
fn resized_mask(from: &Path, size: u32, to: &Path) {
    let mask = image::open(from).unwrap().into_luma8();
    let source = |x: u32, of: u32| (x as f32 * (of as f32 / size as f32)) as u32;
    let at = |x, y| *mask.get_pixel(source(x, mask.width()), source(y, mask.height()));
    GrayImage::from_fn(size, size, at).save(to).unwrap();
}

#[test]
fn intersection_and_union_equal_pytorchs() {
    let (mut differing, mut compared) = (0, 0);
    for fixture in json_of(&golden().join("eval/parity.json")).as_array().unwrap() {
        let name = fixture["fixture"].as_str().unwrap();
        let spec = json_of(&golden().join(name).join("fixture.json"));
        let file = |v: &Value| golden().join(name).join(v.as_str().unwrap());
        let size = fixture["size"].as_u64().unwrap() as u32;
        let pairs = spec["supports"].as_array().unwrap();
        let pair = |i: usize| json!({"image": format!("{i}.png"), "mask": format!("{i}_mask.png")});
        let episode = json!({
            "class": "x",
            "supports": (0..pairs.len()).map(pair).collect::<Vec<_>>(),
            "query": {"image": "query.png", "mask": "truth.png", "value": fixture["value"]},
        });
        let place = Place::new(json!({"episodes": [episode]}));
        // PyTorch's inputs were resized by Pillow 13, which filters columns first for some of these pictures.
        for (i, pair) in pairs.iter().enumerate() {
            resized_picture(&file(&pair[0]), size, &place.path(&format!("{i}.png")));
            resized_mask(&file(&pair[1]), size, &place.path(&format!("{i}_mask.png")));
        }
        resized_picture(&file(&spec["query"]), size, &place.path("query.png"));
        resized_mask(&golden().join(format!("eval/{name}_truth.png")), size, &place.path("truth.png"));
        let of_fixture = |key: &str| golden().join(name).join(spec[key].as_str().unwrap());
        let weights = of_fixture("weights");
        for case in fixture["cases"].as_array().unwrap() {
            let (threshold, dir) = (case["threshold"].to_string(), format!("out{}", case["threshold"]));
            let mut args = vec!["--weights", weights.to_str().unwrap(), "--threshold", &threshold, "--output", &dir];
            let unet = spec.get("unet").map(|_| of_fixture("unet"));
            if let Some(unet) = &unet {
                args.extend(["--unet", unet.to_str().unwrap()]);
            }
            place.run(&args).expect(0);
            let (header, records) = read_results(&place.path(&dir).join("results.jsonl")).unwrap();
            assert_eq!(u64::from(header.size), fixture["size"].as_u64().unwrap());
            let (got, want) = (records[0].counts.unwrap(), counts(case));
            let uncertain = case["uncertain"].as_u64().unwrap();
            let all = |c: &Counts| [c.intersection, c.union].concat();
            for (got, want) in all(&got).iter().zip(all(&want)) {
                assert!(got.abs_diff(want) <= uncertain, "{name} at {threshold}: {got} and {want}, {uncertain} near");
                differing += usize::from(*got != want);
                compared += 1;
            }
            assert!(want.intersection[1] > 0 && want.intersection[0] > 0, "{name}: says little");
        }
    }
    println!("{differing} of {compared} counts differ from PyTorch's at all");
    assert!(compared >= 60);
}
