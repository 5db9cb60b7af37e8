//! Outcomes of cases.

use serde::{Deserialize, Serialize};

/// The outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Passed,
    Failed,
    /// The driver or the system ended the case's own process.
    Crash,
    /// It exceeded its time limit.
    Timeout,
    /// It failed, and passed on a retry.
    Flake,
    /// It failed, and is listed as flaky.
    KnownFlake,
    /// It failed, and is listed as a known deviation.
    Known,
    /// It passed, but is listed as failing: the list needs an update.
    UnexpectedImprovement,
    NotRun,
}

impl Status {
    pub fn is_failure(self) -> bool {
        matches!(self, Status::Failed | Status::Crash | Status::Timeout | Status::UnexpectedImprovement)
    }

    /// Whether it failed as expected.
    pub fn is_known(self) -> bool {
        matches!(self, Status::Known | Status::KnownFlake)
    }

    /// The word in deqp-runner's `results.csv`.
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
