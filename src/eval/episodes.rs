//! The file of episodes.

use super::EvalError;
use crate::files::read_regular;
use crate::shown;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Largest file of episodes, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Longest class and path, in bytes: no system takes longer paths.
const LONGEST_NAME: usize = 4096;

/// A picture and its mask, as paths below a root.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub image: PathBuf,
    pub mask: PathBuf,
    /// The class number in `mask` that is foreground. Without it the mask is black and white.
    #[serde(default)]
    pub value: Option<u8>,
}

/// An episode: segment in `query` the thing that the masks of `supports` show.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    pub class: String,
    pub supports: Vec<Example>,
    pub query: Example,
}

/// The published evaluation that the episodes belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    pub name: String,
    #[serde(default)]
    pub fold: Option<u32>,
    #[serde(default)]
    pub shots: Option<usize>,
}

/// The value in queries' masks that the published evaluation ignores: 255 for PASCAL's outlines. For other benchmarks
/// 255 is background. Without a benchmark, masks are treated like PASCAL's.
fn published_ignore(benchmark: Option<&Benchmark>) -> Option<u8> {
    match benchmark.map(|b| b.name.as_str()) {
        Some("coco" | "fss" | "lvis" | "paco_part" | "pascal_part") => None,
        _ => Some(255),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    benchmark: Option<Benchmark>,
    /// Outer `None`: not in the file.
    #[serde(default, deserialize_with = "given")]
    ignore: Option<Option<u8>>,
    episodes: Vec<Episode>,
}

/// A field that exists, even with the value null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u8>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The part of a run that one process runs: the episodes whose number is `index` modulo `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 0 to `of - 1`.
    pub index: usize,
    pub of: usize,
}

impl Shard {
    /// The whole run.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };

    pub fn holds(self, episode: usize) -> bool {
        episode % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((index, of)) if index < of => Ok(Shard { index, of }),
            _ => Err("it must be I/N with I from 0 to N - 1, such as 0/4".into()),
        }
    }
}

/// A deliberate fault that must lower the scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    #[default]
    None,
    /// Every query gets the supports of an episode of another class.
    Shuffled,
}

/// A file of episodes, read and checked.
#[derive(Debug)]
pub struct EpisodeFile {
    pub benchmark: Option<Benchmark>,
    pub episodes: Vec<Episode>,
    /// The value in masks of class numbers that is ignored in queries and background in supports.
    pub ignore: Option<u8>,
    /// SHA-256 of the file, as `sha256sum` prints it.
    pub sha256: String,
    roots: Vec<PathBuf>,
    /// The episodes of each class, ascending.
    classes: HashMap<String, Vec<usize>>,
}

impl EpisodeFile {
    /// Reads `path`. Relative paths in it are searched below each of `roots`, then beside the file itself.
    ///
    /// # Errors
    /// [`EvalError::Episodes`] for an invalid file, with the number (from 0) of the episode that is at
    /// fault.
    pub fn open(path: &Path, roots: &[PathBuf]) -> Result<EpisodeFile, EvalError> {
        let fault = |reason: String| EvalError::Episodes { path: path.to_owned(), reason };
        let bytes = read_regular(path, MAX_BYTES)
            .map_err(|e| EvalError::read(path, e))?
            .ok_or_else(|| fault(format!("is larger than {} MiB; split it into several files", MAX_BYTES >> 20)))?;
        let contents: Contents = serde_json::from_slice(&bytes).map_err(|e| {
            fault(format!("is not a file of episodes: {}; docs/eval.md describes one", shown::text(&e.to_string())))
        })?;
        if contents.episodes.is_empty() {
            return Err(fault("holds no episodes; add some".into()));
        }
        let ignore = contents.ignore.unwrap_or_else(|| published_ignore(contents.benchmark.as_ref()));
        let mut classes = HashMap::<String, Vec<usize>>::new();
        for (i, episode) in contents.episodes.iter().enumerate() {
            if episode.supports.is_empty() {
                return Err(fault(format!("episode {i} has no supports; give it at least one")));
            }
            let examples = episode.supports.iter().chain([&episode.query]);
            let mut names = examples.flat_map(|e| [e.image.as_os_str(), e.mask.as_os_str()]);
            if episode.class.len() > LONGEST_NAME || names.any(|name| name.len() > LONGEST_NAME) {
                return Err(fault(format!("episode {i}: a name has more than {LONGEST_NAME} bytes")));
            }
            let mut values = episode.supports.iter().chain([&episode.query]).filter_map(|e| e.value);
            if let Some(value) = values.find(|&v| Some(v) == ignore) {
                let message =
                    "cannot be a class, it marks ignored pixels; \"ignore\" of the file names another or null";
                return Err(fault(format!("episode {i}: \"value\": {value} {message}")));
            }
            match classes.get_mut(&episode.class) {
                Some(of_class) => of_class.push(i),
                None => drop(classes.insert(episode.class.clone(), vec![i])),
            }
        }
        let mut roots = roots.to_vec();
        roots.push(path.parent().unwrap_or(Path::new("")).to_owned());
        let sha256 = hex(&Sha256::digest(&bytes));
        let Contents { benchmark, episodes, .. } = contents;
        Ok(EpisodeFile { benchmark, episodes, ignore, sha256, roots, classes })
    }

