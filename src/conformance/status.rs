//! How cases end.

use serde::{Deserialize, Serialize};

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Passed,
    Failed,
    /// The process of its own was ended by the driver or the system.
    Crash,
    /// It took longer than it may.
    Timeout,
    /// Failed, and passed when it was run again.
    Flake,
    /// Failed, and listed among those that fail at times.
    KnownFlake,
    /// Failed, and listed as a known deviation.
    Known,
    /// Passed, and listed as failing: the list is to be mended.
    UnexpectedImprovement,
    NotRun,
}

impl Status {
    pub fn is_failure(self) -> bool {
        matches!(self, Status::Failed | Status::Crash | Status::Timeout | Status::UnexpectedImprovement)
    }

    /// Failed as expected.
    pub fn is_known(self) -> bool {
        matches!(self, Status::Known | Status::KnownFlake)
    }

    /// The word of deqp-runner's `results.csv`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Status::Passed => "Pass",
            Status::Failed => "Fail",
            Status::Crash => "Crash",
            Status::Timeout => "Timeout",
            Status::Flake => "Flake",
            Status::KnownFlake => "KnownFlake",
            Status::Known => "ExpectedFail",
            Status::UnexpectedImprovement => "UnexpectedImprovement(Pass)",
            Status::NotRun => "Skip",
        }
    }
}
