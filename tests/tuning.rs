//! Forms chosen by measurement: whatever is measured, and whatever a file says, results are within their bounds.

mod common;
#[path = "common/mistranslated.rs"]
mod mistranslated;

use common::{gpu, relative_l2};
use diffews_wgpu::gpu::Gpu;
use diffews_wgpu::image_io::{Mask, RgbImage};
use diffews_wgpu::segment::{Planned, SegmenterBuilder, SelfCheck};
use diffews_wgpu::tune::{Tally, Tuning, Verdict};
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Example, Segmenter};
use std::path::Path;

fn builder(gpu: Gpu) -> SegmenterBuilder {
    Segmenter::builder().files(ModelFiles::embedded().unwrap()).size(64).gpu(gpu).self_check(SelfCheck::Off)
}

fn planned(gpu: Gpu, dir: &Path, seconds: f64) -> Planned {
    let tuning = Tuning { seconds: Some(seconds), ..Tuning::in_dir(dir) };
    builder(gpu).tuning(tuning).plan().unwrap()
}

/// Leaves all of the time to one kernel.
fn only(kernel: &str, mut gpu: Gpu) -> Gpu {
    let (other, form) = if kernel == "conv2d" { ("attention", "tiled-32") } else { ("conv2d", "tiled-64") };
    gpu.forms = gpu.forms.forcing(other, form);
    gpu
}

/// The map of a picture, from an example.
fn map(segmenter: &Segmenter) -> Vec<f32> {
    let picture = RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * 4) as u8, (y * 4) as u8, 99]));
    let mask = Mask::new(64, 64, (0..64 * 64).map(|i| i % 64 < 32).collect()).unwrap();
    let bank = segmenter.encode(&[Example::new(picture.clone(), mask).unwrap()]).unwrap();
    segmenter.segment(&bank, &picture).unwrap().map().map()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn what_is_measured_is_kept_and_the_next_run_measures_nothing() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("made/by/it");
    let rule = builder(gpu()).plan().unwrap();
    assert_eq!((rule.untuned().0, rule.memory().tuned), (0, None));
    let first = planned(gpu(), &dir, 2.0);
    let (unknown, seconds) = first.untuned();
    assert!(unknown > 10 && seconds == 2.0, "{unknown}");
    // Before the measurement, everything is as the rule chooses.
    assert_eq!((&first.memory().forms, first.memory().peak()), (&rule.memory().forms, rule.memory().peak()));
    let (mut told, mut last) = (0, 0.0);
    let tuned = first.tune_with(&mut |stage, share| {
        assert!(stage == diffews_wgpu::Stage::Tune && share >= last);
        (told, last) = (told + 1, share);
        std::ops::ControlFlow::Continue(())
    });
    let tuned = tuned.unwrap();
    assert!(told > 10 && tuned.notes().is_empty(), "{:?}", tuned.notes());
    let Some(Tally { measured, by_rule }) = tuned.memory().tuned else { panic!("no tally") };
    assert!(measured > 0, "{measured} measured, {by_rule} by rule");
    assert_eq!(tuned.untuned().0, 0);
    let chosen: Vec<_> = tuned.problems().iter().map(|p| p.finding.chosen().map(String::from)).collect();
    let again = planned(gpu(), &dir, 2.0);
    assert_eq!(again.untuned().0, 0);
    assert_eq!(again.problems().iter().map(|p| p.finding.chosen().map(String::from)).collect::<Vec<_>>(), chosen);
    assert_eq!(again.memory(), tuned.memory());
    // Whatever was chosen, the map is the rule's up to rounding.
    let by_rule = map(&rule.allocate().unwrap());
    let by_time = map(&again.allocate().unwrap());
    assert!(relative_l2(&by_time, &by_rule) < 2e-6, "{}", relative_l2(&by_time, &by_rule));
}

