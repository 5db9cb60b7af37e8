//! Pictures of many kinds, compared with Pillow's results: each file is read with the same result or refused. `tests/golden/images/corpus`
//! has a few of the files. `tools/corpus/make.py` makes them and hundreds more, in the folder that the variable `DIFFEWS_CORPUS` names.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use diffews_wgpu::image_io::load_rgb;

/// The result of one file: its row in the table, and whether it is wrong.
fn outcome(folder: &Path, case: &serde_json::Value) -> (String, bool) {
    let text = |key: &str| case[key].as_str().unwrap_or("-");
    let path = folder.join(text("file"));
    let told = |outcome: &str, reason: &str| {
        format!("{}\t{}\t{outcome}\t{}\t{reason}\n", text("file"), text("kind"), text("by"))
    };
    let got = match load_rgb(&path) {
        Ok(rgb) => rgb,
        Err(error) => {
            let message = error.to_string();
            // A refusal names the file and is not a panic.
            let wrong = !message.starts_with(&path.display().to_string()) || message.contains("decoder panicked");
            let reason = message.replace(&format!("{}: ", path.display()), "");
            return (told("refused", reason.split(';').next().unwrap_or_default()), wrong);
        }
    };
    if text("expected") == "-" {
        return (told("read", "should be refused"), true);
    }
    let want = load_rgb(&folder.join(text("expected"))).unwrap();
    if got.dimensions() != want.dimensions() {
        return (told("size", &format!("{:?} instead of {:?}", got.dimensions(), want.dimensions())), true);
    }
    let worst = got.iter().zip(want.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    (told(&worst.to_string(), ""), u64::from(worst) > case["tolerance"].as_u64().unwrap_or(0))
}

/// Compares all files of a folder, and writes the table of results to `results`.
fn compare(folder: &Path, most_refused: usize, results: Option<&Path>) {
    let list = fs::read_to_string(folder.join("corpus.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    let (mut all, mut wrong) = (String::new(), String::new());
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        let (row, is_wrong) = outcome(folder, case);
        all.push_str(&row);
        if is_wrong {
            wrong.push_str(&row);
        }
        if row.contains("\trefused\t") && case["expected"].is_string() {
            *refused.entry(row.split('\t').nth(1).unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    if let Some(path) = results {
        fs::write(path, all).unwrap();
    }
    let count = refused.values().sum::<usize>();
    let kinds = refused.iter().fold(String::new(), |mut text, (kind, n)| {
        let _ = writeln!(text, "{n} of {kind}");
        text
    });
    assert!(wrong.is_empty(), "of {} files these are wrong:\n{wrong}", cases.len());
    assert!(count <= most_refused, "{count} of {} readable files are refused:\n{kinds}", cases.len());
}

#[test]
fn kept_files_are_read_as_pillow_reads_them() {
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images/corpus"), 0, None);
}

#[test]
fn a_corpus_is_read_as_pillow_reads_it_or_refused() {
    let Some(folder) = std::env::var_os("DIFFEWS_CORPUS").map(PathBuf::from) else { return };
    // The table lists refusals; the test only requires that no result is wrong.
    compare(&folder, usize::MAX, Some(&folder.join("results.tsv")));
}
