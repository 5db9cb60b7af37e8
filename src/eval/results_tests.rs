use super::*;
use crate::eval::merge;
use std::fs;

fn header(index: usize, of: usize) -> Header {
    Header {
        diffews_wgpu: "0".into(),
        scoring: SCORING,
        episodes_sha256: "ab".into(),
        benchmark: None,
        model: "m".into(),
        size: 64,
        precision: "f32".into(),
        forms: BTreeSet::from(["conv2d=tiled-64".to_string()]),
        threshold: "relative 0.25".into(),
        min_score: 0.0,
        guided_filter: None,
        shots: None,
        kv_sample: None,
        control: Control::None,
        marked: None,
        seed: 0,
        total: 7,
        limited: false,
        classes: 1,
        shard: Shard { index, of },
    }
}

fn record(episode: usize) -> Record {
    let counts = Counts { intersection: [episode as u64, 2], union: [9, 3] };
    let seconds = BTreeMap::from([("query_pass".to_string(), 0.1)]);
    Record {
        episode,
        class: "a".into(),
        query: "q".into(),
        counts: Some(counts),
        score: Some(0.5),
        made_iou: None,
        error: None,
        precision: None,
        seconds,
    }
}

fn failed(episode: usize) -> Record {
    Record { counts: None, error: Some("gone".into()), ..record(episode) }
}

/// A shard's file with all of its episodes.
fn written(dir: &Path, index: usize, of: usize) -> PathBuf {
    let path = dir.join(format!("{index}.jsonl"));
    let mut file = ResultsFile::create(&path, &header(index, of)).unwrap();
    (index..7).step_by(of).for_each(|e| file.append(&record(e)).unwrap());
    path
}

#[test]
fn a_file_cut_anywhere_resumes_with_what_was_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), 0, 1);
    let bytes = fs::read(&path).unwrap();
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    for cut in ends[0]..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|&&e| e <= cut).count() - 1;
        let (mut file, done) = ResultsFile::resume(&path, &header(0, 1)).unwrap();
        assert_eq!(done, (0..whole).map(record).collect::<Vec<_>>(), "cut at {cut}");
        (whole..7).for_each(|e| file.append(&record(e)).unwrap());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn failed_episodes_are_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.jsonl");
    let mut file = ResultsFile::create(&path, &header(0, 1)).unwrap();
    [record(0), failed(1), record(2)].iter().for_each(|r| file.append(r).unwrap());
    let second = || ResultsFile::resume(&path, &header(0, 1)).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(second().contains("another process"), "two at once");
    drop(file);
    let (mut file, done) = ResultsFile::resume(&path, &header(0, 1)).unwrap();
    assert_eq!(done, [record(0), record(2)]);
    assert!(second().contains("another process"), "the file was replaced, and still only one may write");
    file.append(&record(1)).unwrap();
    assert_eq!(read_results(&path).unwrap().1, [record(0), record(2), record(1)]);
}

#[test]
fn what_is_not_this_run_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), 0, 2);
    let message = |h: Header| ResultsFile::resume(&path, &h).err().map(|e| e.to_string()).unwrap_or_default();
    assert_eq!(message(header(0, 2)), "");
    assert!(message(Header { size: 128, ..header(0, 2) }).contains("\"size\" is 128 here and 64 there"));
    assert!(message(Header { control: Control::Shuffled, ..header(0, 2) }).contains("shuffled"));
    let guided_filter = "8,0.25".parse().ok();
    assert!(message(Header { guided_filter, ..header(0, 2) }).contains("\"guided_filter\" is {\"epsilon\":0.25,"));
    assert!(message(header(1, 2)).contains("another shard"));
    assert!(message(header(0, 3)).contains("another run"));
    assert!(ResultsFile::create(&path, &header(0, 2)).err().unwrap().to_string().contains("--resume"));
    // Results of a version with another scoring.
    assert!(message(Header { scoring: SCORING + 1, ..header(0, 2) }).contains("\"scoring\" is 2 here and 1 there"));
    // Results from before there was a filter.
    let text = fs::read_to_string(&path).unwrap();
    let old = text.replacen("\"guided_filter\":null,", "", 1);
    assert_ne!(old, text);
    fs::write(&path, old).unwrap();
    assert_eq!(message(header(0, 2)), "");
}

