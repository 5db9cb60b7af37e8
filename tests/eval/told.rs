//! The messages and files of a run, and its refusals.

use crate::bed::{Place, episodes};
use diffews_wgpu::eval::EpisodeFile;
use serde_json::{Value, json};
use std::fs;

#[test]
fn what_is_not_of_the_run_is_not_replaced() {
    let place = Place::new(episodes(2));
    fs::create_dir(place.path("out")).unwrap();
    fs::write(place.path("out/summary.json"), "mine").unwrap();
    for resume in [None, Some("--resume")] {
        let args: Vec<&str> = ["--output", "out"].into_iter().chain(resume).collect();
        place.run(&args).expect(1).says("summary.json").says("move it away");
    }
    assert_eq!(place.text("out/summary.json"), "mine");
    assert!(!place.path("out/results.jsonl").exists());
}

#[test]
fn masks_that_show_nothing_are_told() {
    let mut all = episodes(3);
    all["episodes"][0]["query"]["value"] = 9.into();
    all["episodes"][2]["query"] = all["episodes"][0]["query"].clone();
    all["episodes"][1]["supports"][0] = json!({"image": "large.png", "mask": "dot.png"});
    let place = Place::new(all);
    let side = 64 * 5;
    image::RgbImage::new(side, side).save(place.path("large.png")).unwrap();
    let dot = image::GrayImage::from_fn(side, side, |x, y| image::Luma([255 * u8::from((x, y) == (4, 4))]));
    dot.save(place.path("dot.png")).unwrap();
    let run = place.run(&["--size", "64"]).expect(0);
    let told = run.err.clone();
    run.says("_truth.png: no pixel of the mask has the class number 9")
        .says("dot.png: the mask's foreground is too small");
    assert_eq!(told.matches("class number 9").count(), 1, "once for a file, however often it is read: {told}");
}

#[test]
fn sheets_tables_and_published_numbers_are_given() {
    let mut all = episodes(5);
    all["benchmark"] = json!({"name": "coco", "fold": 2, "shots": 1});
    let place = Place::new(all);
    let run = place.run(&["--output", "out", "--visualize", "2"]).expect(0).says("waited");
    for part in ["mIoU", "FB-IoU", "5 episodes of 3 classes", "coco fold 2 1-shot", "51.2 / 56.0", "71.3 / 72.2"] {
        assert!(run.out.contains(part), "{part} is not in {}", run.out);
    }
    let mut sheets: Vec<String> = fs::read_dir(place.path("out/sheets"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    sheets.sort();
    assert_eq!(sheets.len(), 2);
    assert!(sheets[0].starts_with("000000_cat_iou0.") && sheets[1].starts_with("000001_dog_iou"), "{sheets:?}");
    // Support, query, truth, prediction, disagreement.
    let sheet = image::open(place.path("out/sheets").join(&sheets[0])).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (5 * 264 + 8, 272));
}

/// An evaluation that differs from the published one shows no published numbers, and states its number of classes.
#[test]
fn a_part_of_an_evaluation_is_not_compared() {
    let mut all = episodes(5);
    all["benchmark"] = json!({"name": "coco", "fold": 2, "shots": 5});
    let place = Place::new(all);
    for (args, parts) in [
        (&["--limit", "2"][..], ["2 episodes of 2 classes of 3", "--limit skips"]),
        (&["--shots", "1"], ["5 episodes of 3 classes\n", "--shots differs"]),
        (&["--shard", "1/5"], ["1 episodes of 1 classes of 3", "this is shard 1 of 5"]),
        (&["--control", "shuffled"], ["5 episodes of 3 classes, supports", "are shuffled"]),
    ] {
        let run = place.run(args).expect(0);
        for part in parts.into_iter().chain(["no published numbers beside this"]) {
            assert!(run.out.contains(part), "{part} is not in {}", run.out);
        }
        assert!(!run.out.contains("51.2"), "{}", run.out);
    }
    for i in 0..2 {
        place.run(&["--output", "out", "--limit", "2", "--shard", &format!("{i}/2"), "--quiet"]).expect(0);
    }
    let merged = place.merge(&["out"]).expect(0);
    assert!(merged.out.contains("of 2 classes of 3") && merged.out.contains("--limit skips"), "{}", merged.out);
    let object: Value = serde_json::from_str(&place.run(&["--limit", "1", "--json"]).expect(0).out).unwrap();
    assert_eq!((&object["classes"], &object["of_classes"]), (&json!(1), &json!(3)));
}

#[test]
fn names_forge_no_lines() {
    let mut all = episodes(2);
    all["benchmark"] = json!({"name": "x\nmIoU 100 %\u{202e}"});
    all["episodes"][0]["class"] = "a\nerror: b".into();
    all["episodes"][0]["query"]["mask"] = "gone\nwarning: c.png".into();
    let run = Place::new(all).run(&[]).expect(6);
    for line in run.out.lines().chain(run.err.lines()) {
        assert!(!["mIoU 100", "error: b", "warning: c"].iter().any(|forged| line.starts_with(forged)), "{line}");
    }
    assert!(
        run.out.contains("x\\nmIoU 100 %\\u{202e}") && run.err.contains("(a\\nerror: b)"),
        "{}{}",
        run.out,
        run.err
    );
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_the_lock_is_not_followed() {
    let place = Place::new(episodes(1));
    fs::create_dir(place.path("out")).unwrap();
    fs::write(place.path("victim"), "mine").unwrap();
    std::os::unix::fs::symlink("../victim", place.path("out/.results.jsonl.lock")).unwrap();
    place.run(&["--output", "out"]).expect(1).says(".results.jsonl.lock: cannot be written");
    assert_eq!(place.text("victim"), "mine");
    std::os::unix::fs::symlink("/dev/zero", place.path("out/results-0-of-1.jsonl")).unwrap();
    place.merge(&["out"]).expect(1).says("results-0-of-1.jsonl: cannot be read: is not a regular file");
}

#[test]
fn wrong_usage_is_refused_before_the_gpu() {
    let place = Place::new(episodes(3));
    place.run(&["--shard", "3/3"]).expect(2);
    place.run(&["--resume"]).expect(2);
    place.run(&["--limit", "0"]).expect(2);
    place.run(&["--shots", "2"]).expect(2).says("--shots");
    place.run(&["--size", "33"]).expect(2);
    place.merge(&[]).expect(2);
    place.merge(&["nowhere.jsonl"]).expect(1).says("nowhere.jsonl");
    place.merge(&["."]).expect(1).says("results-I-of-N");
    fs::write(place.path("e.json"), "{}").unwrap();
    place.run(&[]).expect(1).says("is not a file of episodes");
    assert!(EpisodeFile::open(&place.path("none"), &[]).is_err());
}
