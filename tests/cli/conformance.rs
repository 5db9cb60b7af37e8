//! `conformance`: listing, reports, comparison, refusals.

use crate::command::{NO_DRIVER, Place};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;

const CASE: &str = "^language/numbers/(exp|all 65,536 halves read)/";

#[test]
fn cases_are_listed_by_id_and_title() {
    let place = Place::new();
    let all = place.run(&["conformance", "--list"]).expect(0, &[]);
    let all: Vec<&str> = all.out.lines().collect();
    for kernel in ["affine", "attention", "conv2d", "group_norm", "group_stats", "guided_filter", "layer_norm"] {
        for storage in ["f32", "packed", "f16"] {
            let of = |l: &&str| {
                let (id, title) = l.split_once('\t').unwrap();
                let called = id.starts_with(&format!("kernels.{kernel}.")) && id.contains(&format!(".{storage}."));
                called && title.starts_with(&format!("kernels/{kernel}/")) && title.contains(&format!("/{storage}/"))
            };
            assert!(all.iter().any(of), "{kernel} {storage}");
        }
    }
    let f16 = place.run(&["conformance", "--list", "--precision", "f16", "--only", "conv2d"]).expect(0, &[]);
    assert!(!f16.out.is_empty() && f16.out.lines().all(|l| l.contains("conv2d") && l.contains(".f16.")));
    assert!(place.run(&["conformance", "--list", "--full"]).expect(0, &[]).out.lines().count() > all.len());
}

#[test]
fn wrong_requests_are_refused() {
    let place = Place::new();
    let refused = |args: &[&str], parts: &[&str]| drop(place.run(args).expect(2, parts));
    refused(&["conformance", "--only", "("], &["--only", "("]);
    refused(&["conformance", "--only", "no such case"], &["--only", "--list"]);
    refused(&["conformance", "--quick", "--full"], &["cannot be used with"]);
    refused(&["conformance", "--list", "--json", "r.json"], &["cannot be used with"]);
    place.write("long.json", &vec![b' '; 1 << 24]);
    refused(&["conformance", "--from", "long.json"], &["long.json", "16777216 bytes or more"]);
    refused(&["conformance", "--json", "r.json", "--html", "./r.json"], &["two reports"]);
    place.write("other.json", b"{\"summary\": 3}");
    refused(&["conformance", "--only", CASE, "--compare", "other.json"], &["other.json"]);
    place.run(&["conformance", "--only", CASE, "--compare", "absent.json"]).expect(1, &["absent.json"]);
}

#[test]
fn without_an_adapter_nothing_passes() {
    for extra in [None, Some("--all-adapters")] {
        let args: Vec<&str> = ["conformance", "--only", CASE].into_iter().chain(extra).collect();
        Place::new().run_with(&NO_DRIVER, &args).expect(4, &["no adapter"]);
    }
}

