//! The episodes that a run does: shards, resumed and killed runs, broken pictures, repeated work.

use crate::bed::{Place, episodes, scores};
use crate::common::{golden, rewritten};
use diffews_wgpu::eval::read_results;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

#[test]
fn shards_merge_to_the_unsharded_run() {
    let place = Place::new(episodes(14));
    let whole = place.run(&["--output", "whole", "--json"]).expect(0);
    for shard in ["0/3", "1/3", "2/3"] {
        place.run(&["--output", "parts", "--shard", shard, "--quiet"]).expect(0);
    }
    let merged = place.merge(&["parts", "--output", "merged", "--json"]).expect(0);
    assert_eq!(whole.out, merged.out);
    place.merge(&["parts", "--output", "merged"]).expect(0);
    assert_eq!(scores(&place.path("whole/results.jsonl")), scores(&place.path("merged/results.jsonl")));
    assert_eq!(place.text("whole/episodes.csv"), place.text("merged/episodes.csv"));
    assert_eq!(place.text("whole/summary.json"), place.text("merged/summary.json"));
    let object: Value = serde_json::from_str(&whole.out).unwrap();
    assert_eq!((&object["episodes"], &object["classes"]), (&json!(14), &json!(3)));
    // A shard that is run again is merged again.
    let shard = place.text("parts/results-0-of-3.jsonl");
    let at = shard.find("\"intersection\":[").unwrap() + 16;
    let mended = format!("{}0,0{}", &shard[..at], &shard[at + shard[at..].find(']').unwrap()..]);
    fs::write(place.path("parts/results-0-of-3.jsonl"), mended).unwrap();
    let again = place.merge(&["parts", "--output", "merged", "--json"]).expect(0);
    assert_ne!(again.out, whole.out);
    assert_eq!(place.merge(&["merged/results.jsonl", "--json"]).expect(0).out, again.out);
    fs::write(place.path("parts/results-0-of-3.jsonl"), shard).unwrap();
    // The counts differ, so mixing episodes up would show.
    let counts: Vec<_> = scores(&place.path("whole/results.jsonl")).into_iter().map(|s| s.2).collect();
    assert!(counts.iter().any(|c| c != &counts[0]));

    for file in ["results-1-of-3.jsonl", "episodes-1-of-3.csv", "summary-1-of-3.json"] {
        fs::remove_file(place.path("parts").join(file)).unwrap();
    }
    place.merge(&["parts"]).expect(1).says("shards are missing: 1/3");
    let other = ["--output", "parts", "--shard", "1/3", "--quiet", "--threshold", "0.5"];
    place.run(&other).expect(0);
    place.merge(&["parts"]).expect(1).says("\"threshold\"");
}

#[test]
fn the_bank_of_repeated_supports_is_computed_once() {
    let place = Place::new(episodes(9));
    place.run(&["--output", "out"]).expect(0);
    let (_, records) = read_results(&place.path("out/results.jsonl")).unwrap();
    let computed: Vec<usize> =
        records.iter().filter(|r| r.seconds.contains_key("support_pass")).map(|r| r.episode).collect();
    assert_eq!(computed, [0, 3, 6]);
    // The same numbers as when every bank is computed anew.
    for i in 0..9 {
        let shard = format!("{i}/9");
        place.run(&["--output", "parts", "--shard", &shard, "--quiet"]).expect(0);
    }
    place.merge(&["parts", "--output", "merged"]).expect(0);
    assert_eq!(scores(&place.path("out/results.jsonl")), scores(&place.path("merged/results.jsonl")));
}

#[test]
fn killed_at_any_moment_a_run_resumes_to_the_same_results() {
    let place = Place::new(episodes(40));
    place.run(&["--output", "whole", "--quiet"]).expect(0);
    let root = golden();
    let args = ["--episodes", "e.json", "--root", root.to_str().unwrap(), "--output", "out", "--resume", "--quiet"];
    let results = place.path("out/results.jsonl");
    let mut random = fastrand::Rng::with_seed(11);
    let (mut kills, mut useful, mut before) = (0, 0, 0);
    loop {
        let mut child = place.command(&args).spawn().unwrap();
        // From before anything is read to well into the episodes: wait for a number of new ones, and then a random time.
        let more = random.usize(0..4);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            let lines = fs::read(&results).map_or(0, |b| b.iter().filter(|&&b| b == b'\n').count());
            if lines >= before + more || more == 0 {
                break None;
            }
            std::thread::sleep(Duration::from_micros(200));
        };
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        std::thread::sleep(Duration::from_micros(random.u64(0..30_000)));
        // SIGKILL on systems with signals.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if kills % 3 == 0 && results.exists() {
            // A last line as a power failure may leave it.
            let bytes = fs::read(&results).unwrap();
            let header = bytes.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
            let cut = random.usize(0..60).min(bytes.len() - header);
            fs::write(&results, &bytes[..bytes.len() - cut]).unwrap();
        }
        let lines = fs::read(&results).map_or(0, |b| b.iter().filter(|&&b| b == b'\n').count());
        useful += usize::from(lines > before);
        before = lines;
        assert!(kills < 200, "no progress");
    }
    println!("{kills} kills, {useful} of them after new episodes");
    assert!(kills >= 5 && useful >= 3, "{kills} {useful}");
    assert_eq!(scores(&place.path("whole/results.jsonl")), scores(&results));
    assert_eq!(place.text("whole/episodes.csv"), place.text("out/episodes.csv"));
    assert_eq!(place.text("whole/summary.json"), place.text("out/summary.json"));
}

