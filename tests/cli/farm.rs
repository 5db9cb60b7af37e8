//! `conformance` in other projects' continuous integration: lists, parts, expectations, GoogleTest's protocol.

use crate::command::Place;
use std::collections::BTreeSet;
use std::fs;

const CASES: &str = r"^language\.numbers\..*\.(exp|exp2|tanh)$";
const EXP: &str = "language.numbers.plain.f32.exp";

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(String::from).collect()
}

#[test]
fn lists_and_parts_select_cases() {
    let place = Place::new();
    let list = |more: &[&str]| lines(&place.run(&[&["conformance", "--list"], more].concat()).expect(0, &[]).out);
    place.write("ids", b"# two of them\nlanguage.numbers.plain.f32.exp\n\nlanguage.numbers.plain.f32.tanh\n");
    assert_eq!(list(&["--caselist", "ids"]).len(), 2);
    let parts = ["1", "2", "3"].map(|k| list(&["--fraction", "3", "--fraction-start", k]));
    assert_eq!(parts.iter().flatten().cloned().collect::<BTreeSet<_>>(), list(&[]));
    assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), list(&[]).len());

    let refused = |args: &[&str], parts: &[&str]| {
        drop(place.run(&[&["conformance", "--only", CASES], args].concat()).expect(2, parts));
    };
    place.write("unknown", b"language.numbers.plain.f32.exp\nno.such.case\n");
    refused(&["--caselist", "unknown"], &["unknown: no case is called no.such.case", "--list"]);
    place.write("odd", b"\n# note\nkernels/conv2d, a title\n");
    refused(&["--caselist", "odd"], &["odd, line 3: kernels/conv2d, a title is not a case id"]);
    refused(&["--fraction", "3", "--fraction-start", "4"], &["--fraction-start 4", "1 to 3"]);
    refused(&["--fraction", "0"], &["--fraction"]);
    refused(&["--timeout=-1"], &["--timeout"]);
    refused(&["--timeout", "nan"], &["number of seconds"]);
    for (name, text, said) in [
        ("status", "language.numbers.plain.f32.exp,Broken\n", "status, line 1: Broken is not a status"),
        ("title", "language/numbers/exp,Fail\n", "title, line 1: language/numbers/exp is not a case id"),
        ("twice", "a.b,Fail\na.b,Crash\n", "twice, line 2: a.b is listed twice"),
        ("alone", "a.b\n", "alone, line 1"),
    ] {
        place.write(name, text.as_bytes());
        refused(&["--baseline", name], &[said]);
    }
    place.write("pattern", b"a(\n");
    refused(&["--skips", "pattern"], &["pattern, line 1"]);
    place.write("binary", &[0xff, 0xfe, 0]);
    refused(&["--flakes", "binary"], &["binary: it is not UTF-8 text"]);
    place.run(&["conformance", "--caselist", "absent"]).expect(1, &["absent: cannot be read"]);
}

/// Expectations only concern results, and there is no wrong one here, so use a pass that the baseline does not expect.
#[test]
fn baselines_flakes_and_skips_are_those_of_deqp_runner() {
    let place = Place::new();
    let run = |more: &[&str], code: i32| {
        let run = place.run(&[&["conformance", "--only", CASES, "--csv", "r.csv", "--force"], more].concat());
        let run = run.expect(code, &[]);
        let csv = fs::read_to_string(place.path("r.csv")).unwrap();
        let statuses = csv.lines().map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            assert!(fields.len() == 3 && fields[2].parse::<f64>().is_ok(), "{line}");
            format!("{},{}", fields[0].rsplit('.').next().unwrap(), fields[1])
        });
        (run, statuses.collect::<Vec<_>>())
    };
    assert_eq!(run(&[], 0).1, ["exp,Pass", "exp2,Pass", "tanh,Pass"]);
    // Results can serve as a baseline.
    fs::copy(place.path("r.csv"), place.path("passed.csv")).unwrap();
    assert_eq!(run(&["--baseline", "passed.csv"], 0).1, ["exp,Pass", "exp2,Pass", "tanh,Pass"]);
    place.write("fails", format!("# a driver's\n{EXP},Fail\n").as_bytes());
    let (better, statuses) = run(&["--baseline", "fails"], 5);
    assert_eq!(statuses, ["exp,UnexpectedImprovement(Pass)", "exp2,Pass", "tanh,Pass"]);
    assert!(better.out.contains("BETTER") && better.out.contains("1 failed"), "{}", better.out);
    place.write("skips", b"# slow\n\\.exp2?$\n");
    assert_eq!(run(&["--skips", "skips", "--baseline", "fails"], 0).1, ["exp,Skip", "exp2,Skip", "tanh,Pass"]);
    // A plain name is not a pattern, so it does not match longer names.
    place.write("skips", format!("{EXP}\n").as_bytes());
    assert_eq!(run(&["--skips", "skips"], 0).1, ["exp,Skip", "exp2,Skip", "tanh,Pass"]);
    place.write("flakes", b".*tanh\n");
    place.write("tanh", b"language.numbers.plain.f32.tanh,Timeout\n");
    let (_, statuses) = run(&["--flakes", "flakes", "--baseline", "tanh"], 0);
    assert_eq!(statuses, ["exp,Pass", "exp2,Pass", "tanh,KnownFlake"]);
}

