//! `bench`: its figures for an adapter, a kernel and a model.

use crate::command::Place;
use serde_json::Value;
use std::fs;

fn json(place: &Place, args: &[&str]) -> Value {
    let run = place.run(&[&["bench", "--json"], args].concat()).expect(0, &[]);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}", run.out))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn sum(rows: &Value, key: &str) -> f64 {
    rows.as_array().unwrap().iter().map(|row| number(&row[key])).sum()
}

fn is_part_of_a_roof(row: &Value) {
    let part = number(&row["percent_of_roof"]);
    assert!(part.is_finite() && part > 0.0, "{row}");
}

/// The roof comes first, then the rows relative to it.
#[test]
fn rows_beside_the_roof() {
    let place = Place::new();
    let args = ["bench", "--only", "SiLU", "--repetitions", "1", "--precision", "f32", "--json"];
    let run = place.run(&args).expect(0, &[]);
    let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let (roof, rows) = lines.split_first().unwrap();
    assert_eq!(roof["kernel"], "roof");
    let [flops, bytes] = ["gflops", "gbytes"].map(|key| 1e9 * number(&roof[key]));
    assert!(flops > 1e6 && flops.is_finite() && bytes > 1e6 && bytes.is_finite(), "{roof}");
    assert!(rows.len() == 1 && rows[0]["kernel"] == "affine", "{rows:?}");
    for row in rows {
        is_part_of_a_roof(row);
        assert!(number(&row["gflops"]) > 0.0 && number(&row["gbytes"]) > 0.0, "{row}");
        assert!(["arithmetic", "memory"].contains(&row["bound"].as_str().unwrap()), "{row}");
    }
    // SiLU reads 64 x 64 x 320 elements, writes as many, and reads a scale and a shift per channel.
    let (moved, least) =
        (1e9 * number(&rows[0]["gbytes"]) * number(&rows[0]["median_seconds"]), 8.0 * 64.0 * 64.0 * 320.0);
    assert!((moved - least - 8.0 * 320.0).abs() < 1.0, "{}", rows[0]);
    place.run(&["bench", "--only", "nothing of this name"]).expect(2, &["--only"]);
}

const SMALL: [&str; 4] = ["--model", "embedded", "--size", "32"];

