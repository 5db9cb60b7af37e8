//! Results of self-checks in earlier runs, in a file. The file is untrusted: if it cannot be read, it is ignored.

use crate::cache::{Cache, Subject};
use crate::gpu::AdapterFacts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

const NAME: &str = "self-check.json";

#[derive(Default, Serialize, Deserialize)]
struct Entry {
    /// Pipelines that passed.
    passed: BTreeSet<String>,
    /// The fault in the last run, if any.
    failed: Option<String>,
}

/// The file's content.
pub(super) struct Remembered(Cache<Entry>);

impl Remembered {
    pub fn read(dir: &Path) -> Remembered {
        Remembered(Cache::read(dir, NAME))
    }

    /// Pipelines that passed; none if the last check failed, so that all are checked again.
    pub fn passed(&self, subject: &Subject) -> BTreeSet<String> {
        let entry = self.0.get(subject).filter(|entry| entry.failed.is_none());
        entry.map(|entry| entry.passed.clone()).unwrap_or_default()
    }

    fn standing(&self, subject: &Subject) -> Standing {
        match self.0.get(subject) {
            None => Standing::NotChecked,
            Some(Entry { failed: None, .. }) => Standing::Passed,
            Some(Entry { failed: Some(wrong), .. }) => Standing::Failed(wrong.clone()),
        }
    }

    /// Records a result. If the file cannot be written, the check runs again the next time.
    pub fn write(&mut self, subject: &Subject, ids: &[String], failed: Option<&str>) {
        let mut passed = self.passed(subject);
        if failed.is_none() {
            passed.extend(ids.iter().cloned());
        }
        if let Err(error) = self.0.put(subject, Entry { passed, failed: failed.map(String::from) }) {
            log::info!("the result of the self-check cannot be kept: {error}");
        }
    }
}

/// The kept result for an adapter with its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    NotChecked,
    Passed,
    /// The fault in the last run.
    Failed(String),
}

impl Standing {
    /// Reads the file of [`SelfCheck::Remembered`](super::SelfCheck::Remembered) in `dir`.
    pub fn of(facts: &AdapterFacts, dir: &Path) -> Standing {
        Remembered::read(dir).standing(&Subject::of(facts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(driver: &str) -> Subject {
        Subject::of(&AdapterFacts::of_test(driver))
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
    fn a_file_that_is_none_is_as_good_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "[{}]", "[{\"passed\": [\"x\"]}]"] {
            std::fs::write(dir.path().join(NAME), text).unwrap();
            assert_eq!(Remembered::read(dir.path()).standing(&subject("1")), Standing::NotChecked);
        }
        // If the file cannot be written, there is only a log line.
        Remembered::read(Path::new("/dev/null/x")).write(&subject("1"), &ids(&["x"]), None);
    }
}