#[test]
fn reports_say_what_was_run() {
    let place = Place::new();
    let files = ["--json", "r.json", "--junit", "r.xml", "--html", "r.html", "--dump", "shaders"];
    let args: Vec<&str> = ["conformance", "--only", CASE].into_iter().chain(files).collect();
    let run = place.run(&args).expect(0, &[]);
    assert!(run.out.contains("0 failed") && run.err.contains("seed 20241"), "{}{}", run.out, run.err);

    let report: Value = serde_json::from_slice(&fs::read(place.path("r.json")).unwrap()).unwrap();
    let count = |key: &str| report["summary"][key].as_u64().unwrap();
    assert_eq!((count("cases"), count("failed"), count("known")), (4, 0, 0));
    assert_eq!(count("passed") + count("not_run"), 4);
    let made = &report["adapters"][0]["made"];
    assert_eq!((&made["seed"], &made["full"], &made["only"]), (&20241.into(), &false.into(), &CASE.into()));
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for row in results {
        for key in ["id", "case", "kernel", "variant", "storage", "shape", "adapter", "driver", "status", "where"] {
            assert!(row[key].is_string(), "{key} of {row}");
        }
        if row["status"] == "passed" {
            assert!(row["ratio"].as_f64().unwrap() <= 1.0 && row["bound"].is_number() && row["error"].is_number());
        }
    }
    let junit = fs::read_to_string(place.path("r.xml")).unwrap();
    assert!(
        junit.contains("tests=\"4\" failures=\"0\"") && junit.contains("name=\"language.numbers.plain.f32.exp\""),
        "{junit}"
    );
    for property in [
        "\"seed\" value=\"20241\"",
        "\"driver\" value=",
        "\"device-id\" value=\"",
        "\"title\" value=\"language/numbers/exp/",
    ] {
        assert!(junit.contains(&format!("<property name={property}")), "{property}: {junit}");
    }
    let page = fs::read_to_string(place.path("r.html")).unwrap();
    assert!(
        page.contains("language/numbers/exp/f32")
            && page.contains("language.numbers.plain.f32.exp")
            && !page.contains("http"),
        "a page that needs another file"
    );
    let wgsl = fs::read_to_string(place.path("shaders/numbers-f32-exp.wgsl")).unwrap();
    assert!(wgsl.contains("exp(x)") && !wgsl.contains("tanh"));
    assert_eq!(&fs::read(place.path("shaders/numbers-f32-exp.spv")).unwrap()[..4], [3, 2, 0x23, 7]);
    assert!(fs::read_to_string(place.path("shaders/numbers-f32-exp.hlsl")).unwrap().contains("numthreads(64, 1, 1)"));
    assert!(fs::read_to_string(place.path("shaders/numbers-f32-exp.metal")).unwrap().contains("kernel void"));

    // The report does not differ from itself; against a machine with a failure, that case differs.
    let compare = ["conformance", "--only", CASE, "-q", "--compare", "r.json"];
    assert_eq!(place.run(&compare).expect(0, &[]).out.lines().count(), 1);
    let text = fs::read_to_string(place.path("r.json")).unwrap();
    place.write("r.json", text.replacen("\"status\":\"passed\"", "\"status\":\"failed\"", 1).as_bytes());
    let differs = place.run(&compare).expect(0, &[]);
    assert!(differs.out.contains("Passed") && differs.out.contains("Failed"), "{}", differs.out);

    // Reports are joined without running anything, and one failure fails the whole.
    let driver = report["results"][0]["driver"].as_str().unwrap();
    place.write("s.json", text.replace(driver, "another driver").as_bytes());
    let joined = place.run(&["conformance", "--from", "r.json", "s.json", "--html", "all.html"]).expect(5, &[]);
    assert!(joined.out.contains("8 cases on 2 adapters") && joined.out.contains("1 failed"), "{}", joined.out);
    assert!(fs::read_to_string(place.path("all.html")).unwrap().contains("another driver"));
    place.run_with(&NO_DRIVER, &["conformance", "--from", "s.json", "--json", "t.json"]).expect(0, &[]);
    assert_eq!(fs::read(place.path("s.json")).unwrap(), fs::read(place.path("t.json")).unwrap());
    place.run(&["conformance", "--from", "s.json", "s.json"]).expect(2, &["another driver", "--compare"]);
    place.run(&["conformance", "--from", "s.json", "--full"]).expect(2, &["cannot be used with"]);
}

/// A report with `rows` of results, as other programs might write it.
fn report(facts: &str, rows: &[String]) -> Vec<u8> {
    let head = r#"{"summary": {"cases": 0, "passed": 0, "failed": 0, "known": 0, "not_run": 0}, "adapters": [{"name": "A",
        "driver": "D", "backend": "vulkan", "facts": "#;
    format!("{head}{facts}}}], \"results\": [{}]}}", rows.join(",")).into_bytes()
}

fn row(case: &str, status: &str) -> String {
    format!(
        r#"{{"case": "{case}", "kernel": "k", "variant": "", "storage": "f32", "shape": "", "adapter": "A", "driver": "D",
            "status": "{status}", "ratio": 0.5, "error": 1, "bound": 2, "where": ""}}"#
    )
}

#[test]
fn strange_reports_are_refused_or_shown() {
    let place = Place::new();
    let refused = |name: &str, parts: &[&str]| {
        for args in [
            &["conformance", "--from", name, "--html", "h.html"][..],
            &["conformance", "--from", "ok.json", "--compare", name],
        ] {
            place.run(args).expect(2, parts);
        }
        assert!(!place.path("h.html").exists());
    };
    place.write("ok.json", &report("{}", &[row("a", "passed")]));
    place.write("twice.json", &report("{}", &[row("a", "passed"), row("b", "passed"), row("a", "failed")]));
    refused("twice.json", &["twice.json", "a occurs twice on A (D)"]);
    place.write("deep.json", &report(&("[".repeat(300) + &"]".repeat(300)), &[row("a", "passed")]));
    refused("deep.json", &["deep.json", "the facts of A", "recursion"]);
    let text = String::from_utf8(report("{}", &[row("a", "passed")])).unwrap();
    let adapter = &text[text.find("{\"name\"").unwrap()..text.find("], \"results\"").unwrap()];
    place.write("two.json", text.replace(adapter, &format!("{adapter}, {adapter}")).as_bytes());
    refused("two.json", &["two.json", "names A (D) twice"]);
    place.write("id.json", text.replace("\"case\": \"a\"", "\"id\": \"a,b\", \"case\": \"a\"").as_bytes());
    refused("id.json", &["id.json", "a,b is not a case id"]);
    // The compilers' figures are also data from a file.
    place.write("none.json", b"{\"columns\": [], \"devices\": {}}");
    let beside = |name| ["conformance", "--from", "ok.json", "--compiled", name, "--html", "h.html"];
    place.run(&beside("none.json")).expect(2, &["none.json", "no column kernel"]);
    assert!(!place.path("h.html").exists());
    let vendors = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/results/vendors.json");
    place.run(&beside(vendors.to_str().unwrap())).expect(0, &[]);
    assert!(fs::read_to_string(place.path("h.html")).unwrap().contains("radv@navi31"));
    fs::remove_file(place.path("h.html")).unwrap();
    // Facts of unexpected types are ignored.
    let odd = r#"{"device_type": 7, "subgroup_sizes": "</script>", "max_binding_bytes": {"a": []}, "more": [1]}"#;
    place.write("odd.json", &report(odd, &[row("a", "passed")]));
    place.run(&["conformance", "--from", "odd.json", "--html", "odd.html", "--json", "again.json"]).expect(0, &[]);
    let page = fs::read_to_string(place.path("odd.html")).unwrap();
    let data = page.split("id=\"data\">").nth(1).and_then(|rest| rest.split("</script>").next()).unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let facts = data["reports"][0]["adapters"][0]["adapter"]["facts"].as_object().unwrap();
    assert!(facts.contains_key("device_type") && facts.values().all(Value::is_null), "{facts:?}");
    let again: Value = serde_json::from_slice(&fs::read(place.path("again.json")).unwrap()).unwrap();
    assert_eq!(again["adapters"][0]["facts"]["more"][0], 1, "facts are passed on as they are");
}

