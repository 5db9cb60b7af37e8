//! Runs with many results: finished work is kept, and the rest can be resumed.

use crate::bed::{Bed, Run, golden, infer};
use serde_json::{Value, json};

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// A wait that occurs in every run. The total number depends on speed, because each wait is in turns of a tenth of a second.
fn early_wait(sound: &Run) -> usize {
    sound.calls["submit"] / 6
}

#[test]
fn a_batch_goes_on_after_a_device_was_lost() {
    let queries = ["odd", "sd15", "five"].map(|name| golden().join(name).join("query.png"));
    let sound = Bed::new();
    let copies = |bed: &Bed| {
        for (i, query) in queries.iter().enumerate() {
            std::fs::copy(query, bed.path(&format!("{i}.png"))).unwrap();
        }
    };
    copies(&sound);
    let args = infer(&["0.png", "1.png", "2.png"], &["--output", ".", "--json"]);
    let run = sound.run("none", &strs(&args));
    assert_eq!(run.code, 0, "{}", run.err);
    let late = run.calls["submit"] - 5;
    for fault in [format!("lost@submit:{late}"), format!("lost@wait:{}", early_wait(&run))] {
        let bed = Bed::new();
        copies(&bed);
        let run = bed.run(&fault, &strs(&args));
        assert_eq!((run.code, run.out.lines().count()), (0, 3), "{fault}: {}", run.err);
        assert!(run.err.contains("opening the device again and retrying"), "{fault}: {}", run.err);
        for mask in ["0_mask.png", "1_mask.png", "2_mask.png"] {
            assert!(bed.read(mask) == sound.read(mask), "{fault}: {mask}");
        }
    }
}

/// Scores of a run, without the seconds.
fn scores(bed: &Bed) -> Vec<(Value, Value)> {
    let results = String::from_utf8(bed.read("out/results.jsonl")).unwrap();
    let lines = results.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let mut all: Vec<_> = lines.skip(1).map(|r| (r["episode"].clone(), r["counts"].clone())).collect();
    all.sort_by_key(|r| r.0.as_u64());
    all
}

#[test]
fn eval_keeps_what_was_done() {
    let episode = |query: &str| {
        json!({
            "class": "cat",
            "supports": [{"image": "odd/support_0.png", "mask": "odd/support_0_mask.png"}],
            "query": {"image": format!("{query}/query.png"), "mask": format!("eval/{query}_truth.png"), "value": 7},
        })
    };
    let all = ["odd", "five", "sd15", "sd21", "odd", "five"].map(episode);
    let episodes = json!({ "episodes": all }).to_string();
    let (root, weights) = (golden(), golden().join("odd"));
    let args = [
        "eval",
        "--episodes",
        "e.json",
        "--root",
        root.to_str().unwrap(),
        "--weights",
        weights.to_str().unwrap(),
        "--precision",
        "f32",
        "--output",
        "out",
        "-q",
    ];
    let bed = || {
        let bed = Bed::new();
        std::fs::write(bed.path("e.json"), &episodes).unwrap();
        bed
    };
    let sound = bed();
    let run = sound.run("none", &args);
    assert_eq!(run.code, 0, "{}", run.err);
    let wanted = scores(&sound);
    assert_eq!(wanted.len(), 6);
    let at = |call: &str| run.calls[call] * 2 / 3;
    let faults = [
        format!("lost@wait:{}", early_wait(&run)),
        format!("lost@submit:{}", at("submit")),
        format!("oom@submit:{}", at("submit")),
        "oom@allocate:0".into(),
        "fail@map:0".into(),
    ];
    for fault in faults {
        let bed = bed();
        let run = bed.run(&fault, &args);
        let early = fault.ends_with(":0");
        assert!(run.hit && (run.code == 1 || early && run.code == 4), "{fault}: exit {}: {}", run.code, run.err);
        if !early {
            assert!(run.err.contains("of 6 episodes are in out; --resume continues"), "{fault}: {}", run.err);
            assert!(scores(&bed).len() < 6, "{fault}");
        }
        let resumed = bed.run("none", &[&args[..], &["--resume"]].concat());
        assert_eq!((resumed.code, scores(&bed)), (0, wanted.clone()), "{fault}: {}", resumed.err);
    }
    let (hung, _) = bed().terminated(&format!("hang@submit:{}", at("submit")), &args);
    assert!([130, 143].contains(&hung.code), "exit {}: {}", hung.code, hung.err);
}

