//! What of the suite is run, and how.

use super::expect::Expectations;
use super::model;
use super::report::Made;
use crate::plan::Policy;
use crate::weights::ModelFiles;
use std::collections::HashSet;
use std::path::PathBuf;

/// What to run.
pub struct Options {
    /// Only cases whose id or title this matches.
    pub only: Option<regex::Regex>,
    /// Only cases of these ids.
    pub cases: Option<HashSet<String>>,
    /// Only so many of them.
    pub fraction: Fraction,
    /// Only these kinds of storage; all where empty.
    pub storages: Vec<Policy>,
    /// Every case in every form and storage, the whole model and ten equal runs of it by each choice of forms, and the stress test.
    pub full: bool,
    /// What is more than arithmetic that rounds to the nearest errs by is a failure, though WGSL allows it.
    pub strict: bool,
    pub seed: u64,
    /// What fails is run so many times more; where it passes then it is a flake.
    pub retries: u32,
    pub expected: Expectations,
    /// The demonstration model, where it is not embedded.
    pub model: Option<ModelFiles>,
    /// Where the shaders and their translations go.
    pub dump: Option<PathBuf>,
    /// Asked during waits for a device: does the run end?
    pub interrupted: fn() -> bool,
}

/// One of several parts of about the same work, which have no case in common and are all cases together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// From 1 to `of`.
    pub number: usize,
    pub of: usize,
}

impl Fraction {
    pub const ALL: Fraction = Fraction { number: 1, of: 1 };

    /// Does what stands at `place` belong to it? Round by round each part takes the next place, so that no part has one storage
    /// or one form alone.
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