/// Finished episodes cost a run nothing but reading their records.
#[test]
fn twenty_thousand_episodes_that_are_done_are_looked_up_at_once() {
    let number = 20_000;
    let place = Place::new(episodes(number));
    place.run(&["--output", "out", "--shard", "0/20000", "--quiet"]).expect(0);
    let text = place.text("out/results-0-of-20000.jsonl");
    let [header, record] = [0, 1].map(|line| text.lines().nth(line).unwrap());
    let mut all = header.replace("\"of\":20000", "\"of\":1") + "\n";
    (0..number).for_each(|i| all += &(record.replace("\"episode\":0,", &format!("\"episode\":{i},")) + "\n"));
    fs::create_dir(place.path("whole")).unwrap();
    fs::write(place.path("whole/results.jsonl"), all).unwrap();
    let started = std::time::Instant::now();
    let run = place.run(&["--output", "whole", "--resume", "--visualize", "20000"]).expect(0);
    let seconds = started.elapsed().as_secs_f64();
    run.says("20000 episodes of --visualize were finished by an earlier run");
    assert_eq!(place.text("whole/episodes.csv").lines().count(), number + 1);
    assert!(seconds < 60.0, "{seconds} s");
    // The only shard of its run is merged with nothing else.
    place.merge(&["out"]).expect(1).says("shards are missing: 1/20000, 2/20000");
}

#[test]
fn a_broken_picture_fails_its_episode_and_no_other() {
    let mut all = episodes(8);
    all["episodes"][2]["query"]["image"] = "gone.png".into();
    all["episodes"][4]["query"]["mask"] = "broken.png".into();
    // Episodes 6 to 8 share their supports.
    for i in 6..8 {
        all["episodes"][i]["supports"][0]["image"] = "broken.png".into();
    }
    let place = Place::new(all.clone());
    let png = fs::read(golden().join("odd/query.png")).unwrap();
    fs::write(place.path("broken.png"), &png[..png.len() / 2]).unwrap();
    let run = place.run(&["--output", "out", "--json"]).expect(6).says("4 of 8 episodes failed").says("gone.png");
    let object: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(object["episodes"], 4);
    let failed: Vec<usize> =
        scores(&place.path("out/results.jsonl")).iter().filter(|s| s.2.is_none()).map(|s| s.0).collect();
    assert_eq!(failed, [2, 4, 6, 7]);
    assert_eq!(place.text("out/episodes.csv").matches("broken.png").count(), 3);
    // After the repair, --resume does only these.
    fs::write(place.path("broken.png"), &png).unwrap();
    fs::write(place.path("gone.png"), fs::read(golden().join("sd21/query.png")).unwrap()).unwrap();
    let again = place.run(&["--output", "out", "--resume"]);
    let (_, records) = read_results(&place.path("out/results.jsonl")).unwrap();
    let order: Vec<usize> = records.iter().map(|r| r.episode).collect();
    assert_eq!(order, [0, 1, 3, 5, 2, 4, 6, 7], "{}", again.err);
    // An invalid mask stays a failure, reported by name, and so does a picture whose size differs from its mask's.
    again.expect(6).says("1 of 8 episodes failed").says("(dog): broken.png").says("support_0_mask.png: the mask is");
}

#[test]
fn the_control_takes_other_supports_and_the_results_say_so() {
    let place = Place::new(episodes(12));
    place.run(&["--output", "own"]).expect(0);
    let first = place.run(&["--output", "shuffled", "--control", "shuffled"]).expect(0);
    assert!(first.out.contains("supports shuffled"), "{}", first.out);
    place.run(&["--output", "again", "--control", "shuffled"]).expect(0);
    let of = |dir: &str| scores(&place.path(dir).join("results.jsonl"));
    assert_ne!(of("own"), of("shuffled"));
    assert_eq!(of("shuffled"), of("again"));
    place.run(&["--output", "own", "--resume", "--control", "shuffled"]).expect(1).says("another run");
}

/// The decoder overflows f16. Episodes that failed for another reason are not repeated.
#[test]
fn what_overflows_in_halves_is_done_again_in_f32() {
    let mut all = episodes(4);
    all["episodes"][1]["query"]["image"] = "gone.png".into();
    let place = Place::new(all);
    let weights = "diffusion_pytorch_model.safetensors";
    let files = ["diffews.json", "empty_prompt.safetensors", "scheduler/scheduler_config.json", "unet/config.json"];
    for file in files.map(String::from).into_iter().chain([format!("unet/{weights}"), "vae/config.json".into()]) {
        let copy = place.path("model").join(&file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(golden().join("five").join(&file), copy).unwrap();
    }
    let vae = rewritten(&golden().join("five/vae"), "decoder.conv_in.bias", |values, _| values[0] = 2e5);
    fs::write(place.path("model/vae").join(weights), vae).unwrap();

    let run = |precision: &str| place.run(&["--weights", "model", "--output", precision, "--precision", precision]);
    let whole = run("f32").expect(6);
    assert!(!whole.err.contains("overflow"), "{}", whole.err);
    run("f16").expect(6).says("warning: 3 episodes overflowed in half precision and were run again in f32");
    let of = |precision: &str| read_results(&place.path(precision).join("results.jsonl")).unwrap();
    let ((_, full), (header, halves)) = (of("f32"), of("f16"));
    assert_ne!(header.precision, "f32");
    let in_which: Vec<_> = halves.iter().map(|record| (record.episode, record.precision.as_deref())).collect();
    assert_eq!(in_which, [(0, Some("f32")), (1, None), (2, Some("f32")), (3, Some("f32"))]);
    assert!(halves[1].error.is_some() && full.iter().filter(|record| record.counts.is_some()).count() == 3);
    assert_eq!(scores(&place.path("f32/results.jsonl")), scores(&place.path("f16/results.jsonl")));
}