/// By stage, and by kernel if the device has timestamps: every dispatch of the plan, once.
#[test]
fn a_whole_model_by_stage_and_by_kernel() {
    let place = Place::new();
    let work = json(&place, &[&SMALL[..], &["--work", "--precision", "f32", "--shots", "2"]].concat());
    let found = json(&place, &[&SMALL[..], &["--repetitions", "2", "--shots", "2", "--random"]].concat());
    let stages = found["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["encode support", "support pass", "encode query", "query pass", "decode"]);
    for seconds in stages.iter().chain([&found["first_query"], &found["further_query"]]) {
        let [least, median, most] = ["least", "median", "most"].map(|key| number(&seconds[format!("{key}_seconds")]));
        assert!(
            0.0 < least && least <= median && median <= most && number(&seconds["first_seconds"]) > 0.0,
            "{seconds}"
        );
    }
    stages.iter().for_each(is_part_of_a_roof);
    assert!(number(&found["roof_gflops"]) > 0.0 && number(&found["roof_gbytes"]) > 0.0, "{found}");
    for key in ["published_flop", "executed_flop"] {
        assert_eq!(sum(&found["stages"], key), number(&work[key]), "{key}");
    }
    assert!(
        number(&found["further_query"]["least_seconds"]) < number(&found["first_query"]["most_seconds"]),
        "{found}"
    );
    assert_eq!(found["planned_memory_bytes"], work["peak_memory_bytes"]);
    assert_eq!(found["random_weights"], true);
    // Every Vulkan driver here has timestamps.
    if found["backend"] == "vulkan" || !found["kernels"].is_null() {
        assert_eq!(sum(&found["kernels"], "dispatches"), number(&work["dispatches"]), "{found}");
        found["kernels"].as_array().unwrap().iter().for_each(is_part_of_a_roof);
        assert!((sum(&found["kernels"], "share") - 1.0).abs() < 1e-9 && sum(&found["kernels"], "seconds") > 0.0);
    }
}

/// Every dispatch of the plan, within the host's stages. Files are not replaced unless forced.
#[test]
fn a_trace_has_every_dispatch() {
    let place = Place::new();
    let work = json(&place, &[&SMALL[..], &["--work", "--precision", "f32"]].concat());
    let query = ["--query", "q.png", "--size", "32", "--no-self-check", "--precision", "f32"];
    let run = place.infer(&[&query[..], &["--trace", "t.json", "--json", "-vv"]].concat()).expect(0, &[]);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    let trace: Value = serde_json::from_slice(&fs::read(place.path("t.json")).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |kind: &str| events.iter().filter(|event| event["cat"] == kind).collect::<Vec<_>>();
    let stages = of("stage");
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    let wanted =
        ["load weights", "encode support", "encode support", "support pass", "encode query", "query pass", "decode"];
    assert_eq!(names, wanted);
    assert_eq!(stages[4]["args"]["query"], "q.png");
    let end = |event: &Value| number(&event["ts"]) + number(&event["dur"]);
    let dispatches = of("dispatch");
    if report["backend"] == "vulkan" || !dispatches.is_empty() {
        assert_eq!(dispatches.len() as f64, number(&work["dispatches"]));
        let done = |event: &&Value| number(&event["args"]["flop"]) + number(&event["args"]["padding_flop"]);
        assert_eq!(dispatches.iter().map(done).sum::<f64>(), number(&work["executed_flop"]));
        for (before, after) in dispatches.iter().zip(&dispatches[1..]) {
            // Subtracting times loses a thousandth of a microsecond.
            assert!(end(before) <= number(&after["ts"]) + 0.01 && number(&before["dur"]) >= 0.0, "{before} {after}");
        }
        let (first, last) = (dispatches[0], dispatches[dispatches.len() - 1]);
        assert!(number(&first["ts"]) >= number(&stages[1]["ts"]) && end(last) <= end(stages[6]), "{first} {last}");
        assert!(run.err.contains("share") && run.err.contains("conv2d"), "{}", run.err);
        assert_eq!((&first["name"], &first["args"]["pass"]), (&"conv2d".into(), &"VAE encoder".into()));
        assert!(first["args"]["shapes"].as_str().unwrap().starts_with("[32, 32, 3] "), "{first}");
    } else {
        assert!(run.err.contains("no timestamps"), "{}", run.err);
    }
    let again = ["--output", "m.png", "--trace"];
    place.infer(&[&query[..], &again, &["t.json"]].concat()).expect(1, &["t.json", "--force"]);
    place.infer(&[&query[..], &again, &["m.png", "--force"]].concat()).expect(2, &["--trace m.png"]);
    place.infer(&[&query[..], &again, &["./q.png", "--force"]].concat()).expect(2, &["--trace ./q.png"]);
    place.infer(&[&query[..], &again, &["-"]].concat()).expect(2, &["--trace -"]);
    place.infer(&[&query[..], &again, &["none/t.json"]].concat()).expect(1, &["none"]);
    assert_eq!(place.names(), ["q.png", "q_mask.png", "s.png", "s_mask.png", "t.json"]);
}

/// Three curves, each with growing operation counts.
#[test]
fn a_plot_of_what_grows() {
    let place = Place::new();
    let args = ["--plot", "p.svg", "--size", "32", "--no-self-check"];
    let found = json(&place, &args);
    let curves = found["curves"].as_array().unwrap();
    let at = |curve: &Value| -> Vec<u64> {
        let of = match curve["of"].as_str().unwrap() {
            "size" => "size",
            "supports" => "supports",
            _ => "queries",
        };
        curve["points"].as_array().unwrap().iter().map(|point| point[of].as_u64().unwrap()).collect()
    };
    assert_eq!(curves.iter().map(at).collect::<Vec<_>>(), [vec![16, 32], vec![1, 5, 10, 20], vec![1, 2, 5, 10]]);
    for curve in curves {
        let points = curve["points"].as_array().unwrap();
        assert!(points.iter().all(|point| number(&point["seconds"]) > 0.0), "{curve}");
        assert!(points.windows(2).all(|pair| number(&pair[0]["flop"]) < number(&pair[1]["flop"])), "{curve}");
        assert!(points.windows(2).all(|pair| pair[0]["memory_bytes"].as_u64() <= pair[1]["memory_bytes"].as_u64()));
        assert!(curve["left_out"].as_array().unwrap().is_empty(), "{curve}");
    }
    let svg = fs::read_to_string(place.path("p.svg")).unwrap();
    // Each point occurs once in the panel of seconds, and once in that of memory.
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!((svg.matches("<circle").count(), svg.matches("<g ").count()), (20, 6), "{svg}");
    let bench = |args: &[&str]| place.run(&[&["bench"], args].concat());
    bench(&args).expect(1, &["p.svg", "--force"]);
    bench(&["--plot", "p.png"]).expect(2, &["p.png", ".svg"]);
    bench(&["--plot", "q.svg", "--only", "SiLU"]).expect(2, &["--only"]);
    bench(&["--plot", "q.svg", "--size", "33"]).expect(2, &["33"]);
    bench(&["--plot", "q.svg", "--model", "sd15"]).expect(2, &["sd15", "--random"]);
    bench(&["--force"]).expect(2, &["--plot"]);
}

#[test]
fn flags_that_say_nothing_are_named() {
    let place = Place::new();
    place.run(&["bench", "--model", "sd21"]).expect(2, &["sd21", "--random"]);
    place.run(&["bench", "--model", "nothing", "--random"]).expect(2, &["nothing", "sd21"]);
    place.run(&["bench", "--random"]).expect(2, &["--model"]);
    place.run(&["bench", "--shots", "2"]).expect(2, &["--model"]);
    place.run(&["bench", "--size", "64"]).expect(2, &["--model"]);
    place.run(&["bench", "--model", "embedded", "--only", "SiLU"]).expect(2, &["--only"]);
    place.run(&["bench", "--model", "embedded", "--size", "65"]).expect(2, &["65"]);
    place.run(&["bench", "--work", "--random"]).expect(2, &["--random"]);
}
