//! `tune`, and `infer` with measured forms.

use super::command::{Place, infer};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_first_infer_measures_and_the_next_is_told_so() {
    let place = Place::new();
    let cache = place.path("cache");
    let env = [("DIFFEWS_CACHE", cache.to_str().unwrap()), ("DIFFEWS_TUNE", "2")];
    let args =
        |more: &[&'static str]| infer(&[&["--query", "q.png", "--size", "64", "--json", "--force"], more].concat());
    let first =
        place.run_with(&env, &args(&[])).expect(0, &["measuring the fastest kernel forms", "at most 2 s", "--no-tune"]);
    let measured = json(&first.out)["tuned"]["measured"].as_u64().unwrap();
    assert!(measured > 0);
    let second = place.run_with(&env, &args(&[])).expect(0, &[]);
    assert!(!second.err.contains("measuring"), "{}", second.err);
    assert_eq!(json(&second.out)["tuned"], json(&first.out)["tuned"]);
    // A run by the rule writes no file.
    let none = place.path("none");
    for (env, more) in [
        ([("DIFFEWS_CACHE", none.to_str().unwrap()), ("DIFFEWS_TUNE", "2")], &["--no-tune"][..]),
        ([("DIFFEWS_CACHE", none.to_str().unwrap()), ("DIFFEWS_TUNE", "0")], &[]),
    ] {
        let by_rule = place.run_with(&env, &args(more)).expect(0, &[]);
        assert!(!by_rule.err.contains("measuring") && json(&by_rule.out)["tuned"].is_null(), "{}", by_rule.out);
    }
    let devices = json(&place.run_with(&env, &["devices", "--json"]).expect(0, &[]).out);
    let chosen = devices.as_array().unwrap().iter().find(|d| d["chosen"] == true).unwrap();
    // Problems that layers share, and problems with a single form, are not counted here.
    assert!(chosen["tuned"].as_u64().unwrap() >= 1);
    place.run_with(&[("DIFFEWS_TUNE", "fast")], &args(&[])).expect(2, &["DIFFEWS_TUNE=fast"]);
}

#[test]
fn tune_measures_shows_and_forgets() {
    let place = Place::new();
    let cache = place.path("cache");
    let env = [("DIFFEWS_CACHE", cache.to_str().unwrap())];
    let run = |args: &[&str]| place.run_with(&env, args);
    assert!(run(&["tune", "--show"]).expect(0, &[]).out.contains("nothing was measured"));
    let said = json(&run(&["tune", "--size", "64", "--seconds", "2", "--json"]).expect(0, &[]).out);
    let problems = said["problems"].as_array().unwrap();
    let of = |key: &str| problems.iter().filter(|p| !p[key].is_null()).count();
    assert!(problems.len() > 10 && of("chosen") > 0 && of("chosen") == of("seconds"), "{said}");
    for problem in problems.iter().filter(|p| !p["chosen"].is_null()) {
        let form = &problem["forms"][problem["chosen"].as_str().unwrap()];
        assert_eq!(form["seconds"], problem["seconds"], "{problem}");
    }
    let shown = run(&["tune", "--show", "--all"]).expect(0, &[]).out;
    assert!(shown.contains("taken") && shown.contains("the rule's") && shown.contains("problems measured"), "{shown}");
    // A forced form is not measured.
    let forced =
        run(&["tune", "--size", "64", "--seconds", "2", "--json", "--form", "attention=tiled-32"]).expect(0, &[]);
    let problems = json(&forced.out)["problems"].as_array().unwrap().clone();
    assert!(problems.iter().all(|p| p["problem"].as_str().unwrap().starts_with("conv2d")), "{problems:?}");
    run(&["tune", "--clear"]).expect(0, &["deleted"]);
    run(&["tune", "--clear"]).expect(0, &["nothing to delete"]);
    assert!(run(&["tune", "--show"]).expect(0, &[]).out.contains("nothing was measured"));
    run(&["tune", "--show", "--clear"]).expect(2, &[]);
    place.write("cache/tuning.json", b"[{");
    run(&["tune", "--show"]).expect(0, &["tuning.json"]);
    run(&["tune", "--weights", "none"]).expect(3, &["none"]);
}
