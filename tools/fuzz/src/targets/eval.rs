//! Files of episodes and of results.

use super::{Ran, Runner, seeds};
use diffews_wgpu::eval::{Control, EpisodeFile, Record, Running, Summary, merge, published, read_results, to_csv};
use std::path::Path;

pub fn episodes_seeds() -> Vec<Vec<u8>> {
    vec![
        br#"{"benchmark": {"name": "coco", "fold": 0, "shots": 1}, "ignore": 255, "episodes": [
{"class": "a", "supports": [{"image": "s", "mask": "m"}, {"image": "t", "mask": "n", "value": 3}], "query": {"image": "q", "mask": "p", "value": 1}},
{"class": "b", "supports": [{"image": "s", "mask": "m"}], "query": {"image": "q", "mask": "t"}}]}"#
            .to_vec(),
    ]
}

pub fn open_episodes(_: &Path) -> Runner {
    Box::new(|_, file| {
        let Ok(episodes) = EpisodeFile::open(file, &["a root".into()]) else { return Ran::new(false) };
        for (i, episode) in episodes.episodes.iter().enumerate().take(20) {
            for control in [Control::None, Control::Shuffled] {
                for shots in [None, Some(1), Some(2)] {
                    let supports = episodes.supports(i, shots, control, 7);
                    assert!(supports.is_ok_and(|s| !s.is_empty()) || control == Control::Shuffled || shots == Some(2));
                }
            }
            episodes.locate(&episode.query.image);
        }
        if let Some(benchmark) = &episodes.benchmark {
            published(benchmark);
        }
        Ran::new(true)
    })
}

/// Two files, separated by a line "=".
pub fn results_seeds() -> Vec<Vec<u8>> {
    let header = |shard: u8| {
        format!(
            r#"{{"diffews_wgpu":"0.1.0","scoring":1,"episodes_sha256":"ab","benchmark":{{"name":"coco","fold":1,"shots":1}},"model":"x","size":160,"precision":"f32","threshold":"relative 0.25","guided_filter":{{"radius":8,"epsilon":1e-5}},"shots":null,"control":"none","seed":0,"total":4,"limited":false,"classes":2,"shard":{{"index":{shard},"of":2}}}}"#
        )
    };
    let scored = |n: u8| {
        format!(
            r#"{{"episode":{n},"class":"a","query":"q","counts":{{"intersection":[10,5],"union":[20,8]}},"seconds":{{"wait":0.1,"load":0.2}}}}"#
        )
    };
    let failed = r#"{"episode":3,"class":"b","query":"q","error":"x","seconds":{}}"#.to_string();
    let join = |lines: &[String]| (lines.join("\n") + "\n").into_bytes();
    let whole = |last: String| join(&[header(0), scored(0), scored(2), "=".into(), header(1), scored(1), last]);
    vec![whole(scored(3)), whole(failed)]
}

pub fn open_results(dir: &Path) -> Runner {
    let files = [0, 1].map(|i| dir.join(format!("results-{i}-of-2.jsonl")));
    Box::new(move |bytes, _| {
        let cut = bytes.windows(3).position(|w| w == b"\n=\n").map_or(bytes.len(), |at| at + 1);
        seeds::write(&files[0], &bytes[..cut]);
        seeds::write(&files[1], bytes.get(cut + 2..).unwrap_or_default());
        if let Ok((header, records)) = read_results(&files[0]) {
            sums(&records, header.seed);
        }
        let Ok((header, records)) = merge(&files) else { return Ran::new(false) };
        sums(&records, header.seed);
        Ran::new(true)
    })
}

fn sums(records: &[Record], seed: u64) {
    let csv = to_csv(records);
    assert!(csv.lines().count() > records.len(), "a line for each episode at least");
    let scored = || records.iter().filter_map(|r| Some((r.class.as_str(), r.counts.as_ref()?)));
    let summary = Summary::of(scored(), seed);
    let mut running = Running::default();
    scored().for_each(|(class, counts)| running.add(class, counts));
    assert!((running.miou() - summary.miou).abs() < 1e-9, "the running sum equals the final sum");
    let share = |value: f64| (0.0..=1.0).contains(&value);
    assert!(share(summary.miou) && share(summary.fb_iou), "mIoU {}, FB-IoU {}", summary.miou, summary.fb_iou);
}