/// Cases by name, with status and reason.
fn cases(bed: &Bed) -> Vec<(String, String, String)> {
    let report: Value = serde_json::from_slice(&bed.read("r.json")).unwrap();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let rows = report["results"].as_array().unwrap().iter();
    rows.map(|r| (text(&r["case"]), text(&r["status"]), text(&r["reason"]))).collect()
}

#[test]
fn conformance_goes_on_with_a_new_device() {
    let args = ["conformance", "--only", "^kernels/affine/.*f32", "--json", "r.json", "-q"];
    let sound = Bed::new();
    let run = sound.run("none", &args);
    assert_eq!(run.code, 0, "{}", run.err);
    let all = cases(&sound);
    let at = |call: &str| run.calls[call] / 2;
    let faults = [
        ("lost@wait", early_wait(&run), "device lost"),
        ("lost@submit", at("submit"), "device lost"),
        ("oom@submit", at("submit"), "out of memory"),
        ("oom@allocate", 0, "emory"),
        ("fail@map", 0, "lost"),
    ];
    for (kind, n, reason) in faults {
        let bed = Bed::new();
        let fault = format!("{kind}:{n}");
        let run: Run = bed.run(&fault, &args);
        // If no device can be opened at all, the run fails before any case.
        if run.code == 4 {
            assert!(n == 0 && bed.names().is_empty(), "{fault}: {}", run.err);
            continue;
        }
        let found = cases(&bed);
        assert_eq!((run.code, found.len()), (5, all.len()), "{fault}: {}", run.err);
        let differ: Vec<_> = found.iter().zip(&all).filter(|(a, b)| a != b).map(|(a, _)| a).collect();
        assert_eq!(differ.len(), 1, "{fault}: {differ:?}");
        assert!(differ[0].1 == "failed" && differ[0].2.contains(reason), "{fault}: {differ:?}");
    }
}

/// Results from before the device hung are in the report; the waiting case is not.
#[test]
fn conformance_is_interrupted_while_a_device_hangs() {
    let args = ["conformance", "--only", "^kernels/affine/.*f32", "--json", "r.json", "-q"];
    let bed = Bed::new();
    let (run, _) = bed.terminated("hang@submit:9", &args);
    assert!([130, 143].contains(&run.code), "exit {}: {}", run.code, run.err);
    let report: Value = serde_json::from_slice(&bed.read("r.json")).unwrap();
    assert_eq!(report["adapters"][0]["made"]["interrupted"], true);
    assert!(cases(&bed).iter().all(|case| case.1 != "failed") && bed.names() == ["r.json"], "{:?}", cases(&bed));
}

#[test]
fn bench_names_what_was_lost() {
    let args = ["bench", "--only", "SiLU", "--repetitions", "1", "--precision", "f32"];
    let run = Bed::new().run("lost@wait:2", &args);
    assert!(run.code == 1 && run.hit && run.err.contains("device lost"), "exit {}: {}", run.code, run.err);
}

/// With a process per case, a crash or a hang affects one case, and all others run.
#[test]
fn isolated_cases_outlive_a_driver_that_ends_or_hangs_one() {
    let args =
        ["conformance", "--only", "^kernels/affine/.*f32", "--json", "r.json", "--csv", "r.csv", "--timeout", "6"];
    let sound = Bed::new();
    let run = sound.run("none", &args);
    assert_eq!(run.code, 0, "{}", run.err);
    let (all, middle) = (cases(&sound), run.calls["submit"] / 2);
    // A case that passes on a retry is a flake, not a failure.
    for (kind, retry, code, status, reason) in [
        ("crash", "0", 5, "crash", "the process ended: signal"),
        ("crash", "1", 0, "flake", "the process ended: signal"),
        ("hang", "1", 0, "flake", "not done after 6 s"),
    ] {
        let (bed, fault) = (Bed::new(), format!("{kind}@submit:{middle}"));
        let run = bed.run(&fault, &[&args[..], &["--retry", retry]].concat());
        assert!(run.hit && run.code == code, "{fault}: exit {}: {}", run.code, run.err);
        let found = cases(&bed);
        let differ: Vec<_> = found.iter().zip(&all).filter(|(a, b)| a != b).map(|(a, _)| a).collect();
        assert_eq!((found.len(), differ.len()), (all.len(), 1), "{fault}: {differ:?}");
        assert!(differ[0].1 == status && differ[0].2.contains(reason), "{fault}: {differ:?}");
        let csv = String::from_utf8(bed.read("r.csv")).unwrap().to_lowercase();
        let counted = csv.matches(&format!(",{status},")).count();
        assert_eq!((csv.lines().count(), counted), (all.len(), 1), "{fault}: {csv}");
    }
}
