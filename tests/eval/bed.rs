//! A folder with an evaluation, where the command runs.

use crate::common::golden;
use diffews_wgpu::eval::{Counts, read_results};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with an episodes file, where the command runs.
pub struct Place(pub tempfile::TempDir);

pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
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
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn says(self, part: &str) -> Run {
        assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        self
    }
}

impl Place {
    pub fn new(episodes: Value) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("e.json"), episodes.to_string()).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `eval` with the weights of a small fixture; its pictures lie below the root.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diffews-wgpu"));
        command.env("DIFFEWS_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
        // Forms go by the rule, so they are always the same and no run measures them.
        command.env("DIFFEWS_TUNE", "0");
        command.current_dir(self.0.path()).arg("eval").args(args);
        command.env("DIFFEWS_WEIGHTS", golden().join("five")).env("DIFFEWS_PRECISION", "f32");
        for name in ["DIFFEWS_UNET", "DIFFEWS_SIZE"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        let root = golden();
        let common = ["--episodes", "e.json", "--root", root.to_str().unwrap()];
        Run::from(self.command(&[&common[..], args].concat()).output().unwrap())
    }

    pub fn merge(&self, args: &[&str]) -> Run {
        Run::from(self.command(&[&["merge"], args].concat()).output().unwrap())
    }
}

/// Episodes over the fixtures' pictures: with different classes and ground truths, and some shared supports.
pub fn episodes(number: usize) -> Value {
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

/// Episode, class and counts of each record, by episode: these must not depend on how a run was made.
pub fn scores(path: &Path) -> Vec<(usize, String, Option<Counts>)> {
    let (_, mut records) = read_results(path).unwrap();
    records.sort_by_key(|r| r.episode);
    records.into_iter().map(|r| (r.episode, r.class, r.counts)).collect()
}