    /// Number of classes in the whole file.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Path of an episode's file: below the first root that has it, else below the first root, for an error message.
    pub fn locate(&self, path: &Path) -> PathBuf {
        let mut places = self.roots.iter().map(|root| root.join(path));
        places.clone().find(|p| p.exists()).or_else(|| places.next()).unwrap_or(path.to_owned())
    }

    /// The first `shots` supports for the episode numbered `index`: its own, or under [`Control::Shuffled`] those
    /// of an episode of another class, drawn from `seed` and `index` only.
    ///
    /// # Errors
    /// Fewer than `shots` supports; no other class to draw from.
    pub fn supports(
        &self,
        index: usize,
        shots: Option<usize>,
        control: Control,
        seed: u64,
    ) -> Result<&[Example], EvalError> {
        let from = match control {
            Control::None => index,
            Control::Shuffled => self.other_class(index, seed)?,
        };
        let supports = &self.episodes[from].supports;
        supports.get(..shots.unwrap_or(supports.len())).filter(|s| !s.is_empty()).ok_or_else(|| {
            EvalError::Usage(format!(
                "episode {from} has {} supports, fewer than --shots {}; pass a smaller --shots or another file",
                supports.len(),
                shots.unwrap_or(0)
            ))
        })
    }

    fn other_class(&self, index: usize, seed: u64) -> Result<usize, EvalError> {
        let of_class = self.classes.get(&self.episodes[index].class).map_or(&[][..], Vec::as_slice);
        let others = self.episodes.len() - of_class.len();
        if others == 0 {
            let message = "--control shuffled needs episodes of at least two classes; this file has one";
            return Err(EvalError::Usage(message.into()));
        }
        // The multiplier spreads neighbouring indices over the generator's seeds.
        let mixed = seed ^ (index as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let nth = fastrand::Rng::with_seed(mixed).usize(..others);
        // Number of episodes of other classes before the class's k-th episode.
        let others_before = |k: usize| of_class[k] - k;
        let (mut low, mut high) = (0, of_class.len());
        while low < high {
            let middle = (low + high) / 2;
            if others_before(middle) <= nth { low = middle + 1 } else { high = middle }
        }
        Ok(nth + low)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(json: &str) -> Result<EpisodeFile, EvalError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json).unwrap();
        EpisodeFile::open(file.path(), &[])
    }