#[test]
fn another_driver_than_expected_runs_nothing() {
    let place = Place::new();
    let args = ["conformance", "--only", CASES, "--json", "r.json", "--expect-driver"];
    place.run(&[&args[..], &["no such driver"]].concat()).expect(4, &["--expect-driver says no such driver"]);
    assert!(!place.path("r.json").exists() && !place.path("r.json.journal").exists());
    let devices = place.run(&["devices", "--json"]).expect(0, &[]).out;
    let devices: serde_json::Value = serde_json::from_str(&devices).unwrap();
    let chosen = devices.as_array().unwrap().iter().find(|d| d["chosen"] == true).unwrap();
    place.run(&[&args[..], &[chosen["driver"].as_str().unwrap()]].concat()).expect(0, &[]);
}

/// Cases in processes of their own have the same results as in this process.
#[test]
fn isolated_cases_are_the_same() {
    let place = Place::new();
    let rows = |name: &str, more: &[&str]| {
        place.run(&[&["conformance", "--only", CASES, "--json", name], more].concat()).expect(0, &[]);
        let report: serde_json::Value = serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap();
        let mut rows = report["results"].as_array().unwrap().clone();
        rows.iter_mut().for_each(|row| row["seconds"] = 0.into());
        rows
    };
    let here = rows("a.json", &[]);
    assert_eq!(here.len(), 3);
    assert_eq!(here, rows("b.json", &["--timeout", "100"]));
}

#[test]
fn the_protocol_of_googletest_is_spoken() {
    let place = Place::new();
    let listed = place.run(&["conformance", "--gtest_list_tests"]).expect(0, &[]).out;
    // As gtest-runner reads it: a line that ends in a dot is a suite, and test names have no dots.
    let (mut suite, mut tests) = (String::new(), BTreeSet::new());
    for line in listed.lines() {
        match line.strip_prefix("  ") {
            Some(test) => {
                assert!(!test.contains(['.', ' ', ',', ':']), "{line}");
                tests.insert(format!("{suite}{test}"));
            }
            None => {
                assert!(line.ends_with('.') && !line.contains(' '), "{line}");
                suite = line.to_owned();
            }
        }
    }
    let ids = place.run(&["conformance", "--list"]).expect(0, &[]).out;
    assert_eq!(tests, ids.lines().map(|l| l.split('\t').next().unwrap().to_owned()).collect());

    let overflow = ids.lines().find(|l| l.starts_with("blocks.model.first.packed.")).unwrap();
    let skipped = overflow.split('\t').next().unwrap();
    let filter = format!("--gtest_filter={EXP}:language.numbers.*.tan?:{skipped}");
    let run = place.run(&["conformance", &filter]).expect(0, &[]);
    let said: Vec<String> = run.out.lines().map(|l| l.split(" (").next().unwrap().to_owned()).collect();
    let tanh = "language.numbers.plain.f32.tanh";
    let lines = [
        ("[ RUN      ]", "[       OK ]", EXP),
        ("[ RUN      ]", "[       OK ]", tanh),
        ("[ RUN      ]", "[  SKIPPED ]", skipped),
    ];
    let wanted: Vec<String> = lines.iter().flat_map(|(a, b, id)| [format!("{a} {id}"), format!("{b} {id}")]).collect();
    assert_eq!(said[..6], wanted[..], "{}", run.out);
    assert_eq!(said[6..], ["[==========] 3 tests ran.", "[  PASSED  ] 2 tests.", "[  SKIPPED ] 1 tests."]);
    place.run(&["conformance", "--gtest_filter=*", "--json", "r.json"]).expect(2, &["cannot be used with"]);
    place.run(&["conformance", "--gtest_filter=no.such.case"]).expect(2, &["--gtest_filter"]);
}