/// Also of the rule's own choices, which no measurement may change.
#[test]
fn a_file_chooses_no_form_that_is_not_there_and_a_bad_one_costs_a_note() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tuning.json");
    planned(gpu(), place.path(), 0.5).tune().unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    let rule = builder(gpu()).plan().unwrap();
    let by_rule = bits(&map(&builder(gpu()).build().unwrap()));
    // Unknown names, invalid times, findings without a form.
    let mut json: serde_json::Value = serde_json::from_str(&whole).unwrap();
    for finding in json[0]["problems"].as_object_mut().unwrap().values_mut() {
        finding["forms"] = serde_json::json!({
            "none": {"seconds": 1e-9}, "../x": {"seconds": 1e-9}, "tiled-64": {"seconds": -1.0}, "rows-64": {"seconds": 0.0},
            "broadcast-64": {"failed": "x"}, "rows-32": "behind",
        });
    }
    std::fs::write(&file, serde_json::to_vec(&json).unwrap()).unwrap();
    let odd = planned(gpu(), place.path(), 0.5);
    assert_eq!((odd.untuned().0, &odd.memory().forms), (0, &rule.memory().forms));
    assert_eq!(odd.memory().tuned.unwrap().measured, 0);
    assert_eq!(bits(&map(&odd.allocate().unwrap())), by_rule, "another map than the rule's");
    // Damaged, huge, or not a file: reported, and replaced. Of another driver: replaced.
    let other = whole.replace("\"driver\"", "\"driver\": \"another\", \"x\"");
    for (content, told) in
        [(&whole[..whole.len() / 2], true), ("{}", true), (&" ".repeat(5 << 20), true), (&other, false)]
    {
        std::fs::write(&file, content).unwrap();
        let planned = planned(gpu(), place.path(), 0.0);
        assert_eq!(planned.notes().len(), usize::from(told), "{:?}", planned.notes());
        assert!(planned.untuned().0 > 0 && planned.memory().forms == rule.memory().forms);
        // No time is left for anything, and this is stored.
        let tuned = planned.tune().unwrap();
        assert_eq!((tuned.untuned().0, &tuned.memory().forms), (0, &rule.memory().forms));
        assert!(std::fs::read_to_string(&file).unwrap().contains("problems"));
    }
    // If nothing can be written, nothing is measured, because the next run would have to measure again.
    let nowhere = planned(gpu(), Path::new("/dev/null/x"), 2.0).tune().unwrap();
    assert!(nowhere.notes().iter().any(|note| note.contains("chosen by rule")), "{:?}", nowhere.notes());
    assert_eq!((nowhere.memory().tuned.unwrap().measured, &nowhere.memory().forms), (0, &rule.memory().forms));
}

/// The fastest forms of CPU drivers compute wrong results: they are out, each reported by name.
#[test]
fn a_form_that_is_wrong_is_refused_by_its_bound_and_named() {
    if !mistranslated::is_vulkan() {
        return;
    }
    let right = builder(gpu()).plan().unwrap();
    let fast = "broadcast-";
    let taken = right.memory().forms.iter().any(|form| form.starts_with("conv2d=broadcast-"));
    let wrong = move |form: &str| form.starts_with(fast) || (!taken && form.starts_with("rows-"));
    let driver = mistranslated::wrong_in(move |d| d.kernel.name == "conv2d" && wrong(d.form.name));
    let place = tempfile::tempdir().unwrap();
    let tuned = planned(only("conv2d", driver), place.path(), 5.0).tune().unwrap();
    let problems = tuned.problems();
    let mut seen = 0;
    for problem in problems.iter().filter(|p| p.name.starts_with("conv2d") && !p.finding.forms.is_empty()) {
        for (form, found) in &problem.finding.forms {
            assert!(!(wrong(form) && matches!(found, Verdict::Seconds(_))), "{}: {form} is {found:?}", problem.name);
            seen += usize::from(wrong(form) && matches!(found, Verdict::Wrong(_)));
        }
        let chosen = problem.finding.chosen().unwrap_or_else(|| panic!("{problem:?}"));
        assert!(!wrong(chosen), "{}: {chosen}", problem.name);
    }
    assert!(seen > 1, "{problems:?}");
    let named = |note: &&String| note.contains("conv2d") && note.contains("skipped") && note.contains("error / bound");
    assert!(tuned.notes().iter().filter(named).count() > 1, "{:?}", tuned.notes());
}

#[test]
fn where_no_form_is_right_nothing_is_segmented() {
    if !mistranslated::is_vulkan() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let driver = || mistranslated::wrong_in(|dispatch| dispatch.kernel.name == "attention");
    let tune = |check: SelfCheck| {
        let tuning = Tuning { seconds: Some(10.0), ..Tuning::in_dir(place.path()) };
        builder(only("attention", driver())).tuning(tuning).self_check(check).plan().unwrap().tune()
    };
    // Also the second time: a file with this finding does not excuse it.
    for _ in 0..2 {
        match tune(SelfCheck::Each) {
            Err(error @ Error::SelfCheck { .. }) => assert!(error.to_string().contains("attention"), "{error}"),
            Err(other) => panic!("{other}"),
            Ok(tuned) => panic!("it was not detected: {:?}", tuned.notes()),
        }
    }
    let tuned = tune(SelfCheck::Off).unwrap();
    assert!(tuned.notes().iter().any(|note| note.contains("attention")), "{:?}", tuned.notes());
}

#[test]
fn broken_off_it_keeps_what_was_found() {
    let place = tempfile::tempdir().unwrap();
    let mut calls = 0;
    let ended = planned(gpu(), place.path(), 60.0).tune_with(&mut |_, _| {
        calls += 1;
        if calls > 60 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    });
    assert!(matches!(ended, Err(Error::Interrupted)));
    let next = planned(gpu(), place.path(), 60.0);
    assert!(next.untuned().0 > 0 && next.memory().tuned.unwrap().measured > 0, "{:?}", next.memory().tuned);
}
