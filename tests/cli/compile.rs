//! `compile`: tests a driver's compiler without running anything.

use crate::command::{NO_DRIVER, Place};
use serde_json::Value;
use std::fs;

/// On any driver, every model's pipelines are made once, in its storages.
#[test]
fn what_models_run_compiles() {
    let place = Place::new();
    place.run(&["compile", "--models", "--json", "c.json"]).expect(0, &[]);
    let found: Value = serde_json::from_slice(&fs::read(place.path("c.json")).unwrap()).unwrap();
    let rows = found["pipelines"].as_array().unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_string();
    for model in ["embedded/f32", "embedded/f16", "sd21/f32", "sd21/f16", "sd15/f32", "sd15/f16"] {
        let of = |kernel: &str| {
            let runs = |row: &&Value| row["models"].as_array().unwrap().contains(&model.into());
            rows.iter().filter(runs).any(|row| text(row, "kernel") == kernel)
        };
        for kernel in ["attention", "conv2d", "affine", "group_norm", "group_stats", "layer_norm"] {
            assert!(of(kernel), "{model} runs no {kernel}");
        }
    }
    let mut seen = Vec::new();
    for row in rows {
        assert!(row["milliseconds"].as_f64().unwrap() > 0.0 && row["error"].is_null(), "{row}");
        for storage in row["storage"].as_array().unwrap() {
            let of = ["kernel", "form", "variant"].map(|key| text(row, key));
            assert!(!seen.contains(&(of.clone(), storage)), "twice: {row}");
            seen.push((of, storage));
        }
    }
    // Files are not replaced unless forced.
    place.run(&["compile", "--models", "--json", "c.json"]).expect(1, &["c.json", "--force"]);
    place.run_with(&NO_DRIVER, &["compile"]).expect(4, &["no adapter"]);
}

/// Any driver will do, because the results are not checked.
#[test]
fn bench_tells_the_hosts_own_time() {
    let place = Place::new();
    let run = place.run(&["bench", "--host", "--size", "64", "--repetitions", "2", "--json"]).expect(0, &[]);
    let found: Value = serde_json::from_str(&run.out).unwrap();
    let stages: Vec<&str> = found["stages"].as_array().unwrap().iter().map(|s| s["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["encode query", "query pass", "decode"]);
    let number = |value: &Value| value.as_f64().unwrap();
    let whole: f64 = found["stages"].as_array().unwrap().iter().map(|s| number(&s["ms"])).sum();
    assert!(whole > 0.0 && whole <= 2.0 * number(&found["most_ms"]), "{found}");
    assert!(number(&found["submissions"]) >= 3.0, "{found}");
    let run = place.run(&["bench", "--work", "--model", "sd21", "--size", "512", "--json"]).expect(0, &[]);
    let work: Value = serde_json::from_str(&run.out).unwrap();
    // The operations of the published pipeline: 7.58 TFLOP.
    assert!((7.4e12..7.8e12).contains(&number(&work["published_flop"])), "{work}");
    let whole: f64 = work["stages"].as_array().unwrap().iter().map(|s| number(&s["executed_flop"])).sum();
    assert!(whole == number(&work["executed_flop"]) && number(&work["next_query_ratio"]) < 0.62, "{work}");
    // Half of them by Winograd's algorithm, whose weights are four times as large, and no tensor twice.
    assert!(number(&work["ratio"]) <= 0.45 && number(&work["peak_memory_bytes"]) <= 2.6 * 1073741824.0, "{work}");
    place.run(&["bench", "--host", "--model", "nothing"]).expect(2, &["nothing", "sd21"]);
    place.run(&["bench", "--host", "--size", "65"]).expect(2, &["65"]);
}
