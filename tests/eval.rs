//! `eval` against numpy and PyTorch, and as a command: shards, interruptions, broken pictures.

mod common;

use common::golden;
use diffews_wgpu::eval::{Counts, EpisodeFile, Summary, count, read_results};
use diffews_wgpu::image_io::{load_rgb, resize_bilinear_rgb};
use image::GrayImage;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

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
    // Sums of a handful of doubles in another order.
    let near = |got: f64, want: &Value| (got - want.as_f64().unwrap()).abs() <= 1e-14;
    assert!(near(summary.miou, &fixture["miou"]) && near(summary.fb_iou, &fixture["fb_iou"]), "{summary:?}");
    for (class, want) in fixture["per_class"].as_object().unwrap() {
        assert!(near(summary.per_class[class], want), "{class}");
    }
    assert_eq!(summary.per_class["never right"], 0.0);
    let [low, high] = summary.miou_ci95;
    assert!(low < summary.miou && summary.miou < high);
}

/// A folder with an episodes' file, in which the command runs.
struct Place(tempfile::TempDir);

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let run = Run { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
        assert!(!run.err.contains("panicked"), "{}", run.err);
        run
    }
}

impl Run {
    #[track_caller]
    fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, part: &str) -> Run {
        assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        self
    }
}

impl Place {
    fn new(episodes: Value) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("e.json"), episodes.to_string()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `eval` with the weights of a small fixture; its pictures are below the root.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diffews-wgpu"));
        command.current_dir(self.0.path()).arg("eval").args(args);
        command.env("DIFFEWS_WEIGHTS", golden().join("five")).env("DIFFEWS_PRECISION", "f32");
        for name in ["DIFFEWS_UNET", "DIFFEWS_SIZE"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        let root = golden();
        let common = ["--episodes", "e.json", "--root", root.to_str().unwrap()];
        Run::from(self.command(&[&common[..], args].concat()).output().unwrap())
    }

    fn merge(&self, args: &[&str]) -> Run {
        Run::from(self.command(&[&["merge"], args].concat()).output().unwrap())
    }
}

/// Episodes over the fixtures' pictures: classes and truths that differ, some with the same supports.
fn episodes(number: usize) -> Value {
    let fixtures = ["odd", "sd15", "sd21", "five"];
    let one = |i: usize| {
        let (query, support) = (fixtures[i % 4], fixtures[i / 3 % 4]);
        json!({
            "class": (["cat", "dog", "sea"][i % 3]),
            "supports": [{"image": format!("{support}/support_0.png"), "mask": format!("{support}/support_0_mask.png")}],
            "query": {
                "image": format!("{query}/query.png"),
                "mask": format!("eval/{query}_truth.png"),
                "value": ([7, 3, 0][i % 3]),
            },
        })
    };
    json!({"episodes": (0..number).map(one).collect::<Vec<_>>()})
}

/// Episode, class and counts of each record, by episode: what must not depend on how a run was made.
fn scores(path: &Path) -> Vec<(usize, String, Option<Counts>)> {
    let (_, mut records) = read_results(path).unwrap();
    records.sort_by_key(|r| r.episode);
    records.into_iter().map(|r| (r.episode, r.class, r.counts)).collect()
}

fn resized_picture(from: &Path, size: u32, to: &Path) {
    resize_bilinear_rgb(&load_rgb(from).unwrap(), size, size).save(to).unwrap();
}

/// A mask of levels or class numbers, by the index rule of nearest.
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
        // What PyTorch was given had been resized by Pillow 13, which filters columns first for some of these pictures.
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
    // A shard that is done again is merged again.
    let shard = place.text("parts/results-0-of-3.jsonl");
    let at = shard.find("\"intersection\":[").unwrap() + 16;
    let mended = format!("{}0,0{}", &shard[..at], &shard[at + shard[at..].find(']').unwrap()..]);
    fs::write(place.path("parts/results-0-of-3.jsonl"), mended).unwrap();
    let again = place.merge(&["parts", "--output", "merged", "--json"]).expect(0);
    assert_ne!(again.out, whole.out);
    assert_eq!(place.merge(&["merged/results.jsonl", "--json"]).expect(0).out, again.out);
    fs::write(place.path("parts/results-0-of-3.jsonl"), shard).unwrap();
    // Not all the same: the run tells things apart.
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
    // The same numbers as where every bank is computed anew.
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
        // From before anything is read to well into the episodes: wait for a number of new ones, then a random while.
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
        // SIGKILL where there are signals.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if kills % 3 == 0 && results.exists() {
            // What a machine that loses power may leave of the last line.
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

/// Episodes that are done cost a run nothing but their reading.
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
    run.says("20000 episodes of --visualize were done before");
    assert_eq!(place.text("whole/episodes.csv").lines().count(), number + 1);
    assert!(seconds < 60.0, "{seconds} s");
    // The shard of one is merged with nothing else.
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
    // Mended, they are done by --resume, and only they.
    fs::write(place.path("broken.png"), &png).unwrap();
    fs::write(place.path("gone.png"), fs::read(golden().join("sd21/query.png")).unwrap()).unwrap();
    let again = place.run(&["--output", "out", "--resume"]);
    let (_, records) = read_results(&place.path("out/results.jsonl")).unwrap();
    let order: Vec<usize> = records.iter().map(|r| r.episode).collect();
    assert_eq!(order, [0, 1, 3, 5, 2, 4, 6, 7], "{}", again.err);
    // What is no mask stays a failure, by name; a picture of another size than its mask is none.
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

/// Another evaluation than the published one has no published numbers beside it, and says of how many classes it is.
#[test]
fn a_part_of_an_evaluation_is_not_compared() {
    let mut all = episodes(5);
    all["benchmark"] = json!({"name": "coco", "fold": 2, "shots": 5});
    let place = Place::new(all);
    for (args, parts) in [
        (&["--limit", "2"][..], ["2 episodes of 2 classes of 3", "--limit leaves"]),
        (&["--shots", "1"], ["5 episodes of 3 classes\n", "--shots is not"]),
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
    assert!(merged.out.contains("of 2 classes of 3") && merged.out.contains("--limit leaves"), "{}", merged.out);
    let object: Value = serde_json::from_str(&place.run(&["--limit", "1", "--json"]).expect(0).out).unwrap();
    assert_eq!((&object["classes"], &object["of_classes"]), (&json!(1), &json!(3)));
}

/// Episodes that overflow in half precision are done in f32, whichever others there are.
#[test]
fn what_overflows_in_halves_is_done_again_in_f32() {}

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
    place.merge(&["out"]).expect(1).says("results-0-of-1.jsonl: cannot be read: is no regular file");
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