#[test]
fn damage_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), 0, 1);
    let bytes = fs::read_to_string(&path).unwrap();
    let message = |text: &str| {
        fs::write(&path, text).unwrap();
        read_results(&path).unwrap_err().to_string()
    };
    let lines: Vec<&str> = bytes.lines().collect();
    assert!(message("").contains("not a file of results"));
    assert!(message(&bytes.replacen("\"episode\":1", "\"episode\":", 1)).contains("line 3: is damaged"));
    assert!(message(&format!("{bytes}{}\n", lines[1])).contains("episode 0 occurs twice"));
    assert!(message(&bytes.replacen("\"episode\":6", "\"episode\":7", 1)).contains("not of this shard"));
    assert!(message(&bytes.replacen("\"of\":1", "\"of\":0", 1)).contains("an impossible shard"));
    assert!(message(&bytes.replacen("\"counts\"", "\"countless\"", 1)).contains("either counts or an error"));
    assert!(
        message(&bytes.replacen("\"query\":\"q\"", &format!("\"query\":\"{}\"", "q".repeat(1 << 20)), 1))
            .contains("line 2: has 1048576 bytes or more")
    );
    for union in ["1", "18446744073709551615"] {
        let text = bytes.replacen("[9,3]", &format!("[9,{union}]"), 1);
        assert!(message(&text).contains("line 2: counts more pixels than an episode can have"), "{union}");
    }
}

#[test]
fn shards_merge_to_the_whole_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let shards: Vec<PathBuf> = (0..3).map(|i| written(dir.path(), i, 3)).collect();
    let (merged, records) = merge(&[shards[2].clone(), shards[0].clone(), shards[1].clone()]).unwrap();
    assert_eq!(merged, header(0, 1));
    assert_eq!(records, (0..7).map(record).collect::<Vec<_>>());
    let message =
        |files: &[&PathBuf]| merge(&files.iter().map(|&f| f.clone()).collect::<Vec<_>>()).unwrap_err().to_string();
    assert!(message(&[]).contains("no results"));
    assert!(message(&[&shards[0], &shards[2]]).contains("missing: 1/3"));
    assert!(message(&[&shards[1]]).contains("missing: 0/3, 2/3"));
    assert!(message(&[&shards[0], &shards[1], &shards[1]]).contains("1/3 is there twice"));
    let bytes = fs::read_to_string(&shards[1]).unwrap();
    let all: Vec<&PathBuf> = shards.iter().collect();
    let cut = bytes.trim_end().rfind('\n').unwrap();
    fs::write(&shards[1], &bytes[..cut + 1]).unwrap();
    assert!(message(&all).contains("1 of 2 episodes are missing"));
    fs::write(&shards[1], bytes.replace("\"seed\":0", "\"seed\":1")).unwrap();
    assert!(message(&all).contains("\"seed\" is 0 here and 1 there"));
    fs::write(&shards[1], bytes.replace("\"ab\"", "\"cd\"")).unwrap();
    assert!(message(&all).contains("episodes_sha256"));
    // As many episodes as there are numbers: found without counting them.
    for shard in &shards {
        let text = fs::read_to_string(shard).unwrap().replace("\"cd\"", "\"ab\"");
        fs::write(shard, text.replace("\"total\":7", "\"total\":18446744073709551615")).unwrap();
    }
    assert!(message(&all).contains("episodes are missing"));
}

#[cfg(unix)]
#[test]
fn endless_files_and_pipes_are_refused_at_once_and_locks_harm_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [pipe, victim, path, lock] = ["pipe", "victim", "r.jsonl", ".r.jsonl.lock"].map(|n| dir.path().join(n));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for endless in [&pipe, Path::new("/dev/zero")] {
        assert!(read_results(endless).unwrap_err().to_string().contains("is not a regular file"));
        assert!(ResultsFile::resume(endless, &header(0, 1)).is_err());
    }
    fs::write(&victim, "mine").unwrap();
    for target in [victim.clone(), dir.path().join("new"), pipe] {
        std::os::unix::fs::symlink(&target, &lock).unwrap();
        let error = ResultsFile::create(&path, &header(0, 1)).err().unwrap().to_string();
        assert!(error.contains(".r.jsonl.lock: cannot be written"), "{error}");
        fs::remove_file(&lock).unwrap();
    }
    assert!(!path.exists() && !dir.path().join("new").exists());
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    // An existing file of that name is not emptied, and still serves as a lock.
    fs::write(&lock, "mine").unwrap();
    ResultsFile::create(&path, &header(0, 1)).unwrap().sync().unwrap();
    assert_eq!(fs::read(&lock).unwrap(), b"mine");
}
