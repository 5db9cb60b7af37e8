//! Which cases of the suite to run, and how.

use super::expect::Expectations;
use super::model;
use super::report::Made;
use crate::plan::Policy;
use crate::weights::ModelFiles;
use std::collections::HashSet;
use std::path::PathBuf;

/// What to run.
pub struct Options {
    /// Only cases whose id or title matches.
    pub only: Option<regex::Regex>,
    /// Only cases with these ids.
    pub cases: Option<HashSet<String>>,
    /// Only this part of them.
    pub fraction: Fraction,
    /// Only these storages; all if empty.
    pub storages: Vec<Policy>,
    /// Every case in every form and storage, the whole model and ten equal runs of it with each choice of forms, and the stress test.
    pub full: bool,
    /// An error above the strict bound (rounding to nearest) is a failure, although WGSL permits it.
    pub strict: bool,
    pub seed: u64,
    /// Number of retries after a failure; a case that then passes is a flake.
    pub retries: u32,
    pub expected: Expectations,
    /// The demonstration model, if it is not embedded.
    pub model: Option<ModelFiles>,
    /// Directory for the shaders and their translations.
    pub dump: Option<PathBuf>,
    /// Called during waits for a device; returns whether to end the run.
    pub interrupted: fn() -> bool,
}

/// One of several disjoint parts of about equal work, which together are all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// From 1 to `of`.
    pub number: usize,
    pub of: usize,
}

impl Fraction {
    pub const ALL: Fraction = Fraction { number: 1, of: 1 };

    /// Whether the entry at `place` belongs to this part. Parts take entries round by round, each round shifted by one, so that no part
    /// gets a single storage or form.
    pub(super) fn has(self, place: usize) -> bool {
        (place + place / self.of) % self.of + 1 == self.number
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            only: None,
            cases: None,
            fraction: Fraction::ALL,
            storages: vec![],
            full: false,
            strict: false,
            seed: 0,
            retries: 0,
            expected: Expectations::default(),
            model: None,
            dump: None,
            interrupted: || false,
        }
    }
}

impl Options {
    pub fn made(&self) -> Made {
        Made {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("DIFFEWS_COMMIT").into(),
            record: model::record(),
            full: self.full,
            strict: self.strict,
            only: self.only.as_ref().map(|only| only.to_string()),
            seed: self.seed,
            interrupted: false,
        }
    }
}