/// Reports from before cases had ids get ids from their titles, and can be compared with others.
#[test]
fn older_reports_are_read() {
    let place = Place::new();
    let ids = |report: &str| -> Vec<String> {
        let report: Value = serde_json::from_slice(&fs::read(place.path(report)).unwrap()).unwrap();
        report["results"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    place.write("old.json", &report("{}", &[row("kernels/conv2d/1x1x1->1 linear/f32/tiled-64", "passed")]));
    place.run(&["conformance", "--from", "old.json", "--json", "new.json"]).expect(0, &[]);
    assert_eq!(ids("new.json"), ["kernels.conv2d.tiled-64.f32.1x1x1-1-linear"]);
    let listed =
        place.run(&["conformance", "--list", "--full", "--only", "^kernels.conv2d.tiled-64.f32.1x1x1-1-linear$"]);
    assert_eq!(listed.expect(0, &[]).out.lines().count(), 1);
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/conformance/lavapipe.json.gz");
    place.run(&["conformance", "--from", kept, "--json", "kept.json"]).expect(0, &[]);
    assert!(ids("kept.json").len() > 500);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_report_and_is_not_waited_for() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.path("pipe.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.run(&["conformance", "--from", "pipe.json"]).expect(1, &["pipe.json: cannot be read: is not a regular file"]);
    place.run(&["conformance", "--from", "/dev/zero"]).expect(1, &["/dev/zero: cannot be read"]);
}

/// As many rows as a file may hold are joined, compared and shown in seconds; a scan per row would take minutes.
#[test]
fn long_reports_are_compared_in_linear_time() {
    let place = Place::new();
    let rows = |status: &str| (0..40_000).map(|i| row(&format!("kernels/{i}"), status)).collect::<Vec<_>>();
    place.write("a.json", &report("{}", &rows("passed")));
    place.write("b.json", &report("{}", &rows("failed")));
    let started = std::time::Instant::now();
    let args = ["conformance", "--from", "a.json", "--compare", "b.json", "--html", "h.html", "--junit", "h.xml"];
    let run = place.run(&args).expect(0, &[]);
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(run.out.lines().count(), 40_001);
    assert!(seconds < 30.0, "{seconds} s");
}

/// However a run ends, its results so far are on disk and can be read as a report.
#[test]
fn a_run_that_is_cut_short_leaves_what_it_did() {
    let place = Place::new();
    let args = ["conformance", "--only", "^language/numbers/", "--json", "r.json", "-q"];
    let journal = || fs::read_to_string(place.path("r.json.journal")).unwrap_or_default();
    let rows = |text: &str| text.lines().filter(|line| line.starts_with("{\"row\":")).count();
    let mut child = place.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while rows(&journal()) < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it has ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("r.json").exists());
    // An incomplete line does not count.
    let text = journal();
    place.write("r.json.journal", format!("{text}{{\"row\":{{\"case\":\"ha").as_bytes());
    place.run(&args).expect(2, &["r.json.journal", "interrupted", "--from"]);
    let joined = place.run(&["conformance", "--from", "r.json.journal", "--json", "s.json"]);
    let joined = joined.expect(0, &["was interrupted: its report is incomplete"]);
    let report: Value = serde_json::from_slice(&fs::read(place.path("s.json")).unwrap()).unwrap();
    assert_eq!(report["results"].as_array().unwrap().len(), rows(&text), "{}", joined.out);
    assert_eq!(report["adapters"][0]["made"]["interrupted"], true);
    place.run(&[&args[..], &["--force"]].concat()).expect(0, &[]);
    assert!(place.path("r.json").is_file() && !place.path("r.json.journal").exists());
}
