//! What adapters have proved in earlier runs, in a file. It may be anyone's: what cannot be read is as good as nothing.

use crate::files::read_regular;
use crate::gpu::AdapterFacts;
use crate::image_io;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const NAME: &str = "self-check.json";
/// Bytes of the file, at most.
const MOST: u64 = 1 << 20;
/// Adapters, drivers and programs that are kept; the oldest goes.
const KEPT: usize = 32;

/// Who has proved something: an adapter under a driver, to this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    adapter: String,
    backend: String,
    device_id: String,
    driver: String,
    program: String,
}

impl Subject {
    pub fn of(facts: &AdapterFacts) -> Subject {
        Subject {
            adapter: facts.name.clone(),
            backend: facts.backend.clone(),
            device_id: facts.device_id.clone(),
            driver: facts.driver.clone(),
            program: concat!(env!("CARGO_PKG_VERSION"), " ", env!("DIFFEWS_COMMIT")).into(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    subject: Subject,
    /// Pipelines that computed what was known.
    passed: BTreeSet<String>,
    /// What was wrong the last time.
    failed: Option<String>,
}

/// The file's content.
pub(super) struct Remembered {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Remembered {
    pub fn read(dir: &Path) -> Remembered {
        let path = dir.join(NAME);
        let bytes = read_regular(&path, MOST).ok().flatten().unwrap_or_default();
        let entries = serde_json::from_slice(&bytes).unwrap_or_default();
        Remembered { path, entries }
    }

    /// Nothing where the last time was a failure: then all is asked for again.
    pub fn passed(&self, subject: &Subject) -> BTreeSet<String> {
        let entry = self.entries.iter().find(|entry| entry.subject == *subject && entry.failed.is_none());
        entry.map(|entry| entry.passed.clone()).unwrap_or_default()
    }

    fn standing(&self, subject: &Subject) -> Standing {
        match self.entries.iter().find(|entry| entry.subject == *subject) {
            None => Standing::NotChecked,
            Some(Entry { failed: None, .. }) => Standing::Passed,
            Some(Entry { failed: Some(wrong), .. }) => Standing::Failed(wrong.clone()),
        }
    }

    /// Notes what was found. Where nothing can be written, it is asked for again the next time.
    pub fn write(&mut self, subject: &Subject, ids: &[String], failed: Option<&str>) {
        let mut passed = self.passed(subject);
        if failed.is_none() {
            passed.extend(ids.iter().cloned());
        }
        self.entries.retain(|entry| entry.subject != *subject);
        self.entries.push(Entry { subject: subject.clone(), passed, failed: failed.map(String::from) });
        self.entries.drain(..self.entries.len().saturating_sub(KEPT));
        let dir = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        let written = std::fs::create_dir_all(&dir).map_err(|error| error.to_string()).and_then(|()| {
            let bytes = serde_json::to_vec_pretty(&self.entries).map_err(|error| error.to_string())?;
            image_io::write_whole(&self.path, &bytes, true).map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            log::info!("the self-check is not remembered: {error}");
        }
    }
}

/// What is remembered of an adapter under its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    NotChecked,
    Passed,
    /// What was wrong the last time.
    Failed(String),
}

impl Standing {
    /// By the file of [`SelfCheck::Remembered`](super::SelfCheck::Remembered) in `dir`.
    pub fn of(facts: &AdapterFacts, dir: &Path) -> Standing {
        Remembered::read(dir).standing(&Subject::of(facts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(driver: &str) -> Subject {
        Subject {
            adapter: "GPU".into(),
            backend: "vulkan".into(),
            device_id: "0001:0002".into(),
            driver: driver.into(),
            program: "0.1.0".into(),
        }
    }

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_string()).collect()
    }

    #[test]
    fn only_the_same_driver_is_believed_and_only_after_it_passed() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (subject("1.0"), subject("1.1"));
        let passed = |s| Remembered::read(dir.path()).passed(s);
        Remembered::read(dir.path()).write(&a, &ids(&["x", "y"]), None);
        assert_eq!(passed(&a), BTreeSet::from(["x".into(), "y".into()]));
        assert!(passed(&b).is_empty());
        Remembered::read(dir.path()).write(&a, &ids(&["z"]), None);
        assert_eq!(passed(&a).len(), 3);
        Remembered::read(dir.path()).write(&a, &ids(&["w"]), Some("wrong"));
        assert!(passed(&a).is_empty());
        assert_eq!(Remembered::read(dir.path()).standing(&a), Standing::Failed("wrong".into()));
        assert_eq!(Remembered::read(dir.path()).standing(&b), Standing::NotChecked);
        Remembered::read(dir.path()).write(&a, &ids(&["x"]), None);
        assert_eq!(passed(&a), BTreeSet::from(["x".into()]));
    }

    #[test]
    fn a_file_that_is_none_is_as_good_as_nothing_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", "[{}]", "null", &"[".repeat(1000), &" ".repeat(2 << 20)] {
            std::fs::write(dir.path().join(NAME), text).unwrap();
            assert!(Remembered::read(dir.path()).entries.is_empty());
        }
        for i in 0..KEPT + 3 {
            Remembered::read(dir.path()).write(&subject(&i.to_string()), &ids(&["x"]), None);
        }
        let read = Remembered::read(dir.path());
        assert_eq!(read.entries.len(), KEPT);
        assert!(read.passed(&subject("2")).is_empty() && !read.passed(&subject("3")).is_empty());
        // Nowhere to write: no more than a word in the log.
        Remembered::read(Path::new("/dev/null/x")).write(&subject("1"), &ids(&["x"]), None);
    }
}