    fn episode(class: &str, n: usize) -> String {
        format!(
            r#"{{"class": "{class}", "supports": [{{"image": "s{n}", "mask": "m{n}"}}],
                "query": {{"image": "q{n}", "mask": "t{n}", "value": 3}}}}"#
        )
    }

    fn many(classes: &[&str]) -> EpisodeFile {
        let all: Vec<String> = classes.iter().enumerate().map(|(n, c)| episode(c, n)).collect();
        opened(&format!(r#"{{"episodes": [{}]}}"#, all.join(","))).unwrap()
    }

    #[test]
    fn faults_are_named() {
        let message = |json: &str| opened(json).unwrap_err().to_string();
        assert!(message("[").contains("is not a file of episodes"));
        assert!(message(r#"{"episodes": []}"#).contains("no episodes"));
        let no_supports = r#"{"episodes": [{"class": "a", "supports": [], "query": {"image": "a", "mask": "b"}}]}"#;
        assert!(message(no_supports).contains("episode 0 has no supports"));
        let ignored = format!(r#"{{"episodes": [{}]}}"#, episode("a", 0).replace('3', "255"));
        assert!(message(&ignored).contains("ignored pixels"));
        assert!(message(&ignored.replacen('{', r#"{"ignore": 255, "#, 1)).contains("\"value\": 255"));
        assert!(opened(&ignored.replacen('{', r#"{"ignore": null, "#, 1)).is_ok());
        assert!(message(&ignored.replacen('{', r#"{"ignore": 256, "#, 1)).contains("u8"));
        let long = format!(r#"{{"episodes": [{}]}}"#, episode(&"a".repeat(5000), 0));
        assert!(message(&long).contains("episode 0: a name has more than 4096 bytes"));
        assert!(message(&format!(r#"{{"{}": 1}}"#, "a".repeat(1 << 20))).len() < 500, "a message with an end");
        // A name that Python wrote from bytes that are not UTF-8.
        let surrogate = format!(r#"{{"episodes": [{}]}}"#, episode("a", 0).replace("q0", "q\\udcff"));
        assert!(message(&surrogate).contains("is not a file of episodes"));
        let unknown = format!(r#"{{"episodes": [{}]}}"#, episode("a", 0).replace("value", "valu"));
        assert!(message(&unknown).contains("valu"));
        let negative = format!(r#"{{"episodes": [{}]}}"#, episode("a", 0).replace('3', "-1"));
        assert!(message(&negative).contains("u8"));
        assert!(EpisodeFile::open(Path::new("nowhere.json"), &[]).unwrap_err().to_string().contains("nowhere.json"));
    }

    #[test]
    fn what_is_ignored_is_the_benchmarks_rule_or_the_files() {
        let ignore = |head: &str| opened(&format!(r#"{{{head}"episodes": [{}]}}"#, episode("a", 0))).unwrap().ignore;
        assert_eq!(ignore(""), Some(255));
        assert_eq!(ignore(r#""benchmark": {"name": "mine"}, "#), Some(255));
        assert_eq!(ignore(r#""benchmark": {"name": "pascal", "fold": 1}, "#), Some(255));
        for name in ["coco", "fss", "lvis", "paco_part", "pascal_part"] {
            assert_eq!(ignore(&format!(r#""benchmark": {{"name": "{name}"}}, "#)), None, "{name}");
        }
        assert_eq!(ignore(r#""benchmark": {"name": "coco"}, "ignore": 255, "#), Some(255));
        assert_eq!(ignore(r#""benchmark": {"name": "pascal"}, "ignore": null, "#), None);
        assert_eq!(ignore(r#""ignore": 0, "#), Some(0));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(EpisodeFile::open(&pipe, &[]).unwrap_err().to_string().contains("is not a regular file"));
    }

    #[test]
    fn roots_come_in_order_and_the_files_own_directory_last() {
        let dirs: Vec<tempfile::TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let at = |i: usize, name: &str| dirs[i].path().join(name);
        for (i, name) in [(1, "a"), (2, "a"), (2, "b")] {
            std::fs::write(at(i, name), "").unwrap();
        }
        std::fs::write(at(2, "e.json"), format!(r#"{{"episodes": [{}]}}"#, episode("a", 0))).unwrap();
        let roots = [dirs[0].path().to_owned(), dirs[1].path().to_owned()];
        let file = EpisodeFile::open(&at(2, "e.json"), &roots).unwrap();
        assert_eq!(file.locate(Path::new("a")), at(1, "a"));
        assert_eq!(file.locate(Path::new("b")), at(2, "b"));
        assert_eq!(file.locate(Path::new("c")), at(0, "c"));
        assert_eq!(file.locate(&at(2, "a")), at(2, "a"));
    }

    /// The same draw by a linear walk over all episodes.
    fn drawn_by_counting(file: &EpisodeFile, index: usize, seed: u64) -> Option<usize> {
        let others = || (0..file.episodes.len()).filter(|&i| file.episodes[i].class != file.episodes[index].class);
        let mixed = seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        others().nth(fastrand::Rng::with_seed(mixed).usize(..others().count()))
    }

    #[test]
    fn shuffled_supports_are_of_another_class_and_the_same_each_time() {
        let file = many(&["a", "b", "a", "c", "c", "c"]);
        let (mut own, mut drawn) = (0, Vec::new());
        for seed in 0..20 {
            for i in 0..6 {
                let supports = file.supports(i, None, Control::Shuffled, seed).unwrap();
                let from: usize = supports[0].image.to_str().unwrap()[1..].parse().unwrap();
                assert_ne!(file.episodes[from].class, file.episodes[i].class);
                assert_eq!(Some(from), drawn_by_counting(&file, i, seed));
                assert_eq!(supports, file.supports(i, None, Control::Shuffled, seed).unwrap());
                own += usize::from(
                    file.supports(i, None, Control::None, seed).unwrap()[0].image.ends_with(format!("s{i}")),
                );
                drawn.push(from);
            }
        }
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!((own, drawn.len()), (120, 6), "every episode's supports are drawn some time");
        let error = many(&["a", "a"]).supports(0, None, Control::Shuffled, 0).unwrap_err();
        assert!(error.to_string().contains("two classes"));
    }

    #[test]
    fn a_hundred_thousand_draws_take_no_walks() {
        let names: Vec<String> = (0..100_000).map(|i| format!("class {}", i % 700)).collect();
        let file = many(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let started = std::time::Instant::now();
        for i in 0..100_000 {
            assert!(file.supports(i, None, Control::Shuffled, 0).is_ok());
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!(seconds < 5.0, "{seconds} s");
    }

    #[test]
    fn shots_take_the_first_supports_and_cannot_exceed_them() {
        let file = many(&["a"]);
        assert_eq!(file.supports(0, Some(1), Control::None, 0).unwrap().len(), 1);
        assert!(file.supports(0, Some(2), Control::None, 0).unwrap_err().to_string().contains("--shots"));
        assert!(file.supports(0, Some(0), Control::None, 0).is_err());
    }

    #[test]
    fn shards_are_read_and_split_everything_once() {
        for bad in ["", "1", "1/1", "2/1", "-1/2", "a/2", "0/0", "0/2/3"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        let shards: Vec<Shard> = ["0/3", "1/3", "2/3"].iter().map(|s| s.parse().unwrap()).collect();
        for episode in 0..10 {
            assert_eq!(shards.iter().filter(|s| s.holds(episode)).count(), 1);
        }
    }
}
